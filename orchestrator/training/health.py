"""One word for how a run is doing, and what to do about it."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median, variance
from typing import Any

Step = Mapping[str, Any]

# Steps whose mean is looked at: a fifth of those so far, within these bounds.
FEWEST, MOST = 5, 50


@dataclass(frozen=True)
class Health:
    """`word` is one of SIGNS, "healthy", or "young" for a run too short to tell; `cure` is what helps."""

    word: str
    cure: str = ""


@dataclass(frozen=True)
class Trend:
    """Means of the first and of the latest steps, the usual gradient norm, and how far single steps' losses lie from their mean.

    `luck` is the standard error of the change of the chosen responses' log-probability: each step has pairs of its own, longer or shorter.
    """

    first: Mapping[str, float]
    last: Mapping[str, float]
    usual_norm: float
    spread: float
    luck: float


@dataclass(frozen=True)
class Sign:
    """A trouble, how it shows, and what helps."""

    word: str
    shows: Callable[[Trend], bool]
    cure: str


def _loss_grows(trend: Trend) -> bool:
    return trend.last["loss"] > trend.first["loss"] + 5 * trend.spread


def _learns(trend: Trend) -> bool:
    """More pairs are told apart than at first, and than by chance: a loss whose weights follow the policy, as WPO's do, may grow then."""
    known = max(trend.first["accuracy"], 0.5)
    return trend.last["accuracy"] > known + 0.05 and trend.last["margin"] > trend.first["margin"]


# The gravest first.
SIGNS = (
    Sign(
        "diverging",
        lambda trend: trend.last["gradient_norm"] > 10 * trend.usual_norm or (_loss_grows(trend) and not _learns(trend)),
        "lower learning_rate, lengthen warmup, or set gradient_clipping",
    ),
    Sign(
        "drifting",
        lambda trend: trend.last["drift"] > 1,
        "the policy is far from its reference: raise the method's beta, lower learning_rate, or train for fewer steps",
    ),
    Sign(
        "falling",
        lambda trend: (
            trend.last["chosen_logp"] < trend.first["chosen_logp"] - max(0.1 * abs(trend.first["chosen_logp"]), 2 * trend.luck)
            and trend.last["margin"] > trend.first["margin"]
        ),
        'chosen responses lose probability as well: add an SFT term ("dpo+sft"), take a method that has one (dpo_sft, cpo), or raise beta',
    ),
    Sign(
        "length",
        lambda trend: trend.last["longer_wins"] > trend.last["longer_chosen"] + 0.2,
        "the policy prefers length more than the data do: take a method that normalises by length (simpo, ln_dpo)",
    ),
    Sign(
        "saturated",
        lambda trend: trend.last["accuracy"] > 0.98 and trend.last["loss"] < 0.2 * trend.first["loss"],
        "the pairs are all told apart, more steps only overfit: stop here, or add data",
    ),
    Sign(
        "stalled",
        lambda trend: abs(trend.last["accuracy"] - 0.5) < 0.05 and abs(trend.last["loss"] - trend.first["loss"]) < trend.spread,
        "nothing is learnt yet: raise learning_rate, or check that chosen and rejected differ",
    ),
)
_FIGURES = ("loss", "accuracy", "margin", "chosen_logp", "longer_chosen", "longer_wins", "gradient_norm", "drift")


def health(steps: Sequence[Step]) -> Health:
    """Judge a run by the records of its steps so far: the latest against the first."""
    count = min(max(FEWEST, len(steps) // 5), MOST)
    if len(steps) < 2 * count:
        return Health("young")
    early, late = steps[:count], steps[-count:]
    mean = _means(early)
    spread = fmean(abs(step["loss"] - mean["loss"]) for step in early)
    usual_norm = median(step["gradient_norm"] for step in steps[-10 * MOST :])
    luck = math.sqrt(sum(variance(step.get("chosen_logp") or 0.0 for step in some) for some in (early, late)) / count)
    trend = Trend(mean, _means(late), usual_norm, max(spread, 1e-3), luck)
    return next((Health(sign.word, sign.cure) for sign in SIGNS if sign.shows(trend)), Health("healthy"))


def _means(steps: Sequence[Step]) -> dict[str, float]:
    """A figure that a method does not have counts as none of it."""
    return {name: fmean(step.get(name) or 0.0 for step in steps) for name in _FIGURES}
