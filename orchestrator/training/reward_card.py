"""How good a reward model is: how often it prefers the chosen response of held-out pairs, beside what length alone would prefer."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from evals.statistics import Interval, clustered_interval
from orchestrator.preferences.conversations import RewardData
from orchestrator.preferences.pairs import PreferencePair
from orchestrator.selection.rewards import Scale, scale_of


@dataclass(frozen=True)
class RewardCard:
    """Shares of held-out pairs whose chosen response is preferred, ties counting half, with 95 % intervals over prompts.

    `length_rule` is "longer" or "shorter", whichever is right more often on the pairs that were trained on, by characters; `gain` is the
    reward model's accuracy less the rule's. `scale` is that of the rewards of the held-out responses.
    """

    accuracy: Interval
    length_rule: str
    length_accuracy: Interval
    gain: Interval
    pairs: int
    prompts: int
    scale: Scale

    def as_dict(self) -> dict[str, Any]:
        """A JSON-ready form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "RewardCard":
        """The card from `as_dict`."""
        shares = {name: Interval(**values[name]) for name in ("accuracy", "length_accuracy", "gain")}
        return cls(**{**values, **shares, "scale": Scale(**values["scale"])})

    def told(self) -> str:
        """The card in a sentence, for people."""
        return (
            f"it prefers the chosen response in {_percent(self.accuracy)} of {self.pairs} held-out pairs of {self.prompts} prompts; "
            f"the {self.length_rule} response is the chosen one in {_percent(self.length_accuracy)}; difference {_percent(self.gain)}; "
            f"rewards have mean {self.scale.mean:.3f} and deviation {self.scale.deviation:.3f}"
        )


def reward_card(data: RewardData, chosen: Sequence[float], rejected: Sequence[float]) -> RewardCard:
    """The card from the rewards of the held-out pairs, in their order."""
    texts = data.validation.texts
    sign = 1.0 if sum(map(_length_preference, data.train.texts)) >= 0 else -1.0
    ours = [_preference(ahead, behind) for ahead, behind in zip(chosen, rejected, strict=True)]
    rule = [0.5 + 0.5 * sign * _length_preference(pair) for pair in texts]
    prompts = [pair.prompt for pair in texts]
    gain = clustered_interval([(1 + own - other) / 2 for own, other in zip(ours, rule, strict=True)], prompts)
    return RewardCard(
        accuracy=clustered_interval(ours, prompts),
        length_rule="longer" if sign > 0 else "shorter",
        length_accuracy=clustered_interval(rule, prompts),
        gain=Interval(*(2 * bound - 1 for bound in (gain.mean, gain.low, gain.high))),
        pairs=len(texts),
        prompts=len(set(prompts)),
        scale=scale_of([*chosen, *rejected]),
    )


def _length_preference(pair: PreferencePair) -> float:
    """1 where the chosen response is the longer one, -1 where the rejected one is, else 0."""
    return 2 * _preference(len(pair.chosen), len(pair.rejected)) - 1


def _preference(ahead: float, behind: float) -> float:
    return 0.5 if ahead == behind else float(ahead > behind)


def _percent(share: Interval) -> str:
    return f"{100 * share.mean:.1f} % ({100 * share.low:.1f} to {100 * share.high:.1f})"
