"""Scored responses to pairs."""

import pytest

from evals.prompts import EvaluationPrompt, Message
from orchestrator.rounds.pairing import conflicts, most_potential, resolved, rows_of, scored
from orchestrator.rounds.sampling import Sampled
from orchestrator.settings import RoundsSettings
from tests.rounds.scored import responses


def settings(pairing: str, **given: object) -> RoundsSettings:
    """Rounds with two scorers."""
    return RoundsSettings.model_validate({"scorers": [{"kind": "verifier"}, {"kind": "length"}], "pairing": pairing, **given})


def orders(rows: list[dict[str, object]]) -> list[tuple[object, object]]:
    """Chosen and rejected of each row."""
    return [(row["chosen"], row["rejected"]) for row in rows]


def test_the_best_is_paired_with_the_worst_and_equal_responses_with_none() -> None:
    rows = rows_of(settings("best_worst"), [responses([1], [3], [2]), responses([1], [1])])
    assert orders(rows) == [("b", "a")]
    assert (rows[0]["chosen_reward"], rows[0]["rejected_reward"]) == (3.0, 1.0)


def test_rejection_sampling_keeps_all_pairs_that_are_sure_enough() -> None:
    assert orders(rows_of(settings("rejection_sampling", tau=1.0, eta=0.8), [responses([0], [1], [2], [4])])) == [
        ("c", "a"),
        ("d", "a"),
        ("d", "b"),
        ("d", "c"),
    ]


def test_all_gives_one_row_with_every_response() -> None:
    (row,) = rows_of(settings("all"), [responses([0], [1], [2])])
    assert (row["responses"], row["rewards"]) == (["a", "b", "c"], [0.0, 1.0, 2.0])


def test_pareto_pairs_only_what_every_scorer_orders_alike() -> None:
    rows = rows_of(settings("pareto"), [responses([1, 1], [2, 3], [3, 0]), responses([0, 1], [1, 0])])
    assert orders(rows) == [("b", "a")]


def test_a_conflict_is_the_pair_that_scorers_disagree_about_most() -> None:
    at_odds = responses([0, 5], [1, 4], [5, 0])
    assert [(first, second) for _, first, second in conflicts([at_odds, responses([1, 1], [2, 2])])] == [(0, 2)]


def test_a_revision_above_both_is_preferred_to_each_and_any_other_to_none() -> None:
    conflict = (responses([0, 5], [5, 0]), 0, 1)
    rows = list(resolved(conflict, responses([5, 4], [5, 6], [6, 5])))
    assert orders(rows) == [("b", "a"), ("b", "b")]
    assert list(resolved(conflict, responses([4, 9], [5, 4]))) == []
    assert list(resolved(conflict, responses([5, 5]))) == []


def test_a_response_that_a_scorer_could_not_read_is_not_paired() -> None:
    sample = Sampled(EvaluationPrompt("1", (Message("user", "why?"),)), ("x", "y", "z"), (-1.0, -2.0, -3.0))
    (found,) = scored([sample], [[1.0, 2.0, 3.0], [0.5, None, 0.25]])
    assert found.texts == ("x", "z")
    assert found.rewards.tolist() == [[1.0, 0.5], [3.0, 0.25]]
    assert found.implicit_margin == pytest.approx(2.0)


def test_the_prompts_of_the_highest_potential_have_wide_rewards_that_the_model_does_not_see() -> None:
    known = responses([0], [4], question="known", logps=(-3.0, -0.5))
    unknown = responses([0], [4], question="unknown", logps=(-1.0, -0.9))
    alike = responses([1], [1.5], question="alike", logps=(-1.0, -1.0))
    tied = responses([1], [1], question="tied")
    assert most_potential([known, alike, tied, unknown], weight=1.0, count=1) == [unknown]
    assert most_potential([tied], weight=1.0, count=1) == []
