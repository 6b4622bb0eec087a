"""Scored responses to preference pairs: which of a prompt's responses is preferred to which."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from evals.prompts import EvaluationPrompt
from orchestrator.rounds.sampling import Sampled
from orchestrator.selection.alignment_potential import alignment_potential, top_pairs
from orchestrator.selection.rejection_sampling import accepted_pairs
from orchestrator.settings import RoundsSettings


@dataclass(frozen=True)
class Scored:
    """A prompt with K responses and their `rewards` (K, S) by S scorers; a response that a scorer could not read is not among them."""

    prompt: EvaluationPrompt
    texts: tuple[str, ...]
    mean_logps: tuple[float, ...]
    rewards: np.ndarray

    @property
    def totals(self) -> np.ndarray:
        """The summed rewards, (K,)."""
        return self.rewards.sum(axis=1)

    @property
    def margin(self) -> float:
        """How far the best response is above the worst, in reward."""
        return float(self.totals.max() - self.totals.min())

    @property
    def implicit_margin(self) -> float:
        """How far the best and the worst response are apart in log-probability per token under who wrote them."""
        logps = self.mean_logps
        return abs(logps[int(self.totals.argmax())] - logps[int(self.totals.argmin())])


def scored(samples: Sequence[Sampled], rewards: Sequence[Sequence[float | None]]) -> list[Scored]:
    """Join responses, prompt by prompt, with each scorer's rewards of them all; prompts without a readable one are left out."""
    made, start = [], 0
    for sample in samples:
        own = [list(of_scorer[start : start + len(sample.texts)]) for of_scorer in rewards]
        start += len(sample.texts)
        readable = [place for place in range(len(sample.texts)) if all(of_scorer[place] is not None for of_scorer in own)]
        if readable:
            table = np.array([[of_scorer[place] for of_scorer in own] for place in readable], dtype=np.float64)
            texts = tuple(sample.texts[place] for place in readable)
            made.append(Scored(sample.prompt, texts, tuple(sample.mean_logps[place] for place in readable), table))
    return made


Row = dict[str, Any]


def _best_worst(settings: RoundsSettings, responses: Scored) -> Iterator[Row]:
    totals = responses.totals
    yield _pair(responses, int(totals.argmax()), int(totals.argmin()))


def _rejection_sampling(settings: RoundsSettings, responses: Scored) -> Iterator[Row]:
    for better, worse in accepted_pairs(responses.totals.tolist(), settings.tau, settings.eta):
        yield _pair(responses, better, worse)


def _all(settings: RoundsSettings, responses: Scored) -> Iterator[Row]:
    yield {"prompt": _messages(responses), "responses": list(responses.texts), "rewards": responses.totals.tolist()}


def _pareto(settings: RoundsSettings, responses: Scored) -> Iterator[Row]:
    """The pair in which one response is nowhere worse and somewhere better, and better by most in sum."""
    better, worse = zip(*_ordered(responses), strict=True) if _ordered(responses) else ((), ())
    if better:
        gains = [responses.totals[ahead] - responses.totals[behind] for ahead, behind in zip(better, worse, strict=True)]
        most = int(np.argmax(gains))
        yield _pair(responses, better[most], worse[most])


# From a prompt's scored responses to rows of preference data; responses of equal reward are no pair.
PAIRINGS: Mapping[str, Callable[[RoundsSettings, Scored], Iterator[Row]]] = {
    "best_worst": _best_worst,
    "rejection_sampling": _rejection_sampling,
    "all": _all,
    "pareto": _pareto,
}


def rows_of(settings: RoundsSettings, responses: Sequence[Scored]) -> list[Row]:
    """Rows of preference data from all prompts whose responses differ in reward."""
    pair = PAIRINGS[settings.pairing]
    return [row for each in responses if each.margin > 0 for row in pair(settings, each)]


def conflicts(responses: Sequence[Scored]) -> list[tuple[Scored, int, int]]:
    """Prompts without an order that all scorers share, each with the two responses that the scorers disagree about by most."""
    found = []
    for each in responses:
        if _ordered(each):
            continue
        spread = {pair: _disagreement(each.rewards[pair[0]] - each.rewards[pair[1]]) for pair in combinations(range(len(each.texts)), 2)}
        first, second = max(spread, key=lambda pair: spread[pair], default=(0, 0))
        if spread.get((first, second), 0.0) > 0:
            found.append((each, first, second))
    return found


def resolved(conflict: tuple[Scored, int, int], revisions: Scored) -> Iterator[Row]:
    """The best revision that every scorer puts above both responses, or level with the better, is preferred to each of them."""
    responses, first, second = conflict
    ceiling = np.maximum(responses.rewards[first], responses.rewards[second])
    above = [place for place in range(len(revisions.texts)) if _dominates(revisions.rewards[place], ceiling)]
    if above:
        best = max(above, key=lambda place: revisions.totals[place])
        for behind in (first, second):
            rewards = (float(revisions.totals[best]), float(responses.totals[behind]))
            yield _row(responses, revisions.texts[best], responses.texts[behind], rewards)


def most_potential(responses: Sequence[Scored], weight: float, count: int) -> list[Scored]:
    """The `count` prompts whose best and worst response have the highest alignment potential, in their order. arXiv:2503.01864."""
    apart = [each for each in responses if each.margin > 0]
    if not apart:
        return []
    potential = alignment_potential([each.margin for each in apart], [each.implicit_margin for each in apart], weight)
    return [apart[place] for place in sorted(top_pairs(potential, min(1.0, count / len(apart))))]


def _ordered(responses: Scored) -> list[tuple[int, int]]:
    rewards = responses.rewards
    pairs = [(one, other) for one in range(len(rewards)) for other in range(len(rewards)) if one != other]
    return [(one, other) for one, other in pairs if _dominates(rewards[one], rewards[other])]


def _dominates(one: np.ndarray, other: np.ndarray) -> bool:
    return bool((one >= other).all() and (one > other).any())


def _disagreement(differences: np.ndarray) -> float:
    """How much the scorers pull either way: the lesser of what they put the first above and below the second by."""
    return float(min(differences.clip(min=0).sum(), (-differences).clip(min=0).sum()))


def _pair(responses: Scored, better: int, worse: int) -> Row:
    totals = responses.totals
    return _row(responses, responses.texts[better], responses.texts[worse], (float(totals[better]), float(totals[worse])))


def _row(responses: Scored, chosen: str, rejected: str, rewards: tuple[float, float]) -> Row:
    sides = {"chosen": chosen, "rejected": rejected, "chosen_reward": rewards[0], "rejected_reward": rewards[1]}
    return {"prompt": _messages(responses), **sides}


def _messages(responses: Scored) -> list[dict[str, str]]:
    return [message.as_dict() for message in responses.prompt.messages]
