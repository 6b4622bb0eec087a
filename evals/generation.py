"""What it means to answer prompts with a model."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from evals.prompts import EvaluationPrompt


@dataclass(frozen=True)
class Decoding:
    """How responses are sampled. `temperature` 0 is greedy; `max_tokens` bounds the response."""

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 512
    seed: int = 0


@dataclass(frozen=True)
class Response:
    """A model's answer to one prompt. `tokens` counts the generated tokens; `finished` is False when `max_tokens` cut it off."""

    prompt_id: str
    text: str
    tokens: int
    finished: bool = True


class Generator(Protocol):
    """Answers prompts with the model in a Hugging Face directory."""

    def respond(self, model: str, prompts: Sequence[EvaluationPrompt], decoding: Decoding) -> list[Response]:
        """One response per prompt, in the order of the prompts."""
        ...
