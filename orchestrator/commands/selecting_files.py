"""`daa data select`: a file of pairs to a file of fewer, with a page about it."""

from pathlib import Path

from evals.whole_files import save_rows
from orchestrator.errors import DataFormatError, SettingsError
from orchestrator.preferences.reading import read_pairs
from orchestrator.preferences.rows import write_quarantine
from orchestrator.preferences.tokenization import Lengths
from orchestrator.preferences.writing import row_of
from orchestrator.report.data_checks import shown_rows
from orchestrator.report.plain_text import visible
from orchestrator.report.selections import selection_page
from orchestrator.report.terminal import show
from orchestrator.selection.rejection_sampling import all_accepted
from orchestrator.settings import SelectionSettings, TrainingSettings


def select_file(
    file: str, out: Path, settings: SelectionSettings, training: TrainingSettings, of: tuple[str | None, int, int | None], cache: Path
) -> None:
    """Write the kept pairs to `out` and the page beside it; `of` are the model, the context in tokens and the limit of pairs.

    Rows that give no pair are listed beside them too. Raises SettingsError without a model, and what reading and choosing refuse.
    """
    from orchestrator.training.selection_run import choose

    model, context, limit = of
    if model is None:
        raise SettingsError("no model is given", "daa data select", "name the one that training will start from: --model DIR")
    reading = read_pairs(file, limit)
    print(*map(visible, reading.kinds), sep="\n")
    pairs = reading.pairs
    if settings.metric == "rejection_sampling":
        pairs = all_accepted(pairs, settings.tau, settings.eta)
    if not pairs:
        what = f"none of {len(reading.pairs)} pairs has two responses whose rewards are far enough apart"
        raise DataFormatError(what, file, "lower --eta or --tau, or choose another metric")
    chosen = choose(model, pairs, Lengths(context), settings, training, str(cache.expanduser() / "reference"))
    save_rows(out, (row_of(chosen.texts[place]) for place in chosen.kept))
    margins = {"reward margin": chosen.margins.explicit, "implicit margin, nats a token": chosen.margins.known_implicit()}
    page = out.with_suffix(".md")
    page.write_text(selection_page(settings, chosen.texts, chosen.pairs, margins, chosen.kept), encoding="utf-8")
    left_out = f"; {len(chosen.identical)} have the same response twice after truncation" if chosen.identical else ""
    unused = (*reading.bad, *reading.set_aside, *chosen.unfit)
    quarantine = out.with_suffix(".quarantine.jsonl")
    quarantine.unlink(missing_ok=True)
    if unused:
        write_quarantine(quarantine, unused)
        show(shown_rows(unused, quarantine))
    print(f"{len(chosen.kept)} of {len(chosen.texts)} pairs kept by {settings.metric}{left_out}")
    print(f"the pairs: {out}\nwhat was kept: {page}")
