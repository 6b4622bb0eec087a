"""The files that a run reads: preference data and evaluation prompts."""

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from evals.prompts import load_prompts
from orchestrator.doctor.findings import Finding, fail, ok
from orchestrator.doctor.notes import remove, write
from orchestrator.preferences.sources import check_source, is_hub_name
from orchestrator.settings import MixtureSettings

_READ = 8
_EXTRAS = {"lm-eval": "capability", "bitsandbytes": "qlora"}


def check_data(source: MixtureSettings) -> list[Finding]:
    """Read the first pairs of a source; a hub data set is not downloaded. Raises what reading raises."""
    from orchestrator.preferences.reading import read_pairs

    check_source(source.source, "the settings' data")
    if is_hub_name(source.source):
        return []
    limit = min(source.limit or _READ, _READ)
    pairs = read_pairs(source.source, limit, source.split, True, source.config, source.columns).pairs
    return [ok("data", f"the first {len(pairs)} pairs of {source.source} can be read")]


def check_prompts(file: Path) -> list[Finding]:
    """Read evaluation prompts. Raises what reading raises."""
    return [ok("prompts", f"{len(load_prompts(file).prompts)} in {file}")]


def check_optional(packages: Sequence[str]) -> list[Finding]:
    """Whether what the settings need besides the plain installation is there."""
    return [_optional(name) for name in packages]


def check_writable(purpose: str, path: str) -> list[Finding]:
    """Write a file where a run would write, and take it away. Raises MachineError."""
    note = write(path, "here")
    remove(note)
    return [ok("writable", f"{purpose}: {note.directory}")]


def _optional(name: str) -> Finding:
    try:
        return ok("optional packages", f"{name} {version(name)}")
    except PackageNotFoundError:
        extra = _EXTRAS.get(name, "search")
        return fail("optional packages", f"the settings need {name}, which is not installed", f"pip install 'daa-orchestrator[{extra}]'")
