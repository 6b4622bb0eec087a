"""Where the public verdicts lie, for tests that need them."""

from pathlib import Path

import pytest

DATA = Path(__file__).parents[4] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the public verdicts are not beside this checkout")
