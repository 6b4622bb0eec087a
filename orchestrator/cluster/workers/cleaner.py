"""Frees the places of dead workers. Loaded without torch, for it has a process of its own beside each gang."""

import os
from typing import Any

from ray import PlacementGroupID
from ray._private import state
from ray.core.generated import gcs_pb2
from ray.train.v2._internal.execution.controller import placement_group_cleaner
from ray.train.v2._internal.execution.controller.placement_group_cleaner import PlacementGroupCleaner
from ray.util.placement_group import PlacementGroup, remove_placement_group


class Cleaner(PlacementGroupCleaner):
    """Watches from its first moment, over whatever the controller made, and ends from the thread in which it watches.

    Ray's own waits to be told to watch, by a controller that may be dead; it knows of a place only when workers have started there; and it
    would leave an actor from its thread, which is refused, and stay for ever.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.start_monitoring()

    def _monitor_loop(self) -> None:
        placement_group_cleaner.is_actor_alive = _is_alive  # pyright: ignore[reportPrivateImportUsage]
        super()._monitor_loop()

    def _cleanup_placement_group(self, placement_group: PlacementGroup | None) -> None:
        for place in _made_by(self._controller_actor_id):
            remove_placement_group(place)

    def _exit(self) -> None:
        os._exit(0)


def _is_alive(actor_id: str, timeout: float) -> bool:
    """From the cluster's own table. Ray's asks the dashboard, which may be gone, or was never there."""
    return state.actors(actor_id).get("State") not in {None, "DEAD"}


def _made_by(actor_id: str) -> list[PlacementGroup]:
    """The placement groups that an actor made, those removed before included."""
    table = state.state._connect_and_get_accessor().get_placement_group_table()
    told = [gcs_pb2.PlacementGroupTableData.FromString(each) for each in table]  # pyright: ignore[reportAttributeAccessIssue]
    return [PlacementGroup(PlacementGroupID(each.placement_group_id)) for each in told if each.creator_actor_id.hex() == actor_id]
