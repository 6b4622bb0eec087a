"""Frees the places of dead workers. Loaded without torch, for it has a process of its own beside each gang."""

import os

from ray._private import state
from ray.train.v2._internal.execution.controller import placement_group_cleaner
from ray.train.v2._internal.execution.controller.placement_group_cleaner import PlacementGroupCleaner


class Cleaner(PlacementGroupCleaner):
    """Ends from the thread in which it watches. Ray's own would leave an actor from there, which is refused, and stay for ever."""

    def _monitor_loop(self) -> None:
        placement_group_cleaner.is_actor_alive = _is_alive  # pyright: ignore[reportPrivateImportUsage]
        super()._monitor_loop()

    def _exit(self) -> None:
        os._exit(0)


def _is_alive(actor_id: str, timeout: float) -> bool:
    """From the cluster's own table. Ray's asks the dashboard, which may be gone, or was never there."""
    return state.actors(actor_id).get("State") not in {None, "DEAD"}
