"""The score of one checkpoint on one prompt set, with its doubt."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from evals.errors import UnreadableVerdictsError
from evals.generation import Decoding, Response
from evals.guards import Finding
from evals.judging import Verdict, swap_consistency
from evals.statistics import mean_interval


@dataclass(frozen=True)
class Scorecard:
    """A win rate against the baseline in percent (0 to 100; 50 is equal), its 95 % interval, and how it was measured.

    `judged` counts readable verdicts, `unreadable` the others; `mean_length` is in characters; `seconds` covers both answering and
    judging; `cost` is what the judge was paid, in the currency of its prices. `swap_consistency` is the share of pairs asked about in
    both orders whose winner is the same in both, None where none was. `findings` are the guards that the responses set off. `unfinished` is
    the share of responses that were cut off, None in scorecards that do not know it.
    """

    win_rate: float
    low: float
    high: float
    judged: int
    unreadable: int
    mean_length: float
    judge: str
    decoding: Decoding
    prompts_sha256: str
    seconds: float
    cost: float = 0.0
    swap_consistency: float | None = None
    findings: tuple[Finding, ...] = ()
    unfinished: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Give a JSON-ready form."""
        return asdict(self)

    @staticmethod
    def from_dict(row: dict[str, Any]) -> "Scorecard":
        """Invert `as_dict`."""
        findings = tuple(Finding(**finding) for finding in row.get("findings", ()))
        return Scorecard(**{**row, "decoding": Decoding(**row["decoding"]), "findings": findings})


@dataclass(frozen=True)
class Measurement:
    """What a scorecard needs to know besides the verdicts."""

    judge: str
    decoding: Decoding
    prompts_sha256: str
    seconds: float
    max_unreadable: float = 0.1
    findings: tuple[Finding, ...] = ()


def score(verdicts: Sequence[Verdict], responses: Sequence[Response], how: Measurement) -> Scorecard:
    """Summarise verdicts. Raises UnreadableVerdictsError when more than `how.max_unreadable` of them could not be read."""
    readable = [verdict.candidate_score for verdict in verdicts if verdict.candidate_score is not None]
    unreadable = len(verdicts) - len(readable)
    if not readable or unreadable > how.max_unreadable * len(verdicts):
        raise UnreadableVerdictsError(
            f"{unreadable} of {len(verdicts)} verdicts of the judge {how.judge} could not be read",
            cure="look at the judge's raw answers in the log; use a stronger judge or raise `evaluation.max_unreadable`",
            asked=len(verdicts),
            cost=sum(verdict.cost for verdict in verdicts),
        )
    interval = mean_interval(readable)
    return Scorecard(
        win_rate=100 * interval.mean,
        low=100 * interval.low,
        high=100 * interval.high,
        judged=len(readable),
        unreadable=unreadable,
        mean_length=sum(len(response.text) for response in responses) / len(responses),
        judge=how.judge,
        decoding=how.decoding,
        prompts_sha256=how.prompts_sha256,
        seconds=how.seconds,
        cost=sum(verdict.cost for verdict in verdicts),
        swap_consistency=swap_consistency([verdict.in_both_orders for verdict in verdicts if verdict.in_both_orders is not None]),
        findings=how.findings,
        unfinished=sum(not response.finished for response in responses) / len(responses),
    )
