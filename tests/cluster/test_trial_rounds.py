"""What a worker trains of a trial in rounds, one run after another."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.cluster.workers import training_workers, trial_rounds
from orchestrator.cluster.workers.trial_rounds import begin_rounds, runs_of
from orchestrator.errors import SettingsError
from orchestrator.objectives import METHODS
from orchestrator.search.trial import Trial
from orchestrator.settings import Settings
from orchestrator.training.run import TrainingRun
from tests.training.runs import FAST

TRIAL = Trial("001-bco-ab12", "bco", {}, {})


def settings_of(rounds: dict[str, Any], **given: Any) -> Settings:
    """A search over three rounds, or as many as are given, with 12 steps and three checkpoints."""
    own = {"scorers": [{"kind": "verifier"}], "count": 3, **rounds}
    return Settings.model_validate(
        {"model": {"base": "base"}, "data": {"train": "given.jsonl"}, "judge": {"kind": "verifier"}, "rounds": own}
        | {"evaluation": {"prompts": "prompts.jsonl"}, "training": FAST.model_dump(), **given}
    )


def runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, **rounds: Any) -> list[TrainingRun]:
    """The runs of a trial whose data are made elsewhere."""
    settings = settings_of(rounds)

    def run_of(settings: Settings, trial: Trial, directory: Path) -> Any:
        made = TrainingRun(METHODS["bco"](), settings.training, [], settings.model.base or "", None, directory / "run", "")
        return FullRun(**vars(replace(made, reference=settings.model.reference)))

    monkeypatch.setattr(training_workers, "training_run", run_of)
    monkeypatch.setattr(training_workers, "agree", lambda told: told)
    monkeypatch.setattr(trial_rounds, "_made", lambda trial, number, model: SimpleNamespace(pairs=tmp_path / f"{number}.jsonl"))
    return list(runs_of(settings, TRIAL, tmp_path, rank=0))


class FullRun(TrainingRun):
    """A run of 64 pairs that are nowhere."""

    kept = 64  # pyright: ignore[reportAssignmentType]


@pytest.mark.parametrize(("reference", "since"), [("start", [0, 4, 8]), ("extrapolated", [0, 4, 8]), ("base", [0, 0, 0])])
def test_a_round_is_compared_anew_where_its_reference_is_not_the_last_rounds(
    reference: str, since: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = runs(monkeypatch, tmp_path, reference=reference)
    assert [run.last_step for run in made] == [4, 8, 12]
    assert [run.compared_since for run in made] == since


@pytest.mark.parametrize(
    ("count", "space"),
    [(4, {}), (2, {"options": [1, 4]}), (2, {"low": 1, "high": 4})],
    ids=["given", "among options", "in a range"],
)
def test_more_rounds_than_checkpoints_are_refused(count: int, space: dict[str, Any], tmp_path: Path) -> None:
    settings = settings_of({"count": count}, search={"space": {"rounds": {"count": space}} if space else {}})
    with pytest.raises(SettingsError) as refused:
        begin_rounds(settings, tmp_path, [], "hub")
    assert refused.value.where == "rounds.count"
    assert "training.checkpoints to 4 or more" in refused.value.cure
