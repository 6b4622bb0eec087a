"""A judge or a scorer of one's own is named in the settings, refused before anything starts, and made where it works."""

import sys
from pathlib import Path
from typing import Any

import pytest
import ray

from evals.judging import Match
from evals.prompts import EvaluationPrompt, Message
from evals.scoring import ScoredItem
from orchestrator.cluster.engines.evaluation_actors import JudgeActor
from orchestrator.cluster.engines.scorers import make_scorer
from orchestrator.errors import SettingsError
from orchestrator.settings import Settings
from orchestrator.settings_file import check_settings

WHOLE = """
from dataclasses import dataclass

from evals.judging import Verdict


@dataclass(frozen=True)
class Longer:
    by: int = 1
    name: str = "longer"

    def judge(self, matches):
        return [Verdict(each.prompt.id, float(len(each.candidate) >= len(each.baseline) + self.by)) for each in matches]

    def score(self, items):
        return [float(len(each.text)) for each in items]


class Nameless:
    def judge(self, matches):
        return []


class Idle:
    name = "idle"
"""
PROMPT = EvaluationPrompt("p", (Message("user", "Hi"),))


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of the working directory, by a name of its own."""
    name = f"judges_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(WHOLE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return name


def settings(name: str, options: dict[str, Any] | None = None, **other: Any) -> Settings:
    """Settings that name a judge of one's own and files that nobody opens."""
    needed = {"model": {"base": "m"}, "data": {"train": "d"}, "evaluation": {"prompts": "p"}}
    return check_settings({**needed, "judge": {"kind": "custom", "name": name, "options": options or {}}, **other}, "run.toml")


@pytest.mark.parametrize(
    ("name", "options", "what"),
    [
        ("{}:Longer", {"bye": 2}, "cannot be made with these options"),
        ("{}:Longre", {}, "has no 'Longre'; did you mean 'Longer'"),
        ("no_module_of_this_name:Longer", {}, "cannot be imported: No module named 'no_module_of_this_name'; correct or install it"),
        ("{}:Nameless", {}, "has no `name`"),
        ("{}:Idle", {}, "has no method `judge`"),
        ("{}", {}, "judge.name: String should match pattern"),
    ],
)
def test_a_judge_that_cannot_judge_is_refused_when_the_settings_are_read(
    name: str, options: dict[str, Any], what: str, module: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        settings(name.format(module), options)
    assert what in refused.value.what and "judge" in refused.value.what


def test_settings_that_name_one_are_the_same_when_they_are_read_again(module: str) -> None:
    given = settings(f"{module}:Longer", {"by": 3})
    assert check_settings(given.json_ready(), "settings.json") == given


def test_a_scorer_of_ones_own_scores_responses(module: str) -> None:
    rounds = {"scorers": [{"kind": "custom", "name": f"{module}:Longer"}]}
    given = settings(f"{module}:Longer", rounds=rounds).rounds
    assert given is not None
    scorer = make_scorer(given.scorers[0], Path("replies"))
    assert scorer.score([ScoredItem(PROMPT, "four")]) == [4.0]
    with pytest.raises(SettingsError, match="has no method `score`"):
        settings(f"{module}:Longer", rounds={"scorers": [{"kind": "custom", "name": f"{module}:Nameless"}]})


@pytest.mark.cluster
def test_the_judges_process_makes_it_from_its_name(module: str, tmp_path: Path) -> None:
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    try:
        actor: Any = JudgeActor.remote(settings(f"{module}:Longer", {"by": 3}).judge, str(tmp_path / "judge.log"), str(tmp_path))
        verdicts, _ = ray.get(actor.judge.remote([Match(PROMPT, "12345", "12"), Match(PROMPT, "1234", "12")]))
    finally:
        ray.shutdown()
    assert [verdict.candidate_score for verdict in verdicts] == [1.0, 0.0]
