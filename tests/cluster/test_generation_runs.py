"""Where the answers of one model come from."""

from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from typer.testing import CliRunner

from orchestrator.cli import app
from orchestrator.cluster.runs import generation_runs
from orchestrator.errors import ClusterError
from orchestrator.settings import ClusterSettings

TWO_GPUS = {"10.0.0.1": {"CPU": 8.0, "GPU": 2.0}}


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A joined cluster of one node."""
    monkeypatch.setattr("ray.cluster_resources", lambda: TWO_GPUS["10.0.0.1"])
    monkeypatch.setattr(generation_runs, "nodes_of_cluster", lambda: TWO_GPUS)


@pytest.mark.parametrize(
    ("options", "held"),
    [([], 1), (["--engines", "2"], 1), (["--settings", "open.toml"], 1), (["--settings", "said.toml"], 0)],
)
def test_an_engine_that_only_answers_has_a_gpu_where_there_are_some_unless_the_settings_say_how_many(
    options: list[str], held: float, two_gpus: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Mock()
    monkeypatch.setattr(generation_runs, "generate", asked)
    monkeypatch.chdir(tmp_path)
    Path("prompts.jsonl").write_text('{"prompt": "Hi"}\n')
    settings = 'model.base = "m"\ndata.train = "d"\nevaluation.prompts = "p"\njudge.kind = "verifier"\n'
    Path("open.toml").write_text(settings)
    Path("said.toml").write_text(settings + "cluster.gpus_per_engine = 0\n")
    done = CliRunner().invoke(app, ["generate", "m", "--prompts", "prompts.jsonl", *options])
    assert done.exit_code == 0, done.output
    cluster: Any = asked.call_args.args[3][0]
    assert generation_runs.on_gpus(cluster).gpus_per_engine == held


def test_more_engines_than_there_are_gpus_are_refused_and_do_not_wait_for_ever(two_gpus: None) -> None:
    with pytest.raises(ClusterError, match="the run needs 3 GPUs and the cluster has 2") as refused:
        generation_runs.on_gpus(ClusterSettings(engines=3))
    assert refused.value.code == "DAA-0601"
