"""What the project depends on may be used: every installed dependency says its licence, and it is one that is known."""

from pathlib import Path

from benchmarks.licences import ALLOWED, REVIEWED, dependencies, licence_of, rows

ROOT = Path(__file__).resolve().parents[1]


def test_no_dependency_has_a_licence_that_is_unknown_or_not_allowed() -> None:
    found = rows(dependencies(ROOT / "requirements" / "cpu.txt"))
    assert len(found) > 100
    assert [(row.name, row.licence) for row in found if not row.is_allowed] == []


def test_a_licence_that_nobody_looked_at_is_not_allowed() -> None:
    for licence in ("", "UNKNOWN", "AGPL-3.0", "GPL-3.0-only", "Proprietary"):
        assert not ALLOWED.search(licence)


def test_every_exception_gives_its_reason_and_is_still_needed() -> None:
    assert all(REVIEWED.values())
    assert [name for name in REVIEWED if ALLOWED.search(licence_of(name) or "")] == []
