"""What a search will do is known before it begins, and the ledger can tell it again."""

import json
from typing import Any

import pytest

from evals.prompts import EvaluationPrompt, Message, PromptSet
from orchestrator.errors import SettingsError
from orchestrator.search.ledger import Events
from orchestrator.search.plan import SearchPlan, in_order, make_plan, race_rules
from orchestrator.search.racing import Rung
from orchestrator.search.trial import Trial
from orchestrator.settings import Settings
from tests.search import events as made

PAIRS, PROMPTS = 400, 100
PAID = {"kind": "openai", "model": "m", "input_price": 2.0, "output_price": 8.0}


def settings(**search: Any) -> Settings:
    """A search with these settings of its own."""
    given = {"world": {"kind": "tasks"}, "judge": {"kind": "verifier"}, "finals": {"finalists": 3, "seeds": 2}}
    return Settings.model_validate({**given, "training": {"batch_size": 8}, "search": search})


def test_the_finals_need_each_finalist_and_the_control_under_all_seeds() -> None:
    plan = make_plan(settings(), PAIRS, 8.0, PROMPTS, held_out=500)
    assert (plan.final_runs, plan.final_judgments) == (4 * 1, 4 * 2 * 500)
    run = Trial("run", "dpo", {}, {})
    unread = {"event": "unreadable", "time": 0.0, "trial": "dpo", "seed": 2, "run": "other", "asked": 500, "cost": 0.0}
    played = [made.joined(run, 10, "dpo"), made.held_out("dpo", made.verdicts(*[1.0] * 500)), unread]
    assert plan.left_for_finals(Events(played)) == (4, 3000, plan.final_price)
    assert plan.left_for_finals(Events([*played, made.ended("run", "completed")])) == (3, 3000, plan.final_price)
    assert (plan.pairs, plan.gpus) == (PAIRS, 8.0)


@pytest.mark.parametrize(
    ("search", "finalists"), [({"trials": 2}, 2), ({"trials": 4}, 4), ({"trials": 12, "methods": ["dpo"]}, 3), ({"methods": ["simpo"]}, 4)]
)
def test_no_more_is_kept_back_for_the_finals_than_trials_can_play_in_them(search: dict[str, Any], finalists: int) -> None:
    plan = make_plan(settings(**search), PAIRS, 0.0, PROMPTS, held_out=500)
    assert (plan.final_runs, plan.final_judgments) == (finalists * 1, finalists * 2 * 500)


@pytest.mark.parametrize(
    ("search", "finals", "price"),
    [
        (PAID, PAID | {"input_price": 5.0, "output_price": 20.0}, 2.5),
        (PAID, None, 1.0),
        (PAID, {"kind": "verifier"}, 0.0),
        ({"kind": "verifier"}, PAID, 1.0),
    ],
)
def test_verdicts_of_the_finals_are_kept_back_at_their_own_judges_price(search: Any, finals: Any, price: float) -> None:
    given = {"world": {"kind": "tasks"}, "judge": search, "finals": {"judge": finals}, "training": {"batch_size": 8}}
    assert make_plan(Settings.model_validate(given), PAIRS, 0.0, PROMPTS, 500).final_price == price


def test_without_held_out_prompts_there_are_no_finals() -> None:
    plan = make_plan(settings(), PAIRS, 0.0, PROMPTS, held_out=0)
    assert (plan.final_runs, plan.final_judgments) == (0, 0)


def test_a_race_has_more_rungs_than_checkpoints_and_other_schedulers_one_for_each() -> None:
    racing, plain = (make_plan(settings(scheduler=name), PAIRS, 0.0, PROMPTS, 0).rungs for name in ("racing", "none"))
    checkpoints = len(settings().training.checkpoint_steps(PAIRS))
    assert len(racing) > checkpoints == len(plain)
    assert racing[-1] == plain[-1] == Rung(checkpoints, PROMPTS)


@pytest.mark.parametrize(
    ("ranges", "told"),
    [
        ({"epochs": {"options": [0.05, 2.0]}}, "training.epochs = 2 leaves 4 on 400 pairs, and training.epochs = 0.05 2"),
        ({"batch_size": {"options": [8, 200]}}, "training.batch_size = 8 leaves 4 on 400 pairs, and training.batch_size = 200 2"),
        ({"steps": {"low": 3, "high": 40}}, "and training.steps = 3 3"),
        ({"batch_size": {"options": [8, 40]}, "epochs": {"low": 0.3, "high": 1}}, "training.batch_size = 40, training.epochs = 0.3 3"),
    ],
)
def test_searched_values_under_which_trials_have_other_checkpoints_than_the_plan_are_refused_with_what_to_change(
    ranges: dict[str, Any], told: str
) -> None:
    given = settings(space={"training": ranges})
    with pytest.raises(SettingsError) as refused:
        make_plan(given, PAIRS, 0.0, PROMPTS, 0)
    assert told in refused.value.what
    least = refused.value.cure.partition(",")[0].removeprefix("set training.checkpoints = ")
    fewer = given.model_copy(update={"training": given.training.model_copy(update={"checkpoints": int(least)})})
    assert make_plan(fewer, PAIRS, 0.0, PROMPTS, 0).rungs[-1] == Rung(int(least), PROMPTS)


def test_searched_steps_that_leave_equally_many_checkpoints_are_planned() -> None:
    ranges = {"batch_size": {"options": [8, 64]}, "epochs": {"low": 1.0, "high": 3.0}, "learning_rate": {"low": 1e-7, "high": 1e-6}}
    given = settings(space={"training": ranges})
    assert make_plan(given, PAIRS, 0.0, PROMPTS, 0).rungs[-1] == Rung(4, PROMPTS)
    unused = given.model_copy(update={"training": given.training.model_copy(update={"epochs": 0.02})})
    assert make_plan(unused, PAIRS, 0.0, PROMPTS, 0).rungs[-1] == Rung(4, PROMPTS), "no trial has the settings' own"


def test_a_methods_own_ranges_of_training_decide_checkpoints_too() -> None:
    given = settings(methods=["simpo"], space={"simpo": {"batch_size": {"options": [8, 200]}}})
    with pytest.raises(SettingsError, match=r"training\.batch_size = 200 2"):
        make_plan(given, PAIRS, 0.0, PROMPTS, 0)


@pytest.mark.parametrize("held_out", [0, 500])
def test_the_ledger_tells_the_plan_again(held_out: int) -> None:
    plan = make_plan(settings(), PAIRS, 2.0, PROMPTS, held_out)
    event = json.loads(json.dumps({"event": "begin", "time": 1.0, **plan.as_dict()}))
    assert SearchPlan.of(event) == plan


def test_the_rules_of_the_race_are_the_settings() -> None:
    given = settings(trials=12, error_rate=0.1, margin=2.0, doubt=1.5)
    plan = make_plan(given, PAIRS, 0.0, PROMPTS, 0)
    rules = race_rules(given, plan)
    assert (rules.rungs, rules.trials, rules.error_rate, rules.margin, rules.doubt) == (plan.rungs, 12, 0.1, 2.0, 1.5)


def test_prompts_are_put_in_an_order_that_spreads_their_strata_and_loses_none() -> None:
    prompts = tuple(EvaluationPrompt(str(n), (Message("user", "?"),), stratum="ab"[n >= 20]) for n in range(40))
    ordered = in_order(PromptSet(prompts, "digest"), seed=0)
    assert ordered.sha256 == "digest"
    assert sorted(ordered.prompts, key=lambda prompt: int(prompt.id)) == list(prompts)
    assert 4 <= sum(prompt.stratum == "a" for prompt in ordered.prompts[:10]) <= 6
    assert in_order(PromptSet(prompts, "digest"), seed=1) != ordered
