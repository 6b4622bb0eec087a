"""Where the answers of one model come from."""

from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from typer.testing import CliRunner

from orchestrator.cli import app
from orchestrator.cluster.runs import generation_runs
from orchestrator.commands.rounds import generating_settings
from orchestrator.errors import ClusterError, SettingsError
from orchestrator.settings import ClusterSettings, GenerationSettings

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


def test_only_what_counts_for_answers_is_asked_of_a_settings_file(tmp_path: Path) -> None:
    file = tmp_path / "gen.toml"
    file.write_text("[cluster]\nengines = 2\n[rounds.generation]\nresponses = 3\n[rounds]\ncount = 0\n[judge]\nkind = 'none'\n")
    assert (generating_settings(file).cluster.engines, generating_settings(file).rounds.generation.responses) == (2, 3)
    assert generating_settings(None).rounds.generation == GenerationSettings()
    for wrong, told in (("[clustr]\n", r"clustr \(line 1\).*'cluster'"), ("[rounds.generation]\nseeds = 1\n", r"seeds \(line 2\).*'seed'")):
        file.write_text(wrong)
        with pytest.raises(SettingsError, match=told):
            generating_settings(file)


def test_other_answers_are_another_seed_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Mock()
    monkeypatch.setattr(generation_runs, "generate", asked)
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "Hi"}\n')
    done = CliRunner().invoke(app, ["generate", "m", "--prompts", str(tmp_path / "prompts.jsonl"), "--seed", "7"])
    assert done.exit_code == 0, done.output
    assert asked.call_args.args[2] == GenerationSettings(seed=7)


def test_more_engines_than_there_are_gpus_are_refused_and_do_not_wait_for_ever(two_gpus: None) -> None:
    with pytest.raises(ClusterError, match="the run needs 3 GPUs and the cluster has 2") as refused:
        generation_runs.on_gpus(ClusterSettings(engines=3))
    assert refused.value.code == "DAA-0601"
