"""What a resumed search takes up of Tune's state: the last session's, and it only where it is there in all its parts."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune import tune as tune_run
from ray.tune.execution.tune_controller import TuneController

# Each session writes these beside those of the sessions before; of each, Tune restores the one whose name sorts last.
_PARTS = ("experiment_state", "search_gen_state", "searcher-state")
_FILE = re.compile(rf"(?:{'|'.join(_PARTS)}|callback-states)-(.+)\.(?:json|pkl)")


def can_restore(state: Path) -> bool:
    """Whether Tune can go on from a directory. It cannot where its driver died before the first trials and the searcher were saved."""
    return tune.Tuner.can_restore(str(state)) and all(any(state.glob(f"{part}-*")) for part in _PARTS)


def name_in_order() -> None:
    """Have Tune name a session's state so that it sorts after those before. By itself, Tune names it by the clock, which may be set."""
    tune_run.TuneController = _InOrder  # pyright: ignore[reportPrivateImportUsage]


def later_name(name: str, before: Iterable[str]) -> str:
    """The name, or one made from those before that sorts after all of them, with a file's ending too."""
    last = max(before, default="")
    return name if name > last else f"{last}_"


class _InOrder(TuneController):
    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        assert self._storage is not None
        # In the driver's own directory, which a cluster keeps, there may be sessions that died before they came to the storage.
        places = [Path(self._storage.experiment_fs_path), Path(self._storage.experiment_driver_staging_path)]
        files = [match for place in places for path in place.glob("*") if (match := _FILE.fullmatch(path.name))]
        self._session_str = later_name(self._session_str, (file[1] for file in files))
