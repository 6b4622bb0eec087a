"""What a check found: a status, the fact, and the fix."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from orchestrator.errors import DaaError

_NAMED_NODES, _TOLD_FACTS = 3, 3


class Status(StrEnum):
    """OK: nothing to do. WARN: a run works, worse than it could. FAIL: a run would not work."""

    OK = "OK"
    WARN = "WARN"
    FAIL = "FAIL"


@dataclass(frozen=True)
class Finding:
    """One fact about the machine or the cluster. `fix` is what to do about it; `where` names nodes, where there are several."""

    name: str
    status: Status
    found: str
    fix: str = ""
    where: str = ""

    def as_dict(self) -> dict[str, Any]:
        """A JSON-ready form."""
        return asdict(self)


def ok(name: str, found: str) -> Finding:
    """Nothing to do."""
    return Finding(name, Status.OK, found)


def warn(name: str, found: str, fix: str) -> Finding:
    """Something that makes runs worse."""
    return Finding(name, Status.WARN, found, fix)


def fail(name: str, found: str, fix: str) -> Finding:
    """Something that stops runs."""
    return Finding(name, Status.FAIL, found, fix)


def of_error(name: str, error: DaaError) -> Finding:
    """A refusal of the project's own, which knows its cure."""
    return fail(name, f"{error.what} ({error.where})" if error.where else error.what, error.cure)


def count(findings: Sequence[Finding], status: Status) -> int:
    """How many findings have a status."""
    return sum(each.status is status for each in findings)


def merged(findings: Sequence[Finding]) -> list[Finding]:
    """Findings of many nodes, those that differ in the node and in the fact alone told as one."""
    groups: dict[tuple[str, Status, str], list[Finding]] = {}
    for each in findings:
        groups.setdefault((each.name, each.status, each.fix), []).append(each)
    return [_together(group) for group in groups.values()]


def _together(group: Sequence[Finding]) -> Finding:
    facts = list(dict.fromkeys(each.found for each in group))
    told = "; ".join(facts[:_TOLD_FACTS]) + ("; …" if len(facts) > _TOLD_FACTS else "")
    places = list(dict.fromkeys(each.where for each in group if each.where))
    where = ", ".join(places[:_NAMED_NODES]) + (f" and {len(places) - _NAMED_NODES} more" if len(places) > _NAMED_NODES else "")
    return replace(group[0], found=told, where=where)
