"""Search over direct alignment methods, driven by judged win rates.

`from orchestrator import SimPO, PreferencePair, search` works; nothing heavy is imported before it is used.
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "resume": "orchestrator.cluster.runs.search",
    "train": "orchestrator.training.loop",
    "load_settings": "orchestrator.settings_file",
    "Settings": "orchestrator.settings",
    "PreferencePair": "orchestrator.preferences.pairs",
    "METHODS": "orchestrator.objectives",
    "combine": "orchestrator.objectives",
}


def __getattr__(name: str) -> Any:
    if name == "search":
        return import_module("orchestrator.search")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    objectives = import_module("orchestrator.objectives")
    methods = {method.__name__: method for method in objectives.METHODS.values()}
    if name not in methods:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return methods[name]
