"""Search over direct alignment methods, driven by judged win rates.

`from orchestrator import SimPO, PreferencePair, search` works; nothing heavy is imported before it is used.
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "resume": "orchestrator.cluster.search",
    "train": "orchestrator.training.loop",
    "load_settings": "orchestrator.settings_file",
    "Settings": "orchestrator.settings",
    "PreferencePair": "orchestrator.preferences.pairs",
    "METHODS": "orchestrator.objectives",
    "DPO": "orchestrator.objectives",
    "IPO": "orchestrator.objectives",
    "SimPO": "orchestrator.objectives",
    "AlphaPO": "orchestrator.objectives",
    "AlphaDPO": "orchestrator.objectives",
    "EpsilonDPO": "orchestrator.objectives",
    "MinorDPO": "orchestrator.objectives",
    "RPOBackward": "orchestrator.objectives",
    "RPOForward": "orchestrator.objectives",
    "RPOSquared": "orchestrator.objectives",
}


def __getattr__(name: str) -> Any:
    if name == "search":
        return import_module("orchestrator.search")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
