"""Ray Train's trainer, with fewer processes beside the workers, and none left behind."""

import os
from typing import Any

from ray.train.torch import TorchTrainer
from ray.train.v2._internal.callbacks import DatasetsCallback, placement_group_callback
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2._internal.execution.controller.placement_group_cleaner import PlacementGroupCleaner


class GangTrainer(TorchTrainer):
    """Starts no process that hands out Ray's data sets, of which there are none, and one that frees dead workers' places and then ends."""

    def _create_default_callbacks(self) -> list[Any]:
        return [_Cleaning() if isinstance(each, PlacementGroupCleanerCallback) else each for each in self._of_use()]

    def _of_use(self) -> list[Any]:
        return [each for each in super()._create_default_callbacks() if not isinstance(each, DatasetsCallback)]


class _Cleaner(PlacementGroupCleaner):
    """Ends from the thread in which it watches. Ray's own would leave an actor from there, which is refused, and stay for ever."""

    def _exit(self) -> None:
        os._exit(0)


class _Cleaning(PlacementGroupCleanerCallback):
    """Starts that one, in the process that watches over the workers."""

    def after_controller_start(self, train_run_context: Any) -> None:
        placement_group_callback.PlacementGroupCleaner = _Cleaner  # pyright: ignore[reportPrivateImportUsage]
        super().after_controller_start(train_run_context)
