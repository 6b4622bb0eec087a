"""Findings on the screen, as they come, and as JSON."""

import json
import sys
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.text import Text

from orchestrator.doctor.findings import Finding, Status, count
from orchestrator.doctor.steps import Step
from orchestrator.report.terminal import console

_STYLES = {Status.OK: "green", Status.WARN: "yellow", Status.FAIL: "bold red"}
_WIDTH_OF_A_PIPE, _WIDTH_OF_A_STATUS = 160, 6


def followed(steps: Iterable[Step], quiet: bool) -> list[Finding]:
    """Take the steps, and show what each finds unless `quiet`; a terminal shows which one is being taken."""
    screen = console(sys.stderr if quiet else sys.stdout, _WIDTH_OF_A_PIPE)
    findings: list[Finding] = []
    for step in steps:
        if screen.is_terminal:
            with screen.status(step.name):
                found = step.run()
        else:
            found = step.run()
        findings += found
        if not quiet:
            _show(screen, found)
    if not quiet:
        _conclude(screen, findings)
    return findings


def as_json(findings: Sequence[Finding]) -> str:
    """All findings, and how many want something done."""
    counts = {"failed": count(findings, Status.FAIL), "warned": count(findings, Status.WARN)}
    return json.dumps({"findings": [each.as_dict() for each in findings], **counts}, indent=2, ensure_ascii=False)


def _show(screen: Console, findings: Sequence[Finding]) -> None:
    for each in findings:
        where = f" [{each.where}]" if each.where else ""
        status = (f"{each.status.value:{_WIDTH_OF_A_STATUS}}", _STYLES[each.status])
        screen.print(Text.assemble(status, (each.name, "bold"), f"{where}: {each.found}"), soft_wrap=True)
        if each.fix and each.status is not Status.OK:
            screen.print(Text(f"{'':{_WIDTH_OF_A_STATUS}}fix: {each.fix}", style=_STYLES[each.status]), soft_wrap=True)


def _conclude(screen: Console, findings: Sequence[Finding]) -> None:
    failed, warned = count(findings, Status.FAIL), count(findings, Status.WARN)
    style = _STYLES[Status.FAIL if failed else Status.WARN if warned else Status.OK]
    told = f"{failed} to be fixed, {warned} warnings, {count(findings, Status.OK)} in order"
    screen.print(Text(told, style=style))
