"""What a run left beside its ledger: its settings, and other files of JSON."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evals.json_lines import parsed_json
from orchestrator.errors import UserError
from orchestrator.run_files import RunFiles


def kept_settings(directory: Path) -> dict[str, Any]:
    """What settings.json holds; empty where there is none. Raises UserError as `read_kept`."""
    file = RunFiles(directory).settings
    return read_kept(file) if file.is_file() else {}


def read_kept(file: Path, *keys: str) -> dict[str, Any]:
    """The object that a run left in a file. Raises UserError where it is not there, or is none with these keys."""
    value = read_kept_value(file)
    missing = [key for key in keys if key not in value] if isinstance(value, dict) else []
    if missing or not isinstance(value, dict):
        raise damaged_file(file, f"it has no {missing[0]!r}" if missing else "it holds no JSON object")
    return value


def read_kept_value(file: Path) -> Any:
    """The JSON that a run left in a file. Raises UserError where it is not there, or is none."""
    try:
        return parsed_json(file.read_bytes())
    except (OSError, ValueError) as error:
        raise damaged_file(file, str(error)) from error


def damaged_file(file: Path, why: str) -> UserError:
    """The error for a file that cannot be used."""
    return UserError(f"a file that the run left cannot be used: {why}", str(file), "restore the file")


def setting(settings: Mapping[str, Any], *path: str) -> Any:
    """A setting by its place; None where it is not known."""
    value: Any = settings
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
