"""Exact-match tasks of lm-evaluation-harness, asked of a chat model: a win rate that is bought with knowledge shows here.

The harness is the optional extra `capability`; only this file names it.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from evals.asking import ChatModel, Question
from evals.benchmarks.score import BenchmarkScore
from evals.comparison import compared, mean_influence
from evals.errors import UserError, first_line
from evals.generation import Decoding
from evals.guards import Finding
from evals.prompts import Message
from evals.protocols.answering import Candidate
from evals.statistics import mean_interval

# The measures of right answers, and the readings of an answer, in the order of preference where a task has several.
MEASURES = ("exact_match", "prompt_level_strict_acc", "acc")
READINGS = ("flexible-extract", "none")
_LONGEST = 512


@dataclass(frozen=True)
class CapabilityEvaluation:
    """One model's scores on the suite, and what it lost."""

    scores: Sequence[BenchmarkScore]
    findings: Sequence[Finding]

    def cards(self) -> list[dict[str, Any]]:
        """A JSON-ready scorecard for each task."""
        return [score.as_dict() | {"findings": [asdict(finding) for finding in self.findings]} for score in self.scores]


@dataclass(frozen=True)
class CapabilitySuite:
    """Tasks by their names in the harness, the first `limit` questions of each; `task_files` is a directory of tasks of one's own."""

    tasks: Sequence[str] = ("gsm8k", "triviaqa")
    limit: int | None = 200
    task_files: Path | None = None

    def check(self) -> None:
        """Refuse, before any model is loaded, tasks that there are not, that have no data or ask for no text. Raises UserError."""
        known = set(self._manager.all_tasks)
        unknown = [task for task in self.tasks if task not in known]
        if unknown:
            cure = "`lm-eval ls tasks` lists them; `task_files` adds a directory of your own"
            raise UserError(f"lm-evaluation-harness has no task {unknown[0]!r}", "capability.tasks", cure)
        try:
            loaded = self._manager.load(list(self.tasks))["tasks"]
        except (OSError, ValueError) as error:
            raise self._without_data(error) from error
        except Exception as error:
            # A task is its author's templates and code.
            cure = "correct the task's file, or install what it imports"
            raise UserError(f"the tasks cannot be loaded: {first_line(error)}", ", ".join(self.tasks), cure) from error
        for name, task in loaded.items():
            if task.OUTPUT_TYPE != "generate_until":
                raise _asks_for_no_text(name)

    def measure(self, model: ChatModel, candidate: Candidate) -> list[BenchmarkScore]:
        """The percentage of right answers to each task, the model being asked through its chat template, few-shot turns included.

        Raises UserError for a task that cannot be loaded or that does not ask for text, and what the model raises.
        """
        from lm_eval.evaluator import simple_evaluate

        asked = _asking(model, candidate)
        try:
            found: Any = simple_evaluate(
                asked,
                tasks=list(self.tasks),
                limit=self.limit,
                apply_chat_template=True,
                bootstrap_iters=0,
                task_manager=self._manager,
                verbosity="ERROR",
            )
        except (OSError, ValueError) as error:
            raise self._without_data(error) from error
        return [_score(task, rows, candidate.name, asked.unanswered) for task, rows in found["samples"].items()]

    def _without_data(self, error: Exception) -> UserError:
        cure = "does this machine reach the hub, or is the data set in its cache? `task_files` takes tasks whose data are local"
        return UserError(f"the tasks cannot be loaded: {error}", ", ".join(self.tasks), cure)

    @property
    def _manager(self) -> Any:
        if self.task_files is not None:
            own = _task_manager(self.task_files, with_defaults=False)
            # A group of one's own may name tasks of the harness.
            if set(self.tasks) <= set(own.all_subtasks):
                return own
        return _task_manager(self.task_files, with_defaults=True)


def losses(scores: Sequence[BenchmarkScore], first: Sequence[BenchmarkScore]) -> list[Finding]:
    """What a model can no longer do that the first one could: tasks whose paired difference is surely, at 95 %, below zero."""
    before = {score.benchmark: score for score in first}
    findings = []
    for score in scores:
        difference = compared(score, before[score.benchmark])
        if difference is not None and difference.high < 0:
            what = f"{score.benchmark} fell by {-difference.difference:.1f} points (95 % {-difference.high:.1f}–{-difference.low:.1f})"
            findings.append(Finding("capability", -difference.difference / 100, f"{what} against {before[score.benchmark].model}"))
    return findings


@cache
def _task_manager(task_files: Path | None, with_defaults: bool) -> Any:
    """An index of tasks. That of the harness's own ones takes many seconds to make."""
    _harness()
    from lm_eval.tasks import TaskManager

    return TaskManager(include_path=None if task_files is None else str(task_files), include_defaults=with_defaults)


def _harness() -> str:
    try:
        return version("lm-eval")
    except PackageNotFoundError as error:
        raise UserError("lm-evaluation-harness is not installed", "capability", "pip install 'daa-orchestrator[capability]'") from error


def _asks_for_no_text(task: str) -> UserError:
    cure = "choose tasks that ask for text, such as gsm8k, triviaqa, nq_open or ifeval"
    return UserError(f"{task} asks for probabilities of given answers, not for text", "capability.tasks", cure)


def _asking(model: ChatModel, candidate: Candidate) -> Any:
    """The chat model in the harness's form: conversations travel through it as JSON."""
    from lm_eval.api.model import LM

    class AskedModel(LM):
        def __init__(self) -> None:
            super().__init__()
            self.unanswered: dict[str, str] = {}

        @property
        def tokenizer_name(self) -> str:
            return model.identity

        def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
            return json.dumps(chat_history, ensure_ascii=False)

        def generate_until(self, requests: list[Any]) -> list[str]:
            asked = [(f"{request.task_name} {request.doc_id}", *request.args) for request in requests]
            questions = [_question(name, conversation, options, candidate.adapter) for name, conversation, options in asked]
            replies = model.ask(questions)
            self.unanswered |= {name: reply.failure for (name, _, _), reply in zip(asked, replies, strict=True) if reply.failure}
            return [_until(reply.text, options.get("until", ())) for (_, _, options), reply in zip(asked, replies, strict=True)]

        def loglikelihood(self, requests: list[Any]) -> Any:
            raise _asks_for_no_text(requests[0].task_name)

        loglikelihood_rolling = loglikelihood

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    return AskedModel()


def _question(name: str, conversation: str, options: Mapping[str, Any], adapter: str | None) -> Question:
    messages = tuple(Message(turn["role"], turn["content"]) for turn in json.loads(conversation))
    temperature = float(options.get("temperature") or 0.0) if options.get("do_sample") else 0.0
    return Question(name, messages, Decoding(temperature, max_tokens=int(options.get("max_gen_toks", _LONGEST))), adapter=adapter)


def _until(text: str, ends: str | Sequence[str]) -> str:
    """The text before the first of the `ends`."""
    places = [place for end in ([ends] if isinstance(ends, str) else ends) if end and (place := text.find(end)) >= 0]
    return text[: min(places, default=len(text))]


def _score(task: str, rows: Sequence[Mapping[str, Any]], model: str, unanswered: Mapping[str, str]) -> BenchmarkScore:
    """The share of right answers to the questions that were answered; a question that the model could not be asked is none of them."""
    reading = _preferred(READINGS, [row["filter"] for row in rows])
    rows = [row for row in rows if row["filter"] == reading]
    measure = _preferred(MEASURES, rows[0]["metrics"])
    everything = {f"{task} {row['doc_id']}": row[measure] for row in rows}
    right = {name: value for name, value in everything.items() if name not in unanswered}
    if not right:
        cure = "raise `max_model_len` if the model allows it, or leave the task out"
        reason = unanswered[next(iter(everything))]
        raise UserError(f"{model} answered none of the {len(everything)} questions of {task}: {reason}", task, cure)
    if not all(isinstance(value, int | float) and 0 <= value <= 1 for value in right.values()):
        raise UserError(
            f"{measure} of the task {task} is no share of right answers", "capability.tasks", f"choose a task with {MEASURES[0]}"
        )
    bounds = mean_interval(list(right.values()))
    count = len(right)
    influence = mean_influence(right)
    error = sum(share**2 for share in influence.values()) ** 0.5
    judge = f"lm-eval {_harness()} {measure},{reading}"
    low, high, unread = 100 * bounds.low, 100 * bounds.high, len(everything) - count
    return BenchmarkScore(f"capability {task}", model, judge, 100 * bounds.mean, error, low, high, count, unread, influence=influence)


def _preferred(order: Sequence[str], there: Sequence[str]) -> str:
    """The first of `order` that is there, else the first one there."""
    return next((name for name in order if name in there), there[0])
