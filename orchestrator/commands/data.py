"""`daa data`: what lies in preference data, and what of it is worth training on. Heavy imports wait until the work starts."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from orchestrator.errors import UserError
from orchestrator.nearest import nearest
from orchestrator.settings import MixtureSettings
from orchestrator.settings.section import DEFAULT_CACHE
from orchestrator.settings_file import RunSettings, check_files, load_run_settings, prompt_files, validated

if TYPE_CHECKING:
    from orchestrator.preferences.checks import DataReport, Finding
    from orchestrator.preferences.pairs import PreferencePair

app = typer.Typer(name="data", help="Look at preference data, and choose among them.", no_args_is_help=True)
_CONTEXT = 2048
_SHOWN_PAIRS = 2
_CONFIG = typer.Option(help="Which configuration of a hub data set.")
_COLUMN = typer.Option(help="NAME=COLUMN, such as prompt=query: the data's own name for a column of their format; repeatable.")


@dataclass(frozen=True)
class _Asked:
    """What the check works on: sources, the model whose tokenizer counts, the context in tokens and files of evaluation prompts."""

    sources: tuple[MixtureSettings, ...]
    model: str
    context: int
    prompts: tuple[Path, ...]


@app.command()
def check(  # noqa: PLR0913 (the options of the command)
    files: Annotated[list[str] | None, typer.Argument(help="JSONL, JSON, Parquet, CSV; directories, s3://..., hub data sets.")] = None,
    model: Annotated[str | None, typer.Option(help="Whose tokenizer and chat template count: a directory or a hub identifier.")] = None,
    settings_file: Annotated[Path | None, typer.Option("--settings", help="A run's TOML file, for all that is not given here.")] = None,
    context: Annotated[int | None, typer.Option(min=1, help=f"Prompt and response together, in tokens. Default: {_CONTEXT}.")] = None,
    prompts: Annotated[list[Path] | None, typer.Option(help="Evaluation prompts that training must not see; repeatable.")] = None,
    split: Annotated[str | None, typer.Option(help="Which split of hub data sets. Default: train, or the settings'.")] = None,
    config: Annotated[str | None, _CONFIG] = None,
    column: Annotated[list[str] | None, _COLUMN] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many pairs of each source.")] = None,
    refuse: Annotated[list[str] | None, typer.Option(help="CHECK=SHARE, such as identical=0.05: a larger share is refused.")] = None,
    quarantine: Annotated[Path | None, typer.Option(help="Where rows that gave no pair are written, with place and reason.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Say what training would see of preference data, after tokenisation and truncation, and what is wrong with them.

    Example: daa data check pairs.jsonl --model path/or/hub-id --prompts prompts.jsonl --refuse identical=0.05
    """
    bounds = bounds_of(refuse or ())
    part = _given(split=split, config=config, columns=columns_of(column or ()), limit=limit)
    given = tuple(validated(MixtureSettings, {"source": file, **part}, "the command line") for file in files or ())
    asked = _asked(given, model, context, prompts, load_run_settings(settings_file) if settings_file else None)
    asked = replace(asked, sources=tuple(source.model_copy(update=part) for source in asked.sources))
    _check_quarantine(quarantine, asked, settings_file)
    found, samples, unused = _checked(asked)
    if quarantine is not None:
        from orchestrator.preferences.rows import write_quarantine

        write_quarantine(quarantine, unused)
    above = found.above(bounds)
    if as_json:
        print(json.dumps(found.as_dict() | {"refused": [each.name for each in above]}, indent=2, ensure_ascii=False))
    else:
        from orchestrator.report.data_checks import shown_report, shown_rows
        from orchestrator.report.terminal import show

        for part in (*samples, *([shown_rows(unused, quarantine)] if unused else []), shown_report(found, bounds)):
            show(part)
    if above:
        _refuse(above, bounds, asked)


@app.command()
def select(  # noqa: PLR0913 (the options of the command)
    file: Annotated[str, typer.Argument(help="Preference data, as `data.train` takes them.")],
    metric: Annotated[str, typer.Option(help="alignment_potential, reward_margin, implicit_margin, rejection_sampling or random.")],
    out: Annotated[Path, typer.Option(help="The JSON Lines file to write; a page with its name and .md tells what was kept.")],
    model: Annotated[str | None, typer.Option(help="Required: the model that training will start from; it scores where needed.")] = None,
    fraction: Annotated[float | None, typer.Option(help="The share to keep. Default: 0.4.")] = None,
    weight: Annotated[float | None, typer.Option(help="M_AP's weight of the implicit margin. Default: 1.")] = None,
    tau: Annotated[float | None, typer.Option(help="RS-DPO's temperature. Default: 1.")] = None,
    eta: Annotated[float | None, typer.Option(help="RS-DPO's bound. Default: 0.8.")] = None,
    seed: Annotated[int | None, typer.Option(help="That of `random`. Default: 0.")] = None,
    context: Annotated[int, typer.Option(min=1, help="Prompt and response together, in tokens.")] = 2048,
    precision: Annotated[str, typer.Option(help="bf16 or fp32, as training will have it.")] = "bf16",
    split: Annotated[str | None, typer.Option(help="Which split of a hub data set. Default: train.")] = None,
    config: Annotated[str | None, _CONFIG] = None,
    column: Annotated[list[str] | None, _COLUMN] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many pairs.")] = None,
    cache: Annotated[Path, typer.Option(help="Where scores are kept for the next selection.")] = DEFAULT_CACHE,
) -> None:
    """Keep the pairs that are worth training on, and tell what was kept.

    Example: daa data select pairs.jsonl --model base/model --metric alignment_potential --fraction 0.4 --out selected.jsonl
    """
    from orchestrator.settings import SelectionSettings, TrainingSettings

    where = "the command line"
    how = _given(metric=metric, fraction=fraction, weight=weight, tau=tau, eta=eta, seed=seed)
    settings = validated(SelectionSettings, how, where)
    training = validated(TrainingSettings, {"precision": precision}, where)
    part = _given(source=file, split=split, config=config, columns=columns_of(column or ()), limit=limit)
    source = validated(MixtureSettings, part, where)
    from orchestrator.commands.selecting_files import select_file

    select_file(source, out, settings, training, (model, context), cache)


def bounds_of(words: Sequence[str]) -> dict[str, float]:
    """The bounds that --refuse gives. Raises UserError for a check that there is not, or a share that is no number from 0 to 1."""
    from orchestrator.preferences.checks import CHECKS

    known = [each.name for each in CHECKS]
    bounds = {}
    for word in [one for several in words for one in several.split(",")]:
        name, equals, share = word.partition("=")
        if name not in known:
            raise UserError(f"there is no check {name!r}", "--refuse", f"{nearest(name, known)} Known: {', '.join(known)}")
        try:
            bounds[name] = float(share) if equals else 0.0
        except ValueError as error:
            raise UserError(f"{share!r} is no share", "--refuse", "write CHECK=SHARE, such as identical=0.05") from error
        if not 0 <= bounds[name] <= 1:
            raise UserError(f"{share} is no share from 0 to 1", "--refuse", "write 0.05 for 5 %")
    return bounds


def columns_of(words: Sequence[str]) -> dict[str, str] | None:
    """The data's own names that --column gives, by those of a format; None without any. Raises UserError for any other word."""
    columns = {}
    for word in words:
        name, _, own = word.partition("=")
        if not (name and own):
            raise UserError(f"{word!r} names no column", "--column", "write NAME=COLUMN, such as prompt=query")
        columns[name] = own
    return columns or None


def _given(**options: Any) -> dict[str, Any]:
    """The options that the command line has."""
    return {name: value for name, value in options.items() if value is not None}


def _asked(
    given: tuple[MixtureSettings, ...], model: str | None, context: int | None, prompts: list[Path] | None, settings: RunSettings | None
) -> _Asked:
    """The command line's words before the settings', and the settings' before the defaults."""
    from orchestrator.preferences.sources import check_source

    if settings is not None and not given:
        check_files(settings)
    sources = given or (settings.data.sources if settings else ())
    named = model or (settings.model.base if settings else None)
    if not sources or named is None:
        lacking, cure = ("no data are named", "FILE ...") if not sources else ("no model is named", "--model MODEL, for its tokenizer")
        if settings is not None:
            lacking, both = f"{lacking}: [world] makes them when a run begins", "--settings with the settings.json of such a run"
        else:
            both = "--settings FILE that names both"
        raise UserError(lacking, "daa data check", f"give {cure}, or {both}")
    for part in sources:
        check_source(part.source, "daa data check")
    own = (file for place, file in prompt_files(settings) if place.startswith("evaluation."))
    files = tuple(prompts) if prompts is not None else tuple(own)
    return _Asked(sources, named, context or (settings.data.context if settings else _CONTEXT), files)


def _check_quarantine(file: Path | None, asked: _Asked, settings_file: Path | None) -> None:
    """Refuse a quarantine that is one of the files that the check reads."""
    from orchestrator.preferences.sources import check_output

    if file is not None:
        settings = () if settings_file is None else (settings_file,)
        check_output(file, (*(part.source for part in asked.sources), *asked.prompts, *settings), "--quarantine")


def _checked(asked: _Asked) -> tuple["DataReport", list[Any], list[Any]]:
    """The report, what shows the first pairs, and the rows that gave no pair."""
    from evals.prompts import load_prompts
    from orchestrator.policy.loading import load_tokenizer
    from orchestrator.preferences.checks import observe, report
    from orchestrator.preferences.overlap import evaluation_texts
    from orchestrator.preferences.reading import read_pairs
    from orchestrator.preferences.rows import BadRow
    from orchestrator.preferences.templates import answer_template

    tokenizer = load_tokenizer(asked.model, alone=True)
    sets = [load_prompts(file) for file in asked.prompts]
    texts = evaluation_texts(turn.content for one in sets for prompt in one.prompts for turn in prompt.messages if turn.role == "user")
    readings = [read_pairs(part.source, part.limit, part.split, config=part.config, columns=part.columns) for part in asked.sources]
    pairs = [pair for reading in readings for pair in reading.pairs]
    seen = list(observe(tokenizer, pairs, asked.context, texts))
    unused = [row for reading in readings for row in (*reading.bad, *reading.set_aside)]
    kinds = tuple(line for reading in readings for line in reading.kinds)
    unasked = () if asked.prompts else ("evaluation prompts were not looked for: name their files with --prompts FILE",)
    found = replace(report(seen, unused, asked.context), kinds=kinds, notes=(*answer_template(tokenizer).notes(), *unasked))
    return found, _samples(tokenizer, pairs, asked.context), [*unused, *(one for one in seen if isinstance(one, BadRow))]


def _refuse(above: Sequence["Finding"], bounds: dict[str, float], asked: _Asked) -> NoReturn:
    told = ", ".join(f"{each.name} is {each.share:.3g}, above {bounds[each.name]:g}" for each in above)
    where = ", ".join(part.source for part in asked.sources)
    raise UserError(f"the data are refused: {told}", where, "correct the rows that the report names, or allow more with --refuse")


def _samples(tokenizer: Any, pairs: Sequence["PreferencePair"], context: int) -> list[Any]:
    from orchestrator.preferences.pairs import TokenizedPair
    from orchestrator.preferences.tokenization import encoded, fitting
    from orchestrator.report.data_checks import shown_pair

    first = pairs[:_SHOWN_PAIRS]
    whole = zip(first, encoded(tokenizer, first), strict=True)
    made = [(fitting(one, context, pair.origin), pair.origin) for pair, one in whole if isinstance(one, TokenizedPair)]
    return [shown_pair(tokenizer, one, origin) for one, origin in made if isinstance(one, TokenizedPair)]
