"""Prompts with scored responses."""

from collections.abc import Sequence

import numpy as np

from evals.prompts import Message
from orchestrator.rounds.pairing import Scored
from orchestrator.rounds.sampling import prompt_of


def responses(*rewards: Sequence[float], question: str = "why?", logps: Sequence[float] = ()) -> Scored:
    """Responses a, b, c ... with the rewards of each."""
    texts = tuple("abcdefgh"[: len(rewards)])
    return Scored(prompt_of((Message("user", question),)), texts, tuple(logps or [0.0] * len(texts)), np.array(rewards, dtype=np.float64))
