"""How much training and judging a search will probably do without: the race's own rules, on searches that are drawn at random."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from orchestrator.estimates.ranges import Range
from orchestrator.search.plan import SearchPlan, race_rules
from orchestrator.search.racing import Race, Rules
from orchestrator.settings import Settings

# Spread of the trials' strength on a normal scale, where 0.1 gives win rates a standard deviation of 4 points, and how verdicts on
# equally strong ones correlate. Those of public models correlate by 0.65 and less, those of one base model's trials by more.
_WORLDS = ((0.05, 0.95), (0.1, 0.8), (0.3, 0.65))
_DRAWS, _MOST_TRIALS, _MOST_PROMPTS = 3, 64, 800


@dataclass(frozen=True)
class Effort:
    """Checkpoints that all trials together train to, and verdicts that are asked about them.

    `finals_checkpoints` and `finals_judgments` come on top; so do `base_judgments`, those on the base model itself.
    """

    checkpoints: Range
    judgments: Range
    finals_checkpoints: Range
    finals_judgments: Range
    base_judgments: int


def effort(settings: Settings, plan: SearchPlan, trials: int) -> Effort:
    """Of a search over so many trials under the plan's rungs."""
    last = plan.rungs[-1]
    shares = _shares(settings, plan, trials)
    # Plain DPO may be among the finalists by itself.
    finals = Range(1 - 1 / (settings.finals.finalists + 1), 1, 1)
    return Effort(
        checkpoints=shares[0] * (trials * last.checkpoint),
        judgments=shares[1] * (trials * last.prompts),
        finals_checkpoints=finals * (plan.final_runs * last.checkpoint),
        finals_judgments=finals * plan.final_judgments,
        base_judgments=last.prompts,
    )


def _shares(settings: Settings, plan: SearchPlan, trials: int) -> tuple[Range, Range]:
    """Of the checkpoints, and of the verdicts, that whole trials would take."""
    search, last = settings.search, plan.rungs[-1]
    every = sum({rung.checkpoint: rung.prompts for rung in plan.rungs}.values()) / last.prompts
    match search.scheduler:
        case "racing":
            return _raced(race_rules(settings, plan), trials, every)
        case "none":
            return Range.exactly(1), Range.exactly(every)
        case "asha" | "hyperband":
            kept = [search.reduction_factor**-number for number in range(last.checkpoint)]
            return Range(fmean(kept), (fmean(kept) + 1) / 2, 1), Range(fmean(kept), (fmean(kept) + 1) / 2, 1) * every
        case "median":
            return Range(0.5, 0.8, 1), Range(0.5, 0.8, 1) * every
        case _:
            return Range(0.8, 1, 1.2), Range(0.8, 1, 1.2) * every


def _raced(rules: Rules, trials: int, every: float) -> tuple[Range, Range]:
    """By drawn races. Workers train on while a score is on its way: at the most, each trial one checkpoint further.

    Trials that come early have nobody to be behind of, and `every` share of verdicts is asked where none ever is: the bound lies midway.
    """
    some = replace(_smaller(rules), trials=trials)
    found = [[_race(some, min(trials, _MOST_TRIALS), random.Random(seed), world) for seed in range(_DRAWS)] for world in _WORLDS]
    trained, judged = ([fmean(each[part] for each in draws) for draws in found] for part in (0, 1))
    ahead = 1 / rules.rungs[-1].checkpoint
    further = Range(min(trained), min(1.0, fmean(trained) + ahead / 2), min(1.0, max(trained) + ahead))
    return further, Range(min(judged), fmean(judged), (max(judged) + every) / 2)


def _smaller(rules: Rules) -> Rules:
    """The same race on fewer prompts, where a drawn one need not take so long."""
    factor = min(1.0, _MOST_PROMPTS / rules.rungs[-1].prompts)
    return replace(rules, rungs=tuple(replace(rung, prompts=max(1, round(factor * rung.prompts))) for rung in rules.rungs))


def _race(rules: Rules, trials: int, chance: random.Random, world: tuple[float, float]) -> tuple[float, float]:
    """The shares of checkpoints and of verdicts, each of whole trials', that one drawn race takes."""
    spread, correlation = world
    prompts = [chance.gauss(0, correlation**0.5) for _ in range(rules.rungs[-1].prompts)]
    race, last = Race(rules), rules.rungs[-1]
    checkpoints = verdicts = 0
    for trial in range(trials):
        scores = list(_verdicts(prompts, spread * chance.gauss(0, 1), (1 - correlation) ** 0.5, chance))
        asked: dict[int, int] = {}
        for rung in rules.rungs:
            asked[rung.checkpoint] = rung.prompts
            if not race.add(str(trial), rung, scores).goes_on:
                break
        checkpoints += len(asked)
        verdicts += sum(asked.values())
    return checkpoints / (trials * last.checkpoint), verdicts / (trials * last.prompts)


def _verdicts(prompts: Sequence[float], strength: float, own: float, chance: random.Random) -> Iterator[float]:
    for prompt in prompts:
        yield float(prompt + own * chance.gauss(0, 1) + strength > 0)
