"""A room that can be called: `orchestrator.search` is a package, and the search itself."""

from importlib import import_module
from types import ModuleType
from typing import Any


class CallableRoom(ModuleType):
    """The class of the package `orchestrator.search`: once it is imported, Python finds it under the name of the function."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """`orchestrator.cluster.runs.search.search`."""
        return import_module("orchestrator.cluster.runs.search").search(*arguments, **options)
