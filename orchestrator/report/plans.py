"""A plan for the screen: the trials, and what they will take."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from orchestrator.estimates.estimate import Estimate, Work
from orchestrator.estimates.obstacles import Obstacle
from orchestrator.estimates.ranges import Range
from orchestrator.report.cards import range_in_words
from orchestrator.report.words import amount, hyperparameters
from orchestrator.search.grid import listed_samples, shares_of
from orchestrator.search.trial import joint_space, published_samples, ranges_of, shared_settings
from orchestrator.settings import Settings

_SHOWN = 12  # Settings of a grid; the rest are counted.


def trials_of(settings: Settings) -> list[dict[str, Any]]:
    """For each method that competes: how many trials, its first one, and either all settings of its grid or the ranges they come from."""
    search = settings.search
    shared, space = shared_settings(settings), joint_space(search)
    listed = listed_samples(search, shared)
    counts = shares_of(search, listed)
    first = {sample.pop("method"): sample for sample in published_samples(search.arms, space, shared)}
    return [
        {
            "method": name,
            "trials": counts[name],
            "first": first[name],
            "ranges": {key: range_in_words(each) for key, each in ranges_of(name, space).items()},
            "settings": (listed[name] or [])[: counts[name]] if search.searcher == "grid" else [],
        }
        for name in search.arms
    ]


def plan_shown(work: Work, found: Estimate, against: Sequence[Obstacle]) -> RenderableType:
    """The trials, the estimate with its ranges, and what stands against it."""
    return Group(_trials(work.settings), _estimate(work, found), *(_obstacle(each) for each in against))


def as_json(work: Work, found: Estimate, against: Sequence[Obstacle]) -> dict[str, Any]:
    """All of it as plain values."""
    pace = work.pace.source if work.pace is not None else None
    return {"trials": trials_of(work.settings), "estimate": found.as_dict(), "speed": pace, "obstacles": [vars(each) for each in against]}


def _trials(settings: Settings) -> RenderableType:
    search = settings.search
    how = "equally many for each method" if search.allocation == "equal" else "the most promising methods get more"
    table = Table(title=f"{search.trials} trials ({search.searcher}, {search.scheduler}; {how})", title_justify="left")
    for heading in ("method", "trials", "the first one", "the others"):
        table.add_column(heading, overflow="fold")
    for row in trials_of(settings):
        others = "\n".join(f"{key} {words}" for key, words in row["ranges"].items()) if row["trials"] > 1 else ""
        if row["settings"]:
            lines = [hyperparameters(_short(sample)) for sample in row["settings"][1:]]
            more = [f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
            others = "\n".join([*lines[:_SHOWN], *more])
        table.add_row(row["method"], str(row["trials"]), escape(hyperparameters(_short(row["first"]))), escape(others))
    return table


def _short(sample: Mapping[str, Any]) -> dict[str, Any]:
    """Without the method in front of each name."""
    return {key.split(".", 1)[-1]: value for key, value in sample.items()}


def _estimate(work: Work, found: Estimate) -> RenderableType:
    table = Table(title="What it will take", title_justify="left")
    for heading in ("", "expected", "probably between", "of which, or how"):
        table.add_column(heading, overflow="fold")
    for name, figure, unit, note in _figures(work, found):
        if figure is None:
            table.add_row(name, "not known", "", note)
            continue
        between = "" if figure.low == figure.high else f"{amount(figure.low, unit)} – {amount(figure.high, unit)}"
        table.add_row(name, amount(figure.expected, unit), between, note)
    return table


def _figures(work: Work, found: Estimate) -> list[tuple[str, Range | None, str, str]]:
    amounts, last = work.amounts, work.plan.rungs[-1]
    whole, finals = (count * last.checkpoint for count in (work.trials, work.plan.final_runs))
    called = f"; {amount(found.calls.expected, 'calls')} of the judge's model" if found.calls.high else ""
    speed = f"by {work.pace.source}" if work.pace else "no speed is known: name a GPU with --gpu, or measure with --measure"
    parts = ", ".join(f"{name} {amount(part.expected, 'hours')}" for name, part in found.parts.items() if part.high)
    rows = [
        ("steps of a whole trial", Range.exactly(found.steps), "", f"{amounts.pairs:,} pairs of {amounts.pair_tokens:.0f} tokens"),
        ("checkpoints trained", found.checkpoints, "", f"{whole} without early stops; {finals} more for the finals"),
        ("judgments", found.judgments, "", f"{amounts.prompts} prompts, {amounts.held_out} held out{called}"),
        ("wall time", found.hours, "hours", "; ".join(filter(None, (speed, parts, *(_untimed(work.settings) if work.pace else ()))))),
    ]
    rows += [("GPU time", found.gpu_hours, "GPU-hours", f"all {work.plan.gpus:g} GPUs that the search holds")] if work.plan.gpus else []
    if found.cost or _pays_scorers(work.settings):
        unpaid = "what rounds.scorers are paid is not in it" if _pays_scorers(work.settings) else ""
        rows += [("money for the judge", found.cost, "", "; ".join(filter(None, (_paid(found), unpaid))))]
    rows += [("disk at the most", found.disk, "GiB", "models that ended trials keep, and whole checkpoints of those that train")]
    return rows + _memory(work, found)


def _untimed(settings: Settings) -> list[str]:
    """Whose time an estimate leaves out."""
    models = {"judge": settings.judge, "finals.judge": settings.finals.judge}
    models |= {f"ladder.{name}": model for name, model in settings.ladder.models.items()}
    local = [where for where, model in models.items() if model is not None and model.local_model]
    left = [f"the time of {' and '.join(local)}, a model of the cluster's own, is not in it"] if local else []
    return [*left, "the time in which rounds sample and score responses is not in it"] if settings.rounds is not None else left


def _pays_scorers(settings: Settings) -> bool:
    """Whether rounds ask a model that has a price."""
    return settings.rounds is not None and any(scorer.price for scorer in settings.rounds.scorers)


def _paid(found: Estimate) -> str:
    """Who is paid in what."""
    paid = [f"{where} {amount(asked.cost.expected)}" for where, asked in found.judges.items() if asked.cost is not None]
    return "; ".join(["in the currency of input_price and output_price", *(paid if len(found.judges) > 1 else [])])


def _memory(work: Work, found: Estimate) -> list[tuple[str, Range | None, str, str]]:
    rows: list[tuple[str, Range | None, str, str]] = []
    there = f"of {work.gpu.memory:.0f} GiB: " if work.gpu else ""
    if found.memory is not None:
        parts = ", ".join(f"{name} {value:.1f}" for name, value in found.memory.parts.items() if value)
        before = [f"the whole model {found.memory.starting:.1f} before it is spread"]
        before += [f"{found.memory.scoring:.1f} while the reference is scored"] if found.memory.scoring else []
        if found.memory.stepping > sum(found.memory.parts.values()):
            before += [f"{found.memory.stepping:.1f} while the optimiser takes a step"]
        rows.append(("memory of a training GPU", found.memory.total, "GiB", "; ".join((there + parts, *before))))
    if (engine := found.engine) is not None:
        note = f"weights {engine.weights:.1f}, cache {engine.cache:.1f}: {engine.sequences:.0f} whole sequences at a time"
        rows.append(("memory of an engine's GPU", Range.exactly(engine.weights + max(0.0, engine.cache)), "GiB", there + note))
    return rows


def _obstacle(each: Obstacle) -> Text:
    word, style = ("cannot be", "bold red") if each.is_certain else ("beware", "yellow")
    return Text.assemble((f"{word}: ", style), f"{each.what}\n  where: {each.where}\n  cure:  {each.cure}")
