"""Ray Train's trainer, with fewer processes beside the workers, and none left behind."""

from typing import Any

from ray.train.torch import TorchTrainer
from ray.train.v2._internal.callbacks import DatasetsCallback, placement_group_callback
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback

from orchestrator.cluster.workers.cleaner import Cleaner


class GangTrainer(TorchTrainer):
    """Starts no process that hands out Ray's data sets, of which there are none, and one that frees dead workers' places and then ends."""

    def _create_default_callbacks(self) -> list[Any]:
        callbacks = [each for each in super()._create_default_callbacks() if not isinstance(each, DatasetsCallback)]
        return [_Cleaning() if isinstance(each, PlacementGroupCleanerCallback) else each for each in callbacks]


class _Cleaning(PlacementGroupCleanerCallback):
    """Starts that one, in the process that watches over the workers."""

    def after_controller_start(self, train_run_context: Any) -> None:
        placement_group_callback.PlacementGroupCleaner = Cleaner  # pyright: ignore[reportPrivateImportUsage]
        super().after_controller_start(train_run_context)
