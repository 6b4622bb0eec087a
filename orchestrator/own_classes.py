"""Classes of one's own, by the names that settings give them."""

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.errors import SettingsError
from orchestrator.nearest import nearest


def own_class(name: str, where: str) -> Any:
    """What "your_package.your_module:YourClass" names; modules in the working directory are found too. Raises SettingsError."""
    module_name, _, class_name = name.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        module = importlib.import_module(module_name)
    except (ImportError, SyntaxError, NameError, AttributeError, TypeError, ValueError) as error:
        raise SettingsError(
            f"{module_name!r} cannot be imported: {error}", where, "correct or install it, or start from the directory that holds it"
        ) from error
    found = getattr(module, class_name, None)
    if found is None:
        raise SettingsError(f"{module_name} has no {class_name!r}", where, nearest(class_name, vars(module)))
    return found


def make_own(name: str, options: Mapping[str, Any], does: str, where: str) -> Any:
    """A judge or a scorer of one's own, made with its `options`; it has a `name`, and a method that `does` its work.

    Raises SettingsError.
    """
    cure = "docs/extending.md shows a whole one"
    try:
        made = own_class(name, where)(**options)
    except (TypeError, ValueError) as error:
        raise SettingsError(f"{name} cannot be made with these options: {error}", where, cure) from error
    if not callable(getattr(made, does, None)):
        raise SettingsError(f"{name} has no method `{does}`", where, cure)
    if not isinstance(getattr(made, "name", None), str):
        raise SettingsError(f"{name} has no `name` that says what its word depends on", where, cure)
    return made
