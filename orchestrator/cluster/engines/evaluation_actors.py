"""Warm engines, judges and the ledger's writer, as actors that live as long as the search."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from evals.asking import Keep, Question, Reply, forget
from evals.chat_models.remembering import remembered
from evals.chat_models.vllm_model import VllmModel
from evals.generation import Decoding, Response
from evals.judging import Match, Verdict
from evals.prompts import EvaluationPrompt
from orchestrator.cluster.asking import ask
from orchestrator.cluster.engines.lost_gpus import GpuWork
from orchestrator.cluster.judges import judge_gpus, make_judge, replies_directory
from orchestrator.cluster.session import HEAD, keep_to_own_gpus
from orchestrator.output import send_output_to
from orchestrator.search.ledger import LedgerWriter
from orchestrator.settings import AnsweringSettings, EvaluationSettings, JudgeSettings, VllmJudgeSettings


@ray.remote(max_restarts=-1)
class EngineActor:
    """A warm vLLM engine. It loads the first model it is asked for and swaps weights in place for the others."""

    def __init__(
        self,
        settings: EvaluationSettings | AnsweringSettings | VllmJudgeSettings,
        log: str,
        tensor_parallel: int = 1,
        lora_rank: int = 0,
        sleeps: bool = False,
    ) -> None:
        send_output_to(Path(log))
        keep_to_own_gpus()
        from evals.vllm_engine import VllmEngine

        bounds = (settings.max_model_len, settings.gpu_memory_utilization)
        self._engine = VllmEngine(*bounds, tensor_parallel_size=tensor_parallel, lora_rank=lora_rank, sleeps=sleeps)
        self._engine.warm_up()
        self._gpu = GpuWork()

    def respond(self, model: str, prompts: Sequence[EvaluationPrompt], decoding: Decoding) -> tuple[list[Response], float]:
        """Responses in the order of the prompts, and the seconds they took."""
        started = time.perf_counter()
        with self._gpu.working():
            return self._engine.respond(model, prompts, decoding), time.perf_counter() - started

    def describe(self, model: str) -> tuple[str, str]:
        """The name and the identity of a model as a chat model of this engine."""
        chat = VllmModel(self._engine, model)
        return chat.name, chat.identity

    def ask(self, model: str, questions: Sequence[Question], replies: str) -> list[Reply]:
        """One reply per question; what the directory `replies` knows is not asked again, and what comes is kept there as it comes."""
        with self._gpu.working():
            return remembered(VllmModel(self._engine, model), Path(replies)).ask(questions)


@dataclass(frozen=True)
class ServedByActor:
    """A chat model inside an actor, which keeps its replies there as they come."""

    actor: Any
    model: str
    replies: str

    @property
    def name(self) -> str:
        return ask(self.actor.describe, self.model)[0]

    @property
    def identity(self) -> str:
        return ask(self.actor.describe, self.model)[1]

    @property
    def repeats_itself(self) -> bool:
        return True

    def ask(self, questions: Sequence[Question], keep: Keep = forget) -> list[Reply]:
        """One reply per question, in order."""
        replies = ask(self.actor.ask, self.model, list(questions), self.replies)
        for number, reply in enumerate(replies):
            keep(number, reply)
        return replies


@ray.remote(max_restarts=-1)
class JudgeActor:
    """Any judge, in a process of its own."""

    def __init__(self, settings: JudgeSettings, log: str, replies: str) -> None:
        send_output_to(Path(log))
        keep_to_own_gpus()
        self._judge = make_judge(settings, Path(replies))
        self._gpu = GpuWork()

    def name(self) -> str:
        """The judge's name and version."""
        return self._judge.name

    def judge(self, matches: Sequence[Match]) -> tuple[list[Verdict], float]:
        """Verdicts in the order of the matches, and the seconds they took."""
        started = time.perf_counter()
        with self._gpu.working():
            return self._judge.judge(matches), time.perf_counter() - started


def start_judge(name: str, settings: JudgeSettings, cache: Path, logs: Path) -> Any:
    """A judge's actor, found by its name."""
    actor = JudgeActor.options(name=name, num_cpus=0, num_gpus=judge_gpus(settings))
    return actor.remote(settings, str(logs / f"{name}.log"), str(replies_directory(cache)))


@ray.remote(num_cpus=0, resources=HEAD, max_restarts=-1)
class LedgerActor:
    """The one writer of the run's ledger."""

    def __init__(self, path: str) -> None:
        self._writer = LedgerWriter(Path(path))

    def append(self, lines: Sequence[bytes], after: int | None) -> int:
        """Write some events, all of them or none; returns when they are on the disk, which they are once, as `append_lines` says."""
        return self._writer.append_lines(lines, after)
