"""What a search will hold is known before there is a cluster to ask."""

from pathlib import Path
from typing import Any

import pytest

from orchestrator.cluster.runs.planning import foreseen_gpus, planned
from orchestrator.settings import Settings
from orchestrator.settings_file import check_settings, load_settings
from tests.cluster.small_search import write_small_search
from tests.test_settings import OF_SEARCHES

MODELS = {
    "vllm": {"kind": "vllm", "model": "m", "tensor_parallel": 2},
    "reward_model": {"kind": "reward_model", "model": "m"},
    "pair_ranker": {"kind": "pair_ranker", "model": "m"},
}
GPUS = {"cluster": {"gpus_per_worker": 1, "gpus_per_engine": 1}}


def judged(**sections: Any) -> Settings:
    return check_settings({"world": {"kind": "tasks"}, "judge": {"kind": "verifier"}, **sections}, "the test")


@pytest.mark.parametrize(
    ("sections", "held"),
    [
        ({"judge": MODELS["vllm"]}, 2),
        ({"judge": MODELS["reward_model"]}, 1),
        ({"ladder": {"rungs": ["reward_model"], "reward_model": MODELS["reward_model"]}}, 1),
        ({"finals": {"judge": MODELS["vllm"]}}, 2),
        ({"rounds": {"scorers": [MODELS["pair_ranker"], {"kind": "judge", "model": MODELS["vllm"]}]}}, 3),
    ],
)
def test_models_that_leave_their_gpus_open_get_one_where_the_settings_or_a_name_tell_of_some(sections: dict[str, Any], held: int) -> None:
    assert foreseen_gpus(judged(**sections), None) == 0
    assert foreseen_gpus(judged(**sections), "H100") == held
    assert foreseen_gpus(judged(**sections, **GPUS), None) == 2 + held


@pytest.mark.parametrize("example", OF_SEARCHES, ids=lambda example: example.name)
def test_what_every_example_of_a_search_will_hold_is_known(example: Path) -> None:
    settings = load_settings(example)
    cluster = settings.cluster
    assert foreseen_gpus(settings, "H100") >= foreseen_gpus(settings, None) >= min(1.0, cluster.gpus_per_worker * cluster.workers)


def test_a_search_whose_judge_is_a_model_of_the_cluster_is_planned_without_ray(tiny_model: Path, tmp_path: Path) -> None:
    settings = load_settings(write_small_search(tmp_path, tiny_model, trials=2, steps=4))
    judge = judged(judge=MODELS["vllm"]).judge
    assert planned(settings.model_copy(update={"judge": judge}), "H100").plan.gpus == 2
