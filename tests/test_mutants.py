"""The listing of what tests do not notice counts what it says."""

import pytest

from benchmarks.mutants import Mutant, listing, mutants, share_killed, table

LISTED = """
    evals.statistics.x_holm__mutmut_1: killed
    evals.statistics.x_holm__mutmut_2: survived
    evals.statistics.x_holm__mutmut_3: timeout
    orchestrator.objectives.kto.xǁKTOǁ__call____mutmut_1: no tests
    orchestrator.objectives.kto.xǁKTOǁ__call____mutmut_2: killed
    orchestrator.objectives.kto.xǁKTOǁ__call____mutmut_3: skipped
"""


def test_what_no_test_reaches_has_survived_and_what_hangs_was_noticed() -> None:
    found = mutants(LISTED)
    assert [mutant.is_killed for mutant in found] == [True, False, True, False, True]
    assert share_killed(found) == 3 / 5
    assert [mutant.module for mutant in found][::3] == ["evals.statistics", "orchestrator.objectives.kto"]


def test_the_table_has_a_row_for_each_module_and_the_listing_each_survivor_with_its_change() -> None:
    found = mutants(LISTED)
    changes = {mutant.name: f"-    a\n+    {mutant.status}" for mutant in found if not mutant.is_killed}
    assert [line.split() for line in table(found).splitlines()] == [
        ["evals.statistics", "2", "of", "3", "66.7%"],
        ["orchestrator.objectives.kto", "1", "of", "2", "50.0%"],
        ["together", "3", "of", "5", "60.0%"],
    ]
    first, *survivors = listing(found, changes).strip().split("\n\n")
    assert first == table(found)
    assert survivors[0] == "evals.statistics.x_holm__mutmut_2: survived\n-    a\n+    survived"
    assert len(survivors) == 2


def test_no_mutants_are_no_success() -> None:
    with pytest.raises(ValueError, match="make mutants"):
        share_killed([Mutant("a", "killed")][1:])
