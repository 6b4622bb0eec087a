"""What is wrong with settings, by the key and the line of the TOML that they came from."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel

from evals.errors import shortened
from orchestrator.nearest import nearest


def line_of(text: str, path: Sequence[str]) -> int | None:
    """The line, from 1, that sets the key at `path`, or the nearest table above it; None when the text does not show it."""
    best, best_depth = None, 0
    table: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[+([^\[\]]+)\]+", line):
            here = table = _parts(header.group(1))
        elif key := re.match(r"\s*+((?:\"[^\"]*\"|'[^']*'|[\w.\- ])++)\s*=", line):
            here = table + _parts(key.group(1))
        else:
            continue
        if len(here) > best_depth and list(path[: len(here)]) == here:
            best, best_depth = number, len(here)
    return best


def problem(kind: type[BaseModel], details: Any, values: Mapping[str, Any], text: str) -> str:
    """One of pydantic's errors in words: the key with its line, and what is wrong with it."""
    path = [str(part) for part in _without_tags(details["loc"], values)]
    line = line_of(text, path)
    place = shortened(".".join(path)) + (f" (line {line})" if line else "")
    if details["type"] in {"extra_forbidden", "unexpected_keyword_argument"}:
        known = _fields(kind, details["loc"][:-1])
        return f"{place}: unknown key; {nearest(path[-1], known)}" + (f" Known: {', '.join(known)}" if len(known) < 12 else "")
    message = shortened(details["msg"].removeprefix("Value error, "))
    return f"{place}: {message}" if place else message


def _without_tags(loc: Sequence[str | int], values: Mapping[str, Any]) -> list[str | int]:
    """The path as the file spells it: pydantic puts the chosen kind of a union into its path."""
    path: list[str | int] = []
    here: Any = values
    for position, part in enumerate(loc):
        is_last = position == len(loc) - 1
        if isinstance(here, Mapping) and part not in here and not is_last:
            continue
        path.append(part)
        here = here.get(part) if isinstance(here, Mapping) else None
    return path


def _fields(root: type[BaseModel], loc: Sequence[str | int]) -> list[str]:
    """The keys that may stand at a path of the settings."""
    owner: Any = root
    for part in loc:
        fields = getattr(owner, "model_fields", None) or getattr(owner, "__dataclass_fields__", {})
        if part in fields:
            annotation = getattr(fields[part], "annotation", None) or fields[part].type
            owner = annotation
        elif get_args(owner):
            owner = next((kind for kind in _kinds(owner) if _kind_of(kind) == part), owner)
    owners = _kinds(owner)
    return [name for kind in owners for name in getattr(kind, "model_fields", None) or getattr(kind, "__dataclass_fields__", {})]


def _kinds(annotation: Any) -> list[Any]:
    """The classes of a possibly annotated union."""
    if isinstance(annotation, type):
        return [annotation]
    return [kind for argument in get_args(annotation) for kind in _kinds(argument)]


def _kind_of(owner: Any) -> str | None:
    """The value of `kind` that selects a class of a union."""
    if isinstance(owner, type) and issubclass(owner, BaseModel) and "kind" in owner.model_fields:
        return get_args(owner.model_fields["kind"].annotation)[0]
    return getattr(owner, "kind", None)


def _parts(name: str) -> list[str]:
    """The parts of a dotted key; a quoted part may hold dots itself."""
    return [part.strip("\"'") for part in re.findall(r"\"[^\"]*\"|'[^']*'|[\w\-]+", name)]
