"""A run of W&B for each trial, as Ray has them, but for W&B's key: Ray would put it where whoever asks for the cluster's state reads it."""

import os
from collections.abc import Mapping
from typing import Any

import ray
from ray.air.constants import TRAINING_ITERATION
from ray.air.integrations.wandb import WANDB_ENV_VAR, WandbLoggerCallback, _WandbLoggingActor
from ray.air.util.node import _force_on_current_node


class WandbRuns(WandbLoggerCallback):
    """Ray's callback; the processes that it starts beside the driver fetch the key from it, and have it in no runtime_env."""

    def _start_logging_actor(self, trial: Any, exclude_results: list[str], **wandb_init_kwargs: Any) -> None:
        if not self._remote_logger_class:
            options = {"num_cpus": 0, **_force_on_current_node(), "max_restarts": -1, "max_task_retries": -1}
            self._remote_logger_class = ray.remote(**options)(Logging)
            # In a list: Ray writes the value of an argument that is a reference into what it keeps of an actor.
            self._key = [ray.put(os.environ.get(WANDB_ENV_VAR))]
        super()._start_logging_actor(trial, exclude_results, key=self._key, **wandb_init_kwargs)

    def log_steps(self, trial: Any, steps: Mapping[int, Mapping[str, float]]) -> None:
        """Send what was measured while a trial was trained."""
        for step, measured in steps.items():
            self.log_trial_result(step, trial, {**measured, TRAINING_ITERATION: step})


class Logging(_WandbLoggingActor):
    """Sends a trial's scores to W&B; without a key, by what `wandb login` left on this machine."""

    def __init__(self, *given: Any, key: list[Any], **options: Any) -> None:
        super().__init__(*given, **options)
        [told] = ray.get(key)
        if told is not None:
            os.environ[WANDB_ENV_VAR] = told
