"""Findings are shown as they come, each with its fix, or handed over whole as JSON."""

import json

import pytest

from orchestrator.doctor.findings import Finding, Status, fail, ok, warn
from orchestrator.doctor.steps import Step
from orchestrator.doctor.telling import as_json, followed

FINDINGS = [ok("disk", "500 GB [free]"), warn("files", "few", "more"), Finding("GPUs", Status.FAIL, "none", "some", "node-1")]


def test_each_finding_is_a_line_with_its_fix_below_and_the_end_counts_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert followed([Step("one", lambda: FINDINGS[:1]), Step("two", lambda: FINDINGS[1:])], quiet=False) == FINDINGS
    assert capsys.readouterr().out.splitlines() == [
        "OK    disk: 500 GB [free]",
        "WARN  files: few",
        "      fix: more",
        "FAIL  GPUs [node-1]: none",
        "      fix: some",
        "1 to be fixed, 1 warnings, 1 in order",
    ]


def test_json_has_all_findings_and_nothing_else_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    found = followed([Step("one", lambda: [fail("GPUs", "none", "some")])], quiet=True)
    assert capsys.readouterr().out == ""
    assert json.loads(as_json(found)) == {
        "findings": [{"name": "GPUs", "status": "FAIL", "found": "none", "fix": "some", "where": ""}],
        "failed": 1,
        "warned": 0,
    }
