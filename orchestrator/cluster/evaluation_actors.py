"""Warm engines, judges and the ledger's writer, as actors that live as long as the search."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ray

from evals.generation import Decoding, Response
from evals.judging import Judge, Match, Verdict
from evals.prompts import EvaluationPrompt
from orchestrator.cluster.session import HEAD
from orchestrator.output import send_output_to
from orchestrator.search.ledger import LedgerWriter
from orchestrator.settings import EvaluationSettings, JudgeSettings, OpenAISettings, ReferenceSettings, VllmJudgeSettings


@ray.remote(max_restarts=-1)
class EngineActor:
    """A warm vLLM engine. It loads the first model it is asked for and swaps weights in place for the others."""

    def __init__(self, settings: EvaluationSettings, log: str) -> None:
        send_output_to(Path(log))
        from evals.vllm_engine import VllmEngine

        self._engine = VllmEngine(settings.max_model_len, settings.gpu_memory_utilization)
        self._engine.warm_up()

    def respond(self, model: str, prompts: Sequence[EvaluationPrompt], decoding: Decoding) -> tuple[list[Response], float]:
        """Responses in the order of the prompts, and the seconds they took."""
        started = time.perf_counter()
        return self._engine.respond(model, prompts, decoding), time.perf_counter() - started


@ray.remote(max_restarts=-1)
class JudgeActor:
    """Any judge, in a process of its own."""

    def __init__(self, settings: JudgeSettings, log: str) -> None:
        send_output_to(Path(log))
        self._judge = make_judge(settings)

    def name(self) -> str:
        """The judge's name and version."""
        return self._judge.name

    def judge(self, matches: Sequence[Match]) -> tuple[list[Verdict], float]:
        """Verdicts in the order of the matches, and the seconds they took."""
        started = time.perf_counter()
        return self._judge.judge(matches), time.perf_counter() - started


@ray.remote(num_cpus=0, resources=HEAD, max_restarts=-1)
class LedgerActor:
    """The one writer of the run's ledger."""

    def __init__(self, path: str) -> None:
        self._writer = LedgerWriter(Path(path))

    def append(self, event: str, values: dict[str, Any]) -> None:
        """Write one event; returns when it is on the disk."""
        self._writer.append(event, **values)


def make_judge(settings: JudgeSettings) -> Judge:
    """The judge that the settings name."""
    if isinstance(settings, OpenAISettings):
        from evals.judges.openai_judge import OpenAIJudge, OpenAIJudgeSettings

        return OpenAIJudge(OpenAIJudgeSettings(**settings.model_dump(exclude={"kind"})))
    if isinstance(settings, VllmJudgeSettings):
        from evals.judges.vllm_judge import VllmJudge
        from evals.vllm_engine import VllmEngine

        return VllmJudge(VllmEngine(), settings.model)
    if isinstance(settings, ReferenceSettings):
        from evals.judges.reference import ReferenceJudge

        return ReferenceJudge(settings.tie_margin)
    from evals.judges.verifier import VerifierJudge

    return VerifierJudge()


def judge_gpus(settings: JudgeSettings) -> float:
    """GPUs that the judge's actor holds."""
    return settings.gpus if isinstance(settings, VllmJudgeSettings) else 0.0
