"""What it means to answer prompts with a model."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Decoding:
    """How responses are sampled. `temperature` 0 is greedy; `max_tokens` bounds the response."""

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 512
    seed: int = 0


@dataclass(frozen=True)
class Response:
    """A model's answer to one prompt. `tokens` counts the generated tokens; `finished` is False when it was cut off,
    by `max_tokens` or the end of the context.
    """

    prompt_id: str
    text: str
    tokens: int
    finished: bool = True
