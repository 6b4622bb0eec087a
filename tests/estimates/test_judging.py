"""What judges are asked and paid is reckoned for each judge by itself."""

from typing import Any

import pytest
from rich.console import Console

from orchestrator.estimates.estimate import Estimate, Work, estimated
from orchestrator.estimates.obstacles import obstacles
from orchestrator.estimates.pace import Measured, measured
from orchestrator.report.plans import plan_shown
from tests.estimates.test_estimates import settings, work

PAID = {"kind": "openai", "model": "j", "input_price": 2.0, "output_price": 8.0}
FREE = {"kind": "verifier"}
OF_FINALS = 4 * 3 * 405  # Finalists and plain DPO, seeds, held-out prompts.


def of_judges(search: dict[str, Any], finals: dict[str, Any] | None) -> Estimate:
    """The estimate of a search with these judges."""
    given = settings(search={"scheduler": "none"}).json_ready() | {"judge": search}
    given["finals"] |= {"judge": finals}
    return estimated(work(type(settings()).model_validate(given)))


def test_the_finals_are_asked_of_their_own_judge_and_paid_at_its_price() -> None:
    one, before, last = of_judges(PAID, None), of_judges(PAID, FREE), of_judges(FREE, PAID)
    assert last.calls.high == OF_FINALS + 4 * 3 * 32
    assert before.calls.high + last.calls.high == pytest.approx(one.calls.high)
    assert one.cost is not None and before.cost is not None and last.cost is not None
    assert before.cost.high + last.cost.high == pytest.approx(one.cost.high)
    dearer = of_judges(PAID, {**PAID, "input_price": 4.0, "output_price": 16.0})
    assert dearer.cost is not None
    assert dearer.cost.high == pytest.approx(before.cost.high + 2 * last.cost.high)
    assert of_judges(FREE, FREE).cost is None


def test_a_bound_of_either_judge_is_told_by_what_that_judge_is_asked() -> None:
    # The search asks some 7,400 times, both together 12,650 times.
    given = settings().json_ready() | {"judge": {**PAID, "max_requests": 9000}}
    given["finals"] |= {"judge": {**PAID, "max_requests": 1}}
    bounded = work(type(settings()).model_validate(given))
    assert [each.where for each in obstacles(bounded, estimated(bounded))] == ["finals.judge.max_requests"]


def test_thoughts_are_paid_for_like_replies() -> None:
    text = {**PAID, "protocol": "text"}
    plain, thinking = of_judges(text, None), of_judges({**text, "reasoning_effort": "low", "reasoning_tokens": 4096}, None)
    assert plain.cost is not None and thinking.cost is not None
    assert thinking.cost.low == plain.cost.low
    assert thinking.cost.high == pytest.approx(plain.cost.high + plain.calls.high * 4096 * 8 / 1e6)


def test_no_more_pairs_are_asked_about_twice_than_there_are() -> None:
    assert of_judges({**PAID, "swap_sample": 1000}, None).calls == of_judges({**PAID, "swap_sample": 405}, None).calls


def test_no_answer_is_longer_than_the_context_that_the_settings_give() -> None:
    def costs(**evaluation: int | None) -> Estimate:
        given = settings().json_ready() | {"judge": PAID}
        given["evaluation"] |= evaluation
        return estimated(work(type(settings()).model_validate(given)))

    assert costs(max_tokens=2048, max_model_len=1024) == costs(max_tokens=1024, max_model_len=1024)
    assert costs(max_tokens=2048, max_model_len=None) != costs(max_tokens=1024, max_model_len=None)


def test_worker_groups_without_a_trial_save_no_time() -> None:
    pace = measured(Measured((9.0, 2.0, 2.0), 1.0, 5.0, 64, 6.4, 30.0))
    few, many = (
        estimated(work(settings(search={"trials": 2}, finals={"seeds": 1}, cluster={"gangs": gangs}), pace=pace)) for gangs in (2, 8)
    )
    assert many.parts["training"] == few.parts["training"]


@pytest.mark.parametrize(("judge", "is_told"), [({"kind": "vllm", "model": "j"}, True), (PAID, False)])
def test_a_judge_whose_time_is_not_known_is_told_to_be_left_out(judge: dict[str, Any], is_told: bool) -> None:
    pace = measured(Measured((9.0, 2.0, 2.0), 1.0, 5.0, 64, 6.4, 30.0))
    given = work(type(settings()).model_validate(settings().json_ready() | {"judge": judge}), pace=pace)
    assert ("the time of judge, a model of the cluster's own, is not in it" in on_screen(given)) == is_told


def test_what_the_ladder_and_rounds_take_beside_the_judge_is_told_to_be_left_out() -> None:
    pace = measured(Measured((9.0, 2.0, 2.0), 1.0, 5.0, 64, 6.4, 30.0))
    scorers = [{"kind": "judge", "model": PAID}]
    ladder = {"rungs": ["local_judge"], "local_judge": {"kind": "vllm", "model": "j"}}
    given = settings(ladder=ladder, rounds={"prompts": "p.jsonl", "scorers": scorers}).json_ready() | {"judge": FREE}
    told = on_screen(work(type(settings()).model_validate(given), pace=pace))
    assert "the time of ladder.local_judge, a model of the cluster's own, is not in it" in told
    assert "the time in which rounds sample and score responses is not in it" in told
    assert "what rounds.scorers are paid is not in it" in told


def on_screen(given: Work) -> str:
    """The plan as it is shown."""
    screen = Console(width=400)
    with screen.capture() as shown:
        screen.print(plan_shown(given, estimated(given), []))
    return shown.get()
