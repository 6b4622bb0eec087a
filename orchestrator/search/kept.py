"""The settings that a search left beside its ledger."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def kept_settings(directory: Path) -> dict[str, Any]:
    """What settings.json holds; empty where there is none."""
    file = directory / "settings.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def setting(settings: Mapping[str, Any], *path: str) -> Any:
    """A setting by its place; None where it is not known."""
    value: Any = settings
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
