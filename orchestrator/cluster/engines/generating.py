"""Many questions through several warm engines, each reply kept as it comes."""

import asyncio
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evals.asking import Question, Reply
from evals.model_files import adapter_base
from evals.prompts import EvaluationPrompt
from orchestrator.cluster.asking import patiently, together
from orchestrator.cluster.engines.evaluation_actors import EngineActor
from orchestrator.cluster.placement import engine_cpus
from orchestrator.rounds.sampling import Sampling, questions, sampled
from orchestrator.settings import AnsweringSettings, ClusterSettings, EvaluationSettings, GenerationSettings

# So many parts each engine takes, one after the other: the slowest then keeps the others waiting for little.
_PARTS = 4
_FEWEST = 256


@dataclass(frozen=True)
class Throughput:
    """What generating cost. Replies that were remembered took no time."""

    seconds: float
    tokens: int

    @property
    def tokens_per_second(self) -> float:
        """Generated tokens a second over all engines."""
        return self.tokens / self.seconds if self.seconds else 0.0

    def as_dict(self) -> dict[str, float]:
        """A JSON-ready form."""
        return {"seconds": round(self.seconds, 2), "tokens": self.tokens, "tokens_per_second": round(self.tokens_per_second, 1)}


class Generation:
    """Asks engine actors; replies are remembered in the directory `replies`, so that what was asked before costs nothing."""

    def __init__(self, engines: Sequence[Any], replies: Path) -> None:
        self._engines, self._replies = list(engines), str(replies)

    def answers(self, model: str, asked: Sequence[Question]) -> list[Reply]:
        """One reply per question, in order. Raises what the engine raises."""
        if not asked:
            return []
        size = max(_FEWEST, math.ceil(len(asked) / (_PARTS * len(self._engines))))
        parts = [asked[start : start + size] for start in range(0, len(asked), size)]
        idle: asyncio.Queue[Any] = asyncio.Queue()
        for engine in self._engines:
            idle.put_nowait(engine)
        base = adapter_base(Path(model)) or model

        async def answered(part: Sequence[Question]) -> list[Reply]:
            engine = await idle.get()
            try:
                return await patiently(engine.ask, base, list(part), self._replies)
            finally:
                idle.put_nowait(engine)

        return [reply for part in together(map(answered, parts)) for reply in part]

    def sample(self, model: str, prompts: Sequence[EvaluationPrompt], settings: GenerationSettings) -> tuple[Sampling, Throughput]:
        """Different responses to each prompt, and how fast they came."""
        started = time.perf_counter()
        found = sampled(prompts, self.replies(model, prompts, settings))
        return found, Throughput(time.perf_counter() - started, found.tokens)

    def replies(self, model: str, prompts: Sequence[EvaluationPrompt], settings: GenerationSettings) -> list[Reply]:
        """All replies to each prompt, one prompt after another."""
        adapter = model if adapter_base(Path(model)) is not None else None
        return self.answers(model, questions(prompts, settings, adapter))


def engine_names(cluster: ClusterSettings) -> list[str]:
    """The names by which the engines' actors are found."""
    return [f"engine-{number}" for number in range(cluster.engines)]


def start_engines(cluster: ClusterSettings, answering: EvaluationSettings | AnsweringSettings, logs: Path, lora_rank: int = 0) -> list[Any]:
    """The cluster's engines as actors, found by their names; one with several GPUs spreads its model over them."""
    engines = []
    for name in engine_names(cluster):
        held = EngineActor.options(name=name, num_cpus=engine_cpus(cluster), num_gpus=cluster.gpus_per_engine)
        engines.append(held.remote(answering, str(logs / f"{name}.log"), cluster.tensor_parallel, lora_rank, sleeps=cluster.turns))
    return engines
