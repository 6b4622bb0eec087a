"""The learning rate at every step, as a pure function: nothing to save, nothing to resume."""

import math

from orchestrator.settings import TrainingSettings

# Warm-up, stable, decay: Hu et al. 2024, arXiv:2404.06395.
_DECAY = 0.2


def learning_rate(settings: TrainingSettings, step: int, steps: int) -> float:
    """The rate for step `step` (from 0) of `steps`: linear warm-up to `settings.learning_rate`, then the chosen shape."""
    # 0.07 of 100 is 7, and in floats a little more.
    warmup = math.ceil(settings.warmup * steps - 1e-9)
    if step < warmup:
        return settings.learning_rate * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    shapes = {
        "constant": 1.0,
        "wsd": min(1.0, (1 - progress) / _DECAY),
        "linear": 1 - progress,
        "cosine": 0.5 * (1 + math.cos(math.pi * progress)),
    }
    return settings.learning_rate * shapes[settings.schedule]
