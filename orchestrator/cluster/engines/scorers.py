"""Settings to scorers, and actors that share the scoring of many responses."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ray

from evals.chat_models.remembering import remembered
from evals.prompts import EvaluationPrompt
from evals.scoring import ScoredItem, Scorer
from orchestrator.cluster.asking import patiently, together
from orchestrator.cluster.engines.lost_gpus import GpuWork
from orchestrator.cluster.judges import judge_model, replies_directory, reward_model, scorer_gpus
from orchestrator.cluster.session import keep_to_own_gpus
from orchestrator.output import send_output_to
from orchestrator.settings.evaluation import OpenAISettings, RewardModelSettings, VerifierSettings
from orchestrator.settings.scoring import ClosenessSettings, CustomScorerSettings, PairRankerSettings, RatingSettings, ScorerSettings


def make_scorer(settings: ScorerSettings, replies: Path) -> Scorer:
    """A scorer of responses. Models remember their replies in the directory `replies`, by what they were asked."""
    if isinstance(settings, RewardModelSettings):
        from evals.scorers.reward_model import RewardModelScorer

        return RewardModelScorer(reward_model(settings, replies))
    if isinstance(settings, PairRankerSettings):
        from evals.scorers.pair_ranker import PairRanker, PairRankerScorer

        return PairRankerScorer(remembered(PairRanker(**settings.model_dump(exclude={"kind", "gpus"})), replies))
    if isinstance(settings, RatingSettings):
        from evals.scorers.rating import RatingScorer

        return RatingScorer(judge_model(settings.model, replies))
    from evals.scorers.direct import LengthScorer, ReferenceScorer, VerifierScorer

    if isinstance(settings, VerifierSettings):
        return VerifierScorer()
    if isinstance(settings, CustomScorerSettings):
        return settings.make()
    return ReferenceScorer() if isinstance(settings, ClosenessSettings) else LengthScorer(settings.prefer == "longer")


@ray.remote(max_restarts=-1)
class ScorerActor:
    """Any scorer, in a process of its own."""

    def __init__(self, settings: ScorerSettings, log: str, replies: str) -> None:
        send_output_to(Path(log))
        keep_to_own_gpus()
        self._scorer = make_scorer(settings, Path(replies))
        self._gpu = GpuWork()

    def name(self) -> str:
        """What the scores depend on."""
        return self._scorer.name

    def score(self, items: Sequence[ScoredItem]) -> list[float | None]:
        """Scores in the order of the items."""
        with self._gpu.working():
            return self._scorer.score(items)


def start_scorers(name: str, settings: ScorerSettings, count: int, cache: Path, logs: Path) -> list[Any]:
    """`count` actors of one scorer, found as NAME-0 and so on; each holds the GPUs that the scorer needs."""
    gpus = scorer_gpus(settings)
    replies = str(replies_directory(cache))
    share = share_of_bounds(settings, count)
    return [
        ScorerActor.options(name=own, num_cpus=0, num_gpus=gpus).remote(share, str(logs / f"{own}.log"), replies)
        for own in (f"{name}-{number}" for number in range(count))
    ]


def share_of_bounds(settings: ScorerSettings, count: int) -> ScorerSettings:
    """The settings of one of `count` actors, which ask and spend together what one alone might; each may ask at least once."""
    if not isinstance(settings, RatingSettings) or not isinstance(settings.model, OpenAISettings):
        return settings
    requests, cost = settings.model.max_requests, settings.model.max_cost
    shares = {"max_requests": requests and max(1, requests // count), "max_cost": cost and cost / count}
    return settings.model_copy(update={"model": settings.model.model_copy(update=shares)})


def score_with(actors: Sequence[Any], items: Sequence[ScoredItem]) -> list[float | None]:
    """Scores in the order of the items, which are dealt out to the actors prompt by prompt, so that each has about as much text.

    An actor that dies starts again, and is asked again. Raises what a scorer raises.
    """
    groups = by_prompt(items)
    costs = [sum(len(items[number].prompt.text) + len(items[number].text) for number in group) for group in groups]
    shares = [[number for group in share for number in groups[group]] for share in dealt(costs, len(actors))]
    found = together(patiently(actor.score, [items[number] for number in share]) for actor, share in zip(actors, shares, strict=False))
    scores: list[float | None] = [None] * len(items)
    for share, of_share in zip(shares, found, strict=True):
        for number, score in zip(share, of_share, strict=True):
            scores[number] = score
    return scores


def by_prompt(items: Sequence[ScoredItem]) -> list[list[int]]:
    """The numbers of the items of each prompt."""
    groups: dict[EvaluationPrompt, list[int]] = {}
    for number, item in enumerate(items):
        groups.setdefault(item.prompt, []).append(number)
    return list(groups.values())


def dealt(costs: Sequence[int], parts: int) -> list[list[int]]:
    """Numbers into `costs` in as many parts, or fewer where there are fewer costs, with sums about alike; the longest goes first."""
    from orchestrator.preferences.packing import split_evenly

    parts = min(parts, len(costs))
    return [share[0] for share in split_evenly(costs, parts, sum(costs) + 1)] if parts else []
