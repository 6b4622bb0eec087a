"""What a search will hold is known before there is a cluster to ask."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.cluster.runs.planning import foreseen_gpus, planned
from orchestrator.cluster.surveying import gpu_of_cluster, seen_gpu
from orchestrator.policy.gpus import GPUS
from orchestrator.settings import Settings
from orchestrator.settings_file import check_settings, load_settings
from tests.cluster.small_search import write_small_search
from tests.test_settings import OF_SEARCHES

H100 = GPUS["H100"]
MODELS = {
    "vllm": {"kind": "vllm", "model": "m", "tensor_parallel": 2},
    "reward_model": {"kind": "reward_model", "model": "m"},
    "pair_ranker": {"kind": "pair_ranker", "model": "m"},
}
ON_GPUS = {"cluster": {"gpus_per_worker": 1, "gpus_per_engine": 1}}


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
    assert foreseen_gpus(judged(**sections), H100) == held
    assert foreseen_gpus(judged(**sections, **ON_GPUS), None) == 2 + held


@pytest.mark.parametrize("example", OF_SEARCHES, ids=lambda example: example.name)
def test_what_every_example_of_a_search_will_hold_is_known(example: Path) -> None:
    settings = load_settings(example)
    cluster = settings.cluster
    assert foreseen_gpus(settings, H100) >= foreseen_gpus(settings, None) >= min(1.0, cluster.gpus_per_worker * cluster.workers)


def test_a_search_whose_judge_is_a_model_of_the_cluster_is_planned_without_ray(tiny_model: Path, tmp_path: Path) -> None:
    settings = load_settings(write_small_search(tmp_path, tiny_model, trials=2, steps=4))
    judge = judged(judge=MODELS["vllm"]).judge
    assert planned(settings.model_copy(update={"judge": judge}), H100).plan.gpus == 2


@pytest.mark.parametrize(("name", "gib", "is_known"), [("NVIDIA RTX A6000", 47.5, False), ("NVIDIA H100 NVL", 93.1, True)])
def test_a_machine_s_gpu_has_the_memory_that_it_has_whether_its_speed_is_known_or_not(
    name: str, gib: float, is_known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: name)
    monkeypatch.setattr("torch.cuda.get_device_properties", lambda device: SimpleNamespace(total_memory=gib * 2**30))
    found = gpu_of_cluster()
    assert found is not None and found.memory == gib
    assert (found.flops is not None) == is_known


def test_of_a_cluster_s_gpus_those_with_the_least_memory_count_and_ray_does_not_say_how_much_an_a100_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kinds = ("H20", "H100", "A100")
    monkeypatch.setattr("ray.nodes", lambda: [{"Alive": True, "Resources": {f"accelerator_type:{kind}": 1.0}} for kind in kinds])
    assert seen_gpu() == replace(GPUS["A100-40G"], larger="A100-80G")
