"""The answers that a score was made of, where they are still kept."""

from collections.abc import Sequence

from evals.answers import load_answers
from evals.errors import DataFormatError
from evals.generation import Response
from evals.judging import Verdict
from orchestrator.report.page.run import Run
from orchestrator.run_files import RunFiles
from orchestrator.search.ledger import Event


def kept_answers(run: Run, event: Event) -> Sequence[tuple[Response, Verdict]]:
    """Each answer with its verdict; none where their file is gone or damaged, or has another form: the report is made without them."""
    file = RunFiles(run.directory).answers(event) if run.directory is not None else None
    if file is None or not file.is_file():
        return ()
    try:
        return list(zip(*load_answers(file), strict=True))
    except (DataFormatError, OSError):
        return ()
