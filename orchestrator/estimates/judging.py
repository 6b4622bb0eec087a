"""What judges are asked, how long servers take for it, and what they are paid."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.estimates.amounts import Amounts
from orchestrator.estimates.effort import Effort
from orchestrator.estimates.ranges import Range
from orchestrator.search.plan import SearchPlan
from orchestrator.settings import JudgeSettings, OpenAISettings, Settings, VllmJudgeSettings

# What a judge is told besides the prompt and the two answers, in tokens.
_JUDGE_PROMPT = 700
_VERDICT = 300  # Tokens of a verdict with its reason.
_REASONING = Range(0, 1 / 8, 1)  # Which share of its room a reasoning model's thoughts take.
_LATENCY = Range(0.7, 2.0, 6.0)  # Seconds of a judge's reply.


@dataclass(frozen=True)
class Asked:
    """`calls` are what a language model is asked, `cost` is in the currency of its prices, None without any; a server takes `seconds`."""

    calls: Range
    cost: Range | None
    seconds: Range

    def __add__(self, other: Asked) -> Asked:
        costs = [each.cost for each in (self, other) if each.cost is not None]
        return Asked(self.calls + other.calls, sum(costs[1:], costs[0]) if costs else None, self.seconds + other.seconds)


@dataclass(frozen=True)
class _Matches:
    """So many verdicts on models, each of which answers at most so many `prompts`."""

    verdicts: Range
    models: Range
    prompts: int


def asked_judges(settings: Settings, amounts: Amounts, plan: SearchPlan, toil: Effort) -> dict[str, Asked]:
    """What is asked of the search's judge, and of that of the finals where it is another, each by its place in the settings."""
    # The base model is judged once, too.
    models = toil.checkpoints + Range.exactly(1)
    searched = _Matches(toil.judgments + Range.exactly(toil.base_judgments), models, plan.rungs[-1].prompts)
    runs = toil.finals_judgments * (1 / amounts.held_out) if amounts.held_out else Range.exactly(0)
    last = _Matches(toil.finals_judgments, runs, amounts.held_out)
    search, finals = (
        _asked(judge, matches, amounts, settings.evaluation.longest)
        for judge, matches in ((settings.judge, searched), (settings.finals.judge or settings.judge, last))
    )
    return {"judge": search + finals} if settings.finals.judge is None else {"judge": search, "finals.judge": finals}


def _asked(judge: JudgeSettings, matches: _Matches, amounts: Amounts, longest: int) -> Asked:
    calls = _calls(judge, matches)
    if not isinstance(judge, OpenAISettings):
        return Asked(calls, None, Range.exactly(0))
    seconds = calls * _LATENCY * (1 / judge.max_concurrency)
    if not judge.price:
        return Asked(calls, None, seconds)
    answer = min(amounts.answer_tokens, longest)
    told = Range(answer, 2 * answer, answer + longest) + Range.exactly(amounts.prompt_tokens + _JUDGE_PROMPT)
    return Asked(calls, calls * (told * (judge.input_price / 1e6) + _replied(judge) * (judge.output_price / 1e6)), seconds)


def _calls(judge: JudgeSettings, matches: _Matches) -> Range:
    """Some pairs of each model are asked about in both orders."""
    if not isinstance(judge, OpenAISettings | VllmJudgeSettings):
        return Range.exactly(0)
    swapped = judge.swapped
    return matches.verdicts * 2 if swapped is None else matches.verdicts + matches.models * min(swapped, matches.prompts)


def _replied(judge: OpenAISettings) -> Range:
    """Tokens of a reply, with those of thoughts, which are paid for alike."""
    if judge.protocol == "logprobs":
        return Range.exactly(1)
    reasons = judge.reasoning_effort not in {None, "none"}
    return Range(_VERDICT / 3, _VERDICT, 2 * _VERDICT) + _REASONING * (judge.reasoning_tokens if reasons else 0)
