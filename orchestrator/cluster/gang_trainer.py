"""Ray Train's trainer, with fewer processes beside the workers, and none left behind."""

import os
from typing import Any

from ray._private import state
from ray.train.torch import TorchTrainer
from ray.train.v2._internal.callbacks import DatasetsCallback, placement_group_callback
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2._internal.execution.controller import placement_group_cleaner
from ray.train.v2._internal.execution.controller.placement_group_cleaner import PlacementGroupCleaner


class GangTrainer(TorchTrainer):
    """Starts no process that hands out Ray's data sets, of which there are none, and one that frees dead workers' places and then ends."""

    def _create_default_callbacks(self) -> list[Any]:
        callbacks = [each for each in super()._create_default_callbacks() if not isinstance(each, DatasetsCallback)]
        return [_Cleaning() if isinstance(each, PlacementGroupCleanerCallback) else each for each in callbacks]


class Cleaner(PlacementGroupCleaner):
    """Ends from the thread in which it watches. Ray's own would leave an actor from there, which is refused, and stay for ever."""

    def _monitor_loop(self) -> None:
        placement_group_cleaner.is_actor_alive = _is_alive  # pyright: ignore[reportPrivateImportUsage]
        super()._monitor_loop()

    def _exit(self) -> None:
        os._exit(0)


class _Cleaning(PlacementGroupCleanerCallback):
    """Starts that one, in the process that watches over the workers."""

    def after_controller_start(self, train_run_context: Any) -> None:
        placement_group_callback.PlacementGroupCleaner = Cleaner  # pyright: ignore[reportPrivateImportUsage]
        super().after_controller_start(train_run_context)


def _is_alive(actor_id: str, timeout: float) -> bool:
    """From the cluster's own table. Ray's asks the dashboard, which may be gone, or was never there."""
    return state.actors(actor_id).get("State") not in {None, "DEAD"}
