"""A language model in a directory, answered for by a vLLM engine of this process."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from evals.asking import Keep, Question, Reply, forget
from evals.model_files import fingerprint, local_model
from evals.vllm_engine import VllmEngine


@dataclass(frozen=True)
class VllmModel:
    """One model of an engine that may serve several in turn. A judge had better have an engine of its own."""

    engine: VllmEngine
    model: str

    @property
    def repeats_itself(self) -> bool:
        return True

    @cached_property
    def _version(self) -> str:
        return fingerprint(local_model(self.model))

    @property
    def name(self) -> str:
        return f"vllm {self.model} ({self._version})"

    @property
    def identity(self) -> str:
        return f"vllm {self._version} max_model_len={self.engine.max_model_len}"

    def ask(self, questions: Sequence[Question], keep: Keep = forget) -> list[Reply]:
        """One reply per question, in order. Raises what the engine raises."""
        return self.engine.answer(self.model, questions, keep)
