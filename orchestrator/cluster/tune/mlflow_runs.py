"""A run of MLflow for each trial, as Ray has them, which is also sent many steps at once."""

import time
from collections.abc import Mapping
from typing import Any

from mlflow.entities import Metric  # pyright: ignore[reportMissingImports]
from ray.air.integrations.mlflow import MLflowLoggerCallback


class MlflowRuns(MLflowLoggerCallback):
    """Ray's callback asks the server once for each figure; the steps of a training, which have hundreds, are one request."""

    def log_steps(self, trial: Any, steps: Mapping[int, Mapping[str, float]]) -> None:
        """Send what was measured while a trial was trained, no more than 1000 figures."""
        told_at = int(1000 * time.time())
        figures = [Metric(name, value, told_at, step) for step, measured in steps.items() for name, value in measured.items()]
        self.mlflow_util._get_client().log_batch(self._trial_runs[trial], metrics=figures)
