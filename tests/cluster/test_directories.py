"""One command at a time is at work in a directory; a second one is told who is, before it starts anything."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray

from orchestrator.cluster.runs.benchmark_runs import evaluate_models
from orchestrator.cluster.runs.directories import alone_in
from orchestrator.cluster.runs.generation_runs import generate
from orchestrator.cluster.runs.reward_runs import train_reward
from orchestrator.cluster.runs.rounds import play_rounds
from orchestrator.cluster.runs.search import resume, search
from orchestrator.cluster.runs.single_runs import chosen_trial, evaluate_one, train_one
from orchestrator.errors import UserError
from orchestrator.search.trial import Trial
from orchestrator.settings import BenchmarkSettings, ClusterSettings, EvaluationSettings, GenerationSettings, Settings
from orchestrator.settings.reward import RewardSettings
from tests.evals.test_capability import TASK

HOLDER = """
import sys, time
from pathlib import Path
from orchestrator.cluster.runs.directories import alone_in
with alone_in(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def settings_of(model: Path, **more: Any) -> Settings:
    given = {"model": {"base": str(model)}, "data": {"train": "pairs.jsonl"}, "evaluation": {"prompts": "prompts.jsonl"}}
    return Settings.model_validate({**given, "judge": {"kind": "verifier"}, "method": "dpo", **more})


def started(command: Callable[[Settings, Trial, Path], Any], settings: Settings, directory: Path) -> Any:
    return command(settings, chosen_trial(settings, []), directory)


def evaluated(model: Path, directory: Path) -> Any:
    tasks, data = directory / "tasks", directory / "sums.jsonl"
    tasks.mkdir()
    data.write_text('{"a": 1, "b": 1, "answer": "2"}\n')
    task = TASK.format(name="sums", data=data, kind="generate_until", metric="exact_match", mean="mean", shots=0)
    (tasks / "sums.yaml").write_text(task)
    settings = BenchmarkSettings.model_validate({"capability": {"tasks": ["sums"], "task_files": str(tasks)}})
    return evaluate_models(settings, [str(model)], directory)


def resumed(model: Path, directory: Path) -> Any:
    (directory / "settings.json").write_text(settings_of(model).model_dump_json())
    return resume(directory)


COMMANDS: dict[str, Callable[[Path, Path], Any]] = {
    "search": lambda model, directory: search(settings_of(model), directory),
    "search --resume": resumed,
    "train": lambda model, directory: started(train_one, settings_of(model), directory),
    "eval of a search": lambda model, directory: evaluate_one(settings_of(model), str(model), directory),
    "eval": evaluated,
    "rounds": lambda model, directory: started(play_rounds, settings_of(model, rounds={"scorers": [{"kind": "verifier"}]}), directory),
    "reward": lambda model, directory: train_reward(
        RewardSettings.model_validate({"model": {"base": str(model)}, "data": {"train": "pairs.jsonl"}}), directory
    ),
    "generate": lambda model, directory: generate(
        str(model), [], GenerationSettings(), (ClusterSettings(), EvaluationSettings()), (directory, directory / "cache")
    ),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_second_command_in_a_directory_is_refused_before_ray_starts(command: str, tiny_model: Path, tmp_path: Path) -> None:
    with alone_in(tmp_path), pytest.raises(UserError) as refused:
        COMMANDS[command](tiny_model, tmp_path)
    assert refused.value.code == "DAA-0713"
    assert (f"process {os.getpid()} on " in refused.value.what, refused.value.where) == (True, str(tmp_path))
    assert not ray.is_initialized()


def test_a_directory_is_free_when_who_holds_it_leaves_or_is_killed(tmp_path: Path) -> None:
    with alone_in(tmp_path):
        pass
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        with pytest.raises(UserError, match=f"process {other.pid} on "), alone_in(tmp_path):
            pass
        other.kill()
    with alone_in(tmp_path):
        pass


def test_who_cannot_write_a_directory_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="the directory cannot be written") as refused, alone_in(tmp_path / "file"):
        pass
    assert refused.value.where == str(tmp_path / "file")
