"""Imports are not interrupted by collections, and what they leave is not looked at again."""

import gc
import subprocess
import sys

import pytest

from evals.importing import importing

APART = """
import gc
from evals.importing import importing
with importing():
    assert not gc.isenabled()
    import json.tool
assert gc.isenabled() and gc.get_freeze_count() > 1000
made = []
made.append(made)
del made
assert gc.collect() == 1
"""


def test_modules_are_frozen_and_what_is_made_later_is_collected() -> None:
    subprocess.run([sys.executable, "-c", APART], check=True, timeout=60)


def test_a_failed_import_leaves_collections_as_they_were() -> None:
    with pytest.raises(ModuleNotFoundError), importing():
        import no_such_module  # noqa: F401  # pyright: ignore[reportMissingImports]
    assert gc.isenabled()
    gc.unfreeze()
