"""`daa data select`: a file of pairs to a file of fewer, with a page about it."""

import re
from pathlib import Path

from evals.whole_files import save_rows
from orchestrator.errors import DataFormatError, SettingsError, UserError
from orchestrator.preferences.reading import read_pairs
from orchestrator.preferences.rows import is_quarantine, write_quarantine
from orchestrator.preferences.sources import check_output
from orchestrator.preferences.writing import row_of
from orchestrator.report.data_checks import shown_rows
from orchestrator.report.plain_text import visible
from orchestrator.report.selections import selection_page
from orchestrator.report.terminal import show
from orchestrator.selection.rejection_sampling import all_accepted
from orchestrator.settings import MixtureSettings, SelectionSettings, TrainingSettings

_PAGE_BEGINS = re.compile(r"# \d+ of \d+ pairs, by ")


def select_file(
    file: MixtureSettings, out: Path, settings: SelectionSettings, training: TrainingSettings, of: tuple[str | None, int], cache: Path
) -> None:
    """Write the kept pairs to `out` and the page beside it; `of` are the model and the context in tokens.

    Rows that give no pair are listed beside them too. Raises SettingsError without a model, and what reading and choosing refuse.
    """
    from orchestrator.training.selection_run import choose

    model, context = of
    if model is None:
        raise SettingsError("no model is given", "daa data select", "name the one that training will start from: --model DIR")
    page, quarantine = _beside(out, file.source)
    reading = read_pairs(file.source, file.limit, file.split, config=file.config, columns=file.columns)
    print(*map(visible, reading.kinds), sep="\n")
    pairs = reading.pairs
    if settings.metric == "rejection_sampling":
        pairs = all_accepted(pairs, settings.tau, settings.eta)
    if not pairs:
        what = f"none of {len(reading.pairs)} pairs has two responses whose rewards are far enough apart"
        raise DataFormatError(what, file.named, "lower --eta or --tau, or choose another metric")
    chosen = choose(model, pairs, context, settings, training, str(cache.expanduser() / "reference"))
    save_rows(out, (row_of(chosen.texts[place]) for place in chosen.kept))
    margins = {"reward margin": chosen.margins.apart, "implicit margin, nats a token": chosen.margins.known_implicit()}
    page.write_text(selection_page(settings, chosen.texts, chosen.pairs, margins, chosen.kept), encoding="utf-8")
    left_out = f"; {len(chosen.identical)} have the same response twice after truncation" if chosen.identical else ""
    unused = (*reading.bad, *reading.set_aside, *chosen.unfit)
    quarantine.unlink(missing_ok=True)
    if unused:
        write_quarantine(quarantine, unused)
        show(shown_rows(unused, quarantine))
    print(f"{len(chosen.kept)} of {len(chosen.texts)} pairs kept by {settings.metric}{left_out}")
    print(f"the pairs: {out}\nwhat was kept: {page}")


def _beside(out: Path, source: str) -> tuple[Path, Path]:
    """The files beside `out`: the page, and the rows that gave no pair; both take the place of an earlier selection's.

    Raises UserError where a file that is read, or one that no selection wrote, would be lost.
    """
    if out.suffix.lower() == ".md":
        raise UserError(f"{out} is the name of the page about the pairs", "--out", f"name it {out.with_suffix('.jsonl')}")
    page, quarantine = out.with_suffix(".md"), out.with_suffix(".quarantine.jsonl")
    for written in (out, page, quarantine):
        check_output(written, (source,), "--out")
    for written, is_own in ((page, _is_page), (quarantine, is_quarantine)):
        if written.exists() and not is_own(written):
            raise UserError(f"{written} would be replaced, and no selection wrote it", "--out", "move it, or give --out another name")
    return page, quarantine


def _is_page(file: Path) -> bool:
    with file.open(encoding="utf-8", errors="replace") as lines:
        return _PAGE_BEGINS.match(lines.readline()) is not None
