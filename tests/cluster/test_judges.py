"""A judge that is paid may be paid what the search has left, whenever it is started."""

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cluster.judges import within_budget
from orchestrator.cluster.runs import finals
from orchestrator.cluster.runs.finals import FINAL_JUDGE, start_final_judge
from orchestrator.settings import BudgetSettings, OpenAISettings, Settings, VerifierSettings
from tests.search import events as made

PAID: dict[str, Any] = {"kind": "openai", "model": "m", "input_price": 2.0, "output_price": 8.0}
JUDGE = OpenAISettings.model_validate(PAID)


def ledger(directory: Path, *costs: float) -> Path:
    """That of a search whose verdicts on so many checkpoints cost so much."""
    file = directory / "ledger.jsonl"
    events = [made.scored("001", step, 50.0, scorecard=made.scorecard(50.0, cost=cost)) for step, cost in enumerate(costs, 1)]
    file.write_text("".join(json.dumps(event) + "\n" for event in events))
    return file


def most(given: Any) -> float | None:
    """What a judge may be paid."""
    return given.max_cost


@pytest.mark.parametrize(
    ("costs", "own", "left"), [((), None, 50.0), ((20.0, 25.0), None, 5.0), ((20.0,), 8.0, 8.0), ((20.0, 31.0), 8.0, 0.0)]
)
def test_a_judge_may_be_paid_what_earlier_sessions_left_and_no_more_than_its_own_bound(
    costs: tuple[float, ...], own: float | None, left: float, tmp_path: Path
) -> None:
    given = JUDGE.model_copy(update={"max_cost": own})
    assert most(within_budget(given, BudgetSettings(cost=50.0), ledger(tmp_path, *costs))) == left
    assert within_budget(given, BudgetSettings(judgments=7), tmp_path / "ledger.jsonl") is given


def test_before_there_is_a_ledger_all_of_the_budget_is_left_and_a_judge_without_a_price_is_left_as_it_is(tmp_path: Path) -> None:
    assert most(within_budget(JUDGE, BudgetSettings(cost=50.0), tmp_path / "ledger.jsonl")) == 50.0
    free = VerifierSettings(kind="verifier")
    assert within_budget(free, BudgetSettings(cost=50.0), tmp_path / "ledger.jsonl") is free


@pytest.mark.parametrize(("judge", "is_paid", "told"), [(PAID, True, 5.0), ({"kind": "reward_model", "model": "m"}, False, None)])
def test_the_finals_judge_is_warm_when_they_begin_and_one_that_is_paid_starts_with_what_the_search_left(
    judge: dict[str, Any], is_paid: bool, told: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Any] = []
    monkeypatch.setattr(finals, "start_judge", lambda name, settings, *_: started.append((name, settings)) or name)
    given = {"world": {"kind": "tasks"}, "judge": {"kind": "verifier"}, "budget": {"cost": 50.0}}
    settings = Settings.model_validate({**given, "finals": {"judge": judge}})
    ledger(tmp_path, 45.0)
    assert start_final_judge(settings, tmp_path, is_paid=not is_paid) == []
    assert start_final_judge(settings, tmp_path, is_paid=is_paid) == [FINAL_JUDGE]
    assert [(name, getattr(asked, "max_cost", None)) for name, asked in started] == [(FINAL_JUDGE, told)]
    assert start_final_judge(Settings.model_validate(given), tmp_path, is_paid) == []
