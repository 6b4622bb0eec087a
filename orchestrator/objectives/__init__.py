"""Log-probabilities to a loss: one file per method or family, all of them named in METHODS."""

import inspect
import re
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from orchestrator.errors import SettingsError
from orchestrator.nearest import nearest
from orchestrator.objectives.alpha_dpo import AlphaDPO
from orchestrator.objectives.alphapo import AlphaPO
from orchestrator.objectives.aot import AOT, AOTUnpaired
from orchestrator.objectives.bco import BCO
from orchestrator.objectives.beta_dpo import BetaDPO
from orchestrator.objectives.chi_po import ChiPO
from orchestrator.objectives.combination import combine
from orchestrator.objectives.contract import Objective, PairLoss, State
from orchestrator.objectives.cpo import CPO
from orchestrator.objectives.discopop import DiscoPOP
from orchestrator.objectives.dpo import CDPO, DPO, RobustDPO
from orchestrator.objectives.elsewhere import known_elsewhere
from orchestrator.objectives.epsilon_dpo import EpsilonDPO
from orchestrator.objectives.exo import EXOPref, EXOReward
from orchestrator.objectives.f_dpo import FDPO
from orchestrator.objectives.hpo import HPO
from orchestrator.objectives.ipo import IPO
from orchestrator.objectives.kto import KTO
from orchestrator.objectives.length_dpo import LDDPO, LNDPO, RDPO
from orchestrator.objectives.maximum_po import MaximumPO
from orchestrator.objectives.minor_dpo import MinorDPO
from orchestrator.objectives.mrpo import MRPO
from orchestrator.objectives.orpo import ORPO
from orchestrator.objectives.rloo import RLOO
from orchestrator.objectives.rpo import RPOBackward, RPOForward, RPOSquared
from orchestrator.objectives.sft import DPOSFT, SFT
from orchestrator.objectives.simpo import SimPO
from orchestrator.objectives.slic import Hinge, SLiCHF
from orchestrator.objectives.tdpo import TDPO1, TDPO2
from orchestrator.objectives.unpaired import NCA, APODown, APOZero, SPPOHard
from orchestrator.objectives.wpo import WPO
from orchestrator.own_classes import own_class

_ALL: tuple[type[Objective], ...] = (
    *(DPO, CDPO, RobustDPO, IPO, Hinge, SLiCHF, SimPO, AlphaPO, AlphaDPO, EpsilonDPO, BetaDPO, MinorDPO),
    *(RPOBackward, RPOForward, RPOSquared, EXOPref, EXOReward, SFT, DPOSFT, CPO, ORPO, KTO, BCO, NCA),
    *(APOZero, APODown, SPPOHard, TDPO1, TDPO2, LNDPO, LDDPO, RDPO, AOT, AOTUnpaired, DiscoPOP, FDPO),
    *(ChiPO, WPO, MRPO, RLOO, HPO, MaximumPO),
)
METHODS: Mapping[str, type[Objective]] = {method.name: method for method in _ALL}
_FORMS = 'a name, several joined by "+", or "your_package.your_module:YourClass"'


def method_named(name: str, where: str = "method") -> type[Objective]:
    """The method of that name: one of METHODS, a weighted sum of several ("dpo+sft"), or your own ("my_package.my_po:MyPO").

    Raises SettingsError with the nearest right name, or with what is wrong with your own class.
    """
    if "+" in name:
        return combine([method_named(part.strip(), where) for part in name.split("+")], where)
    if ":" in name:
        return _own_method(name, where)
    if name not in METHODS:
        raise SettingsError(
            f"there is no method {name!r}",
            where,
            f"{known_elsewhere(name) or nearest(name, METHODS)}; a method is {_FORMS}. Names: {', '.join(METHODS)}",
            code="DAA-0110",
        )
    return METHODS[name]


def make_objective(name: str, hyperparameters: Mapping[str, Any]) -> Objective:
    """The method with these hyperparameters.

    Raises SettingsError for one that the method does not have, of the wrong type, or outside its limits.
    """
    method = method_named(name)
    known = method().hyperparameters()
    for key in hyperparameters:
        if key not in known:
            raise SettingsError(
                f"{name} has no hyperparameter {key!r}",
                f"{name}.{key}",
                f"{nearest(key, known)}; it has: {', '.join(known)}",
                code="DAA-0111",
            )
    return method(**hyperparameters)


def _own_method(name: str, where: str) -> type[Objective]:
    """A class outside this package."""
    method = own_class(name, where)
    problem = _problem(method)
    if problem:
        raise SettingsError(f"{name} is no method: {problem}", where, "docs/add-a-method.md shows a whole one")
    return method


def _problem(method: Any) -> str:
    """What keeps an object from being a method, or nothing."""
    if not (isinstance(method, type) and issubclass(method, Objective)):
        return "it is no subclass of orchestrator.objectives.Objective"
    made_by = vars(method).get("__dataclass_params__")
    if made_by is None or not made_by.frozen:
        return "it is no frozen dataclass; write @dataclass(frozen=True) above it"
    if inspect.isabstract(method):
        return "it has no `__call__`"
    bare = [item.name for item in fields(method) if item.default is MISSING and item.default_factory is MISSING]  # pyright: ignore[reportArgumentType]
    if bare:
        return f"{bare[0]} has no default"
    if not re.fullmatch(r"[A-Za-z0-9._-]+", str(getattr(method, "name", ""))):
        return "it has no `name` of letters, digits, dots, hyphens and underscores, as a folder needs"
    return ""


__all__ = ["METHODS", "Objective", "PairLoss", "State", "combine", "make_objective", "method_named"]
