"""A model's outputs to official rows and scores: what a judge says about them, what it cost, and what is suspicious."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean
from typing import Any

from evals.asking import ChatModel, Question, Reply
from evals.benchmarks.formats import Outputs
from evals.benchmarks.pins import prompt_set_sha256
from evals.benchmarks.score import BenchmarkScore
from evals.errors import UnreadableVerdictsError
from evals.generation import Decoding
from evals.guards import Finding, inspect_responses
from evals.judging import Judge
from evals.protocols.contract import Benchmark, Judged

ATTEMPTS = 2
_LONGEST_REASON = 300


@dataclass(frozen=True)
class Evaluation:
    """One model on one benchmark: its scores (one for each category), the official rows, and how they were measured.

    Without a readable verdict there are no scores, and `unscored` says why: the rows are worth keeping all the same.

    `failed` says how many of the judge's replies failed, and why most of them did.

    `decoding` is None for outputs that were made elsewhere; `unfinished` is the share of them that were cut off, None where that is not
    known; `cost` is the judge's, in the currency of its prices, whenever it was paid.
    """

    outputs: Outputs
    judge: str
    scores: Sequence[BenchmarkScore]
    judged: Judged
    findings: Sequence[Finding]
    decoding: Decoding | None
    judge_versions: Sequence[str]
    prompts: int
    prompts_sha256: str
    mean_length: float
    seconds: float
    cost: float
    unscored: str = ""
    unfinished: float | None = None
    failed: str = ""

    def cards(self) -> list[dict[str, Any]]:
        """One JSON-ready scorecard for each score."""
        how = {
            "judge_versions": list(self.judge_versions),
            "decoding": None if self.decoding is None else asdict(self.decoding),
            "prompts": self.prompts,
            "prompts_sha256": self.prompts_sha256,
            "mean_length": self.mean_length,
            "unfinished": self.unfinished,
            "seconds": round(self.seconds, 3),
            "cost": self.cost,
            "findings": [asdict(finding) for finding in self.findings],
        }
        return [score.as_dict() | how for score in self.scores]


def evaluate(benchmark: Benchmark, outputs: Outputs, judge: ChatModel | Judge, decoding: Decoding | None = None) -> Evaluation:
    """Judge outputs that are keyed by the benchmark's prompt ids.

    Raises what the judge raises.
    """
    started, failed = time.perf_counter(), ""
    if isinstance(judge, Judge):
        verdicts = judge.judge(benchmark.matches(outputs))
        judged, versions, cost = benchmark.ruled(outputs, verdicts, judge.name), [], sum(verdict.cost for verdict in verdicts)
    else:
        questions = benchmark.questions(outputs)
        replies = ask_until_readable(benchmark, judge, questions)
        judged = benchmark.judged(outputs, questions, replies, judge.name)
        versions, cost = sorted({reply.model for reply in replies if reply.model}), sum(reply.cost for reply in replies)
        failed = _failed(replies)
    texts = {name: "\n\n".join(turns) for name, turns in outputs.answers.items()}
    baseline = benchmark.baseline()
    against = None if baseline is None else {name: "\n\n".join(turns) for name, turns in baseline.items()}
    asked = {prompt.id: "\n\n".join(prompt.turns) for prompt in benchmark.prompts()}
    scores, unscored = _scored(benchmark, judged)
    cut = outputs.unfinished
    return Evaluation(
        outputs=outputs,
        judge=judge.name,
        scores=scores,
        judged=judged,
        findings=inspect_responses(texts, against, asked, unfinished=cut or ()),
        decoding=decoding,
        judge_versions=versions,
        prompts=len(asked),
        prompts_sha256=prompt_set_sha256((prompt.id, prompt.turns) for prompt in benchmark.prompts()),
        mean_length=fmean(len(text) for text in texts.values()),
        seconds=time.perf_counter() - started,
        cost=cost,
        unscored=unscored,
        unfinished=None if cut is None else len(cut) / len(texts),
        failed=failed,
    )


def _failed(replies: Sequence[Reply]) -> str:
    reasons = Counter(reply.failure for reply in replies if reply.failure)
    if not reasons:
        return ""
    ((commonest, _),) = reasons.most_common(1)
    return f"{reasons.total()} of {len(replies)} replies failed: {commonest[:_LONGEST_REASON]}"


def _scored(benchmark: Benchmark, judged: Judged) -> tuple[Sequence[BenchmarkScore], str]:
    try:
        return benchmark.scores(judged), ""
    except UnreadableVerdictsError as error:
        return [], error.what


def ask_until_readable(benchmark: Benchmark, judge: ChatModel, questions: Sequence[Question]) -> list[Reply]:
    """Ask once, and what could not be read once more, where the judge may say something else."""
    replies = judge.ask(questions)
    for attempt in range(1, 1 if judge.repeats_itself else ATTEMPTS):
        open_ones = [n for n, reply in enumerate(replies) if not benchmark.readable(questions[n], reply)]
        again = judge.ask([replace(questions[n], attempt=attempt) for n in open_ones])
        for n, reply in zip(open_ones, again, strict=True):
            better = reply if benchmark.readable(questions[n], reply) else replies[n]
            replies[n] = replace(better, cost=reply.cost + replies[n].cost)
    return replies


def check_readable(evaluation: Evaluation, max_unreadable: float) -> None:
    """Refuse a score for which more than the share `max_unreadable` of verdicts could not be read. Raises UnreadableVerdictsError."""
    cure, failed = "look at the judge's replies in the judgment file; use a stronger judge or raise `max_unreadable`", ""
    if evaluation.failed:
        cure, failed = "mend that, and give the command again: replies that failed are asked for anew", f"; {evaluation.failed}"
    if evaluation.unscored:
        raise UnreadableVerdictsError(evaluation.unscored + failed, evaluation.judge, cure)
    for score in evaluation.scores:
        total = score.judged + score.unreadable
        if score.unreadable > max_unreadable * total:
            raise UnreadableVerdictsError(
                f"{score.unreadable} of {total} verdicts of {score.judge} on {score.model} could not be read{failed}",
                score.benchmark,
                cure,
            )
