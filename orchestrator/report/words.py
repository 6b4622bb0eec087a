"""How numbers are written wherever people read them."""

from collections.abc import Mapping, Sequence
from typing import Any

from evals.comparison import Comparison
from orchestrator.figures import HOURS, duration, signed, span, with_interval
from orchestrator.search.budget import Saved, Spent
from orchestrator.search.capability import Capability
from orchestrator.search.leaderboard import BASE, Row
from orchestrator.search.ledger import Events
from orchestrator.search.projection import Projection
from orchestrator.search.verdict import Answer, Difference
from orchestrator.settings.search import CONTROL

SMALLEST_P = 0.001
ROUNDED_P = 0.1


def win_rate(row: Row) -> str:
    """A win rate with its 95 % interval."""
    if row.win_rate is None or row.low is None or row.high is None:
        return "not scored"
    return with_interval(vars(row))


def length(mean: float | None, unfinished: float | None) -> str:
    """A mean length in characters, and the share of answers that were cut off, where some were; nothing where it is not known."""
    if mean is None:
        return ""
    return f"{mean:,.0f}" + (f" ({100 * unfinished:.1f} % cut off)" if unfinished else "")


def hyperparameters(values: Mapping[str, Any]) -> str:
    """name=value pairs, numbers to three digits."""
    return " ".join(f"{key}={value:.3g}" if isinstance(value, float) else f"{key}={value}" for key, value in values.items())


def p_value(p: float) -> str:
    """A p value as it is written; it is never zero, however small."""
    return "p < 0.001" if p < SMALLEST_P else f"p = {p:.3f}" if p < ROUNDED_P else f"p = {p:.2f}"


def verdict(found: Answer) -> list[str]:
    """The answer in sentences: what the best does against the base model, plain DPO and the runner-up, and how sure that is."""
    best = found.best
    rate = f"{best.win_rate:.1f} % (95 % {best.low:.1f}–{best.high:.1f})"
    where = f"{best.prompts} {'held-out' if found.is_fresh else 'search'} prompt{'s' if best.prompts != 1 else ''}"
    seeds = "trained with one seed" if best.seeds == 1 else f"averaged over {best.seeds} training seeds"
    sentences = [f"{best.trial} wins {rate} against the base model on {where}, {seeds}."]
    if not found.is_fresh:
        sentences.append(
            "The search chose it on these same prompts, so expect less on others: set evaluation.held_out for a fresh estimate."
        )
    sentences += [_compared(found, each) for each in found.differences]
    if best.method == CONTROL:
        sentences.append("The best is plain DPO itself: no other method did better.")
    if found.seed_deviation is not None:
        sentences.append(_seed_spread(found.seed_deviation, sum(each.seeds - 1 for each in found.finalists)))
    elif found.is_fresh:
        sentences.append("How much another training seed would change this was not measured: set finals.seeds to 2 or more.")
    return sentences


def cut_short(events: Events) -> list[str]:
    """That the finals of the latest session came to the end of their budget, if they did; and runs that their judge could not judge."""
    spent = [event for event in events.session.of("spent") if event.get("finals")]
    told = [f"{event['run']} is left out of the finals: {event['reason']}." for event in events.left_out]
    return ([f"The finals ended early: {spent[-1]['reason']}."] if spent else []) + told


def capability(found: Sequence[Capability]) -> list[str]:
    """What finalists surely lost against the base model, or that nothing surely was."""
    told = [_fell(each.trial, each.task, each.change) for each in found if each.change is not None and each.fell]
    tasks = ", ".join(dict.fromkeys(each.task for each in found if each.change is not None))
    return told or ([f"No finalist surely lost capability against the base model on {tasks}."] if tasks else [])


def _fell(trial: str, task: str, change: Comparison) -> str:
    figures = f"{-change.difference:.1f} points (95 % {-change.high:.1f}–{-change.low:.1f})"
    return f"{trial}: capability fell by {figures} on {task} against the base model."


def economy(spent: Spent, found: Saved | None) -> str:
    """What the search cost, and what it did without."""
    told = f"Spent: {_amounts(spent)}."
    if found is None:
        return told
    shares = f"{100 * found.judgments:.0f} % of the judgments and {100 * found.checkpoints:.0f} % of the training"
    return f"{told} The search saved {shares} that full runs of every trial, judged at every checkpoint on every prompt, would have taken."


def spending(found: Projection) -> str:
    """What a search has spent so far, and what it will have spent at the end, finals included."""
    told = f"spent: {_amounts(found.spent)}"
    return told if found.expected is None else f"{told}; expected in all: {_amounts(found.expected)}"


def _amounts(spent: Spent) -> str:
    parts = [f"{spent.judgments:,} judgments", duration(spent.hours)]
    parts += [f"{spent.gpu_hours:.1f} GPU-hours"] if spent.gpu_hours else []
    parts += [f"{spent.cost:.2f} paid to the judge"] if spent.cost else []
    return ", ".join(parts)


def _seed_spread(deviation: float, runs: int) -> str:
    base = f"judging from {runs} further training run{'s' if runs > 1 else ''}"
    if deviation == 0:
        return f"Training seeds move a win rate by no more than the noise of the prompts hides, {base}."
    return f"Training seeds move a win rate by about {deviation:.1f} points (one standard deviation, {base})."


def _compared(found: Answer, each: Difference) -> str:
    figures = f"{signed(each.difference)} points (95 % {span(each.low, each.high)}; {p_value(each.p)}, corrected)"
    other = _other(found, each.second)
    if not each.is_real:
        told = f"a true difference of {each.detectable:.1f} points would have shown four times out of five"
        return f"It is not distinguishable from {other}: {figures}; {told}."
    # Holm finds a little more than intervals that hold for all pairs at once.
    touches = "; the interval, which holds for all comparisons at once, just reaches zero" if each.low <= 0 <= each.high else ""
    return f"It is {'better' if each.difference > 0 else 'worse'} than {other}: {figures}{touches}."


def _other(found: Answer, trial: str) -> str:
    """What the best is compared with, and which trial that is."""
    if trial == BASE:
        return "the base model"
    roles = ["the runner-up"] if trial == found.finalists[1].trial else []
    method = next(each.method for each in found.finalists if each.trial == trial)
    roles = ["the best plain DPO", *roles] if method == CONTROL != found.best.method else roles
    return f"{trial} ({' and '.join(roles)})"


def amount(value: float, unit: str = "") -> str:
    """A figure to what can be relied on, with its unit; less than two hours are told in minutes."""
    if unit == "hours" and value < HOURS:
        value, unit = 60 * value, "minutes"
    number = f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.1f}" if value >= 10 else f"{value:.2g}"
    return f"{number} {unit}".strip()
