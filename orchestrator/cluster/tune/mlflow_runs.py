"""A run of MLflow for each trial, as Ray has them, but for the server's address, which may hold a password, and many steps at once."""

import os
import time
from collections.abc import Mapping
from typing import Any

from ray.air.integrations.mlflow import MLflowLoggerCallback

SERVER = "MLFLOW_TRACKING_URI"


class MlflowRuns(MLflowLoggerCallback):
    """Ray's callback. Tune writes its callbacks down: the address is read from the environment when the search begins, which is after that.

    Ray asks the server once for each figure; the steps of a training, which have hundreds, are one request.
    """

    def setup(self, *arguments: Any, **info: Any) -> None:
        """Go to the server of the environment, or else to the file that this was given."""
        self.tracking_uri = os.environ.get(SERVER) or self.tracking_uri
        super().setup(*arguments, **info)

    def log_steps(self, trial: Any, steps: Mapping[int, Mapping[str, float]]) -> None:
        """Send what was measured while a trial was trained, no more than 1000 figures."""
        from mlflow.entities import Metric  # pyright: ignore[reportMissingImports]

        measured_at = int(1000 * time.time())
        figures = [Metric(name, value, measured_at, step) for step, measured in steps.items() for name, value in measured.items()]
        self.mlflow_util._get_client().log_batch(self._trial_runs[trial], metrics=figures)
