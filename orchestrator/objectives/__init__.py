"""Log-probabilities to a loss: one file per method, all of them named in METHODS."""

from collections.abc import Mapping
from typing import Any

from orchestrator.errors import SettingsError
from orchestrator.nearest import nearest
from orchestrator.objectives.alpha_dpo import AlphaDPO
from orchestrator.objectives.alphapo import AlphaPO
from orchestrator.objectives.contract import Objective, PairLoss, State
from orchestrator.objectives.dpo import DPO
from orchestrator.objectives.epsilon_dpo import EpsilonDPO
from orchestrator.objectives.ipo import IPO
from orchestrator.objectives.minor_dpo import MinorDPO
from orchestrator.objectives.rpo import RPOBackward, RPOForward, RPOSquared
from orchestrator.objectives.simpo import SimPO

_ALL: tuple[type[Objective], ...] = (
    DPO,
    IPO,
    SimPO,
    AlphaPO,
    AlphaDPO,
    EpsilonDPO,
    MinorDPO,
    RPOBackward,
    RPOForward,
    RPOSquared,
)
METHODS: Mapping[str, type[Objective]] = {method.name: method for method in _ALL}


def method_named(name: str, where: str = "method") -> type[Objective]:
    """The method of that name. Raises SettingsError with the nearest right name."""
    if name not in METHODS:
        raise SettingsError(f"there is no method {name!r}", where, f"{nearest(name, METHODS)}; the methods are: {', '.join(METHODS)}")
    return METHODS[name]


def make_objective(name: str, hyperparameters: Mapping[str, Any]) -> Objective:
    """The method with these hyperparameters. Raises SettingsError for one that the method does not have."""
    method = method_named(name)
    known = method().hyperparameters()
    for key in hyperparameters:
        if key not in known:
            raise SettingsError(
                f"{name} has no hyperparameter {key!r}", f"{name}.{key}", f"{nearest(key, known)}; it has: {', '.join(known)}"
            )
    return method(**hyperparameters)


__all__ = ["METHODS", "Objective", "PairLoss", "State", "make_objective", "method_named"]
