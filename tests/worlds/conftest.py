"""Worlds for tests are made by one thread: several threads that share busy cores wait for each other a hundred times longer."""

from collections.abc import Iterator

import pytest

from orchestrator.worlds import small_model


@pytest.fixture(autouse=True, scope="package")
def one_thread() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(small_model, "MOST_THREADS", 1)
        yield
