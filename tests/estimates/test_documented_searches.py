"""The searches on GPUs that the documents show have room there for a model of the size that people try first."""

import tomllib

import pytest

from orchestrator.estimates.estimate import estimated
from orchestrator.estimates.obstacles import obstacles
from orchestrator.settings_file import check_settings
from tests.estimates.test_estimates import work
from tests.test_doc_blocks import BASE, blocks

ON_GPUS = [block for block in blocks("toml") if "gpus_per_worker" in block.values[0] and "[judge]" in block.values[0]]


@pytest.mark.parametrize("text", ON_GPUS)
def test_a_search_that_is_shown_fits_into_gpus_of_80_gb_with_a_model_of_8_billion(text: str) -> None:
    shown = work(check_settings({**BASE, **tomllib.loads(text)}, "a document"))
    assert [each.what for each in obstacles(shown, estimated(shown)) if not each.where.startswith("budget.")] == []


def test_readme_and_the_first_steps_show_one_each() -> None:
    assert {str(block.id).rsplit("-", 1)[0] for block in ON_GPUS} == {"index", "README"}
