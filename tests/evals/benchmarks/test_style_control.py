"""Style control finds a known strength behind a known style effect, with honest errors; styles are counted as the official tool does."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from evals.benchmarks.arena_hard import score_judgments
from evals.benchmarks.files import read_rows
from evals.benchmarks.style_control import (
    FEATURES,
    Battle,
    Battles,
    answer_style,
    answer_styles,
    control_battles,
    control_style,
    estimated_tokens,
    style_difference,
)
from evals.errors import DataFormatError, UserError
from tests.evals.benchmarks.official import DATA, needs_data

ARENA = DATA / "arena_hard"
PLAIN = answer_style("a plain answer")


def made(count: int, strength: float, effect: float, seed: int, *, longer: float = 0.2, model: str = "m") -> Battles:
    """Two games on each of `count` questions, alike more often than chance; log-odds = strength + effect * relative length."""
    chance = np.random.default_rng(seed)
    style = np.stack([chance.normal(longer, 0.25, count).clip(-1, 1), *chance.normal(0, 0.02, (3, count))], axis=1)
    wins = 1 / (1 + np.exp(-(strength + effect * style[:, 0])))
    first, again = chance.random(count) < wins, chance.random(count) < wins
    second = np.where(chance.random(count) < 0.7, first, again)
    weights = np.where(chance.random(2 * count) < 0.3, 3.0, 1.0)
    questions = np.repeat(np.arange(count).astype(np.str_), 2)
    results = np.stack([first, second], axis=1).ravel().astype(np.float64)
    return Battles(np.full(2 * count, model), questions, results, weights, np.repeat(style, 2, axis=0))


def keep(battles: Battles, rows: Any) -> Battles:
    return Battles(battles.models[rows], battles.questions[rows], battles.results[rows], battles.weights[rows], battles.style[rows])


def joined(*parts: Battles) -> Battles:
    names = ("models", "questions", "results", "weights", "style")
    return Battles(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def percent(logit: float) -> float:
    return 100 / (1 + math.exp(-logit))


def raw(battles: Battles) -> float:
    return 100 * float(battles.weights @ battles.results / battles.weights.sum())


def test_a_known_strength_is_found_behind_a_known_effect_of_length() -> None:
    battles = made(20_000, -0.6, 1.5, seed=0)
    found = control_style(battles)
    score = found.scores["m"]
    assert abs(score.score - percent(-0.6)) < 3 * score.standard_error
    assert score.standard_error < 0.6
    assert raw(battles) > score.score + 5
    assert found.coefficients["length"] == pytest.approx(1.5 * float(battles.style[:, 0].std()), abs=0.05)
    assert all(abs(found.coefficients[name]) < 0.05 for name in ("headers", "lists", "bold"))


def test_without_an_effect_of_style_the_controlled_score_is_the_raw_one() -> None:
    battles = made(5_000, 0.5, 0.0, seed=1)
    score = control_style(battles).scores["m"]
    assert abs(score.score - raw(battles)) < 2 * score.standard_error
    assert score.official == pytest.approx(raw(battles), abs=0.1)


def test_nineteen_intervals_of_twenty_hold_the_truth() -> None:
    scores = [control_style(made(150, -0.6, 1.5, seed)).scores["m"] for seed in range(200)]
    held = np.mean([score.low <= percent(-0.6) <= score.high for score in scores])
    assert 0.90 <= held <= 0.98
    assert np.mean([score.standard_error for score in scores]) == pytest.approx(np.std([score.score for score in scores]), rel=0.15)


def test_the_error_is_that_of_refitting_on_resampled_questions() -> None:
    battles = made(400, -0.6, 1.5, seed=3)
    whole = control_style(battles).scores["m"]
    chance = np.random.default_rng(0)
    drawn = (chance.integers(0, 400, 400) for _ in range(300))
    scores = [control_style(keep(battles, np.concatenate([2 * draw, 2 * draw + 1]))).scores["m"].score for draw in drawn]
    assert whole.standard_error == pytest.approx(np.std(scores), rel=0.12)
    assert math.fsum(share**2 for share in whole.influence.values()) == pytest.approx(whole.standard_error**2)
    assert set(whole.influence) == set(battles.questions)


def test_no_small_change_of_the_fit_makes_the_verdicts_likelier() -> None:
    battles = joined(made(100, -0.6, 1.5, seed=4), made(80, 0.8, 1.5, seed=5, model="n"))
    found = control_style(battles)
    centred = battles.style - np.average(battles.style, axis=0, weights=battles.weights)
    scaled = centred / np.sqrt(np.average(centred**2, axis=0, weights=battles.weights))
    design = np.hstack([battles.models[:, None] == np.array(["m", "n"]), scaled])

    def surprise(weights: Any) -> float:
        logits = design @ weights
        return float(battles.weights @ (np.logaddexp(0, logits) - battles.results * logits))

    strengths = [math.log(score.official / (100 - score.official)) for score in found.scores.values()]
    weights = np.array([*strengths, *found.coefficients.values()])
    chance = np.random.default_rng(1)
    for size in (1e-1, 1e-2, 1e-3):
        assert all(surprise(weights + size * chance.normal(0, 1, len(weights))) > surprise(weights) for _ in range(50))


def test_several_models_share_the_worth_of_style_and_one_alone_will_do() -> None:
    alone, other = made(300, -0.6, 1.5, seed=6), made(300, 0.8, 1.5, seed=7, model="n", longer=-0.3)
    together, single = control_style(joined(alone, other)), control_style(alone)
    assert together.coefficients != single.coefficients
    assert together.scores["m"].standard_error < single.scores["m"].standard_error
    assert abs(together.scores["m"].score - single.scores["m"].score) < 3 * single.scores["m"].standard_error
    assert abs(together.scores["m"].official - single.scores["m"].official) > 3


def test_neither_order_nor_writing_a_weight_as_several_rows_changes_the_score() -> None:
    battles = made(200, -0.6, 1.5, seed=8)
    whole = control_style(battles).scores["m"]
    assert control_style(battles).scores["m"] == whole
    shuffled = control_style(keep(battles, np.random.default_rng(0).permutation(400))).scores["m"]
    repeated = keep(battles, np.repeat(np.arange(400), battles.weights.astype(int)))
    exploded = control_style(replace(repeated, weights=np.ones(len(repeated.weights)))).scores["m"]
    for found in (shuffled, exploded):
        assert (found.score, found.standard_error) == pytest.approx((whole.score, whole.standard_error), abs=1e-6)


def test_a_feature_that_never_varies_is_left_out() -> None:
    battles = made(200, -0.6, 1.5, seed=9)
    level = replace(battles, style=battles.style * [1, 0, 0, 0] + [0, 0.3, 0, 0])
    found = control_style(level)
    assert [found.coefficients[name] for name in FEATURES[1:]] == [0, 0, 0]


def test_answers_of_one_style_have_the_raw_score_with_the_raw_error() -> None:
    verdicts = [("B>A", "A>B"), ("A>>B", "A=B"), ("A>B", "B>>A"), ("B>A", "B>A"), ("A=B", "A>B"), ("A=B", None)]
    rows = [{"uid": str(n), "model": "m", "games": [{"score": label} for label in pair]} for n, pair in enumerate(verdicts)]
    (found,) = score_judgments(rows, {model: {row["uid"]: PLAIN for row in rows} for model in ("m", "gpt-4-0314")})
    for name in ("style_controlled", "style_controlled_official"):
        assert found.details[name] == pytest.approx(found.score, abs=1e-5)
    assert found.details["style_controlled_standard_error"] == pytest.approx(found.standard_error, abs=1e-5)


@pytest.mark.parametrize("result", [0.0, 1.0])
def test_verdicts_that_style_or_strength_separates_have_a_finite_score_and_no_pretended_certainty(result: float) -> None:
    battles = made(100, 0, 0, seed=10)
    by_length = replace(battles, results=(battles.style[:, 0] > 0.2).astype(np.float64))
    for separated in (replace(battles, results=np.full(200, result)), by_length):
        score = control_style(separated).scores["m"]
        assert 0 <= score.score <= 100
        assert (score.low, score.high, score.influence) == (0, 100, {})
        assert math.isnan(score.standard_error)


def test_a_handful_of_questions_and_none_claim_nothing() -> None:
    score = control_style(made(4, 0, 0, seed=11)).scores["m"]
    assert (score.low, score.high) == (0, 100)
    repeating = made(4, 0, 0, seed=12)
    repeating = replace(repeating, style=np.tile(repeating.style[:, :1], 4), results=np.tile([0.0, 1.0, 1.0, 1.0], 2))
    assert math.isnan(control_style(repeating).scores["m"].standard_error)
    with pytest.raises(UserError, match="no game to control"):
        control_battles([])


def test_single_games_are_fitted_as_arrays_are() -> None:
    styles = [answer_style("word " * length) for length in (5, 50, 20, 80, 35, 60, 10, 90)]
    battles = [Battle("m", str(n), n % 3 / 2, 1, styles[n % 8], styles[(n * 3 + 1) % 8]) for n in range(40)]
    found = control_battles(battles).scores["m"]
    style = np.array([style_difference(battle.candidate, battle.baseline) for battle in battles])
    arrays = Battles(np.full(40, "m"), np.arange(40).astype(np.str_), np.array([n % 3 / 2 for n in range(40)]), np.ones(40), style)
    assert found == control_style(arrays).scores["m"]


def test_markdown_is_counted_outside_fenced_code_only() -> None:
    text = "# Title\n\n## A\n#no header\n1. one\n 2. two\n- x\n  * y\n+ z\n**bold** and __bold__ and **not\nbold**\n"
    wanted = {
        "header_count": {"h1": 1, "h2": 1, "h3": 0, "h4": 0, "h5": 0, "h6": 0},
        "list_count": {"ordered": 2, "unordered": 3},
        "bold_count": {"**": 1, "__": 1},
    }
    for found in (answer_style(text), answer_style(text + "```python\n# comment\n- **x**\n1. y\n```\n")):
        assert {key: found[key] for key in wanted} == wanted
    assert list(answer_style(text)) == ["token_len", *wanted]


def test_one_block_of_code_inside_another_leaves_no_code_behind() -> None:
    found = answer_style("```\nimport x\n```\nthen\n```\nimport x\n# comment\n```\n")
    assert found["header_count"]["h1"] == 0


def test_tokens_are_counted_as_told_or_else_estimated() -> None:
    assert answer_style("abc", count_tokens=len)["token_len"] == 3
    assert estimated_tokens("") == 0
    assert estimated_tokens("Hello world, this is plain prose.\n") == 8
    assert 4 <= estimated_tokens("今天天气很好") <= 6
    assert estimated_tokens("1234567") == 3


def test_differences_are_relative_lengths_and_densities() -> None:
    own = {"token_len": 300, "header_count": {"h1": 3}, "list_count": {"ordered": 0}, "bold_count": {"**": 6}}
    other = {"token_len": 100, "header_count": {"h1": 0}, "list_count": {"ordered": 2}, "bold_count": {"**": 2}}
    header, lists, bold, other_bold = 3 / 301, 2 / 101, 6 / 301, 2 / 101
    wanted = (0.5, header / (header + 1), -lists / (lists + 1), (bold - other_bold) / (bold + other_bold + 1))
    assert style_difference(own, other) == pytest.approx(wanted)
    assert style_difference(answer_style(""), answer_style("")) == (0, 0, 0, 0)
    with pytest.raises(DataFormatError, match="is no style metadata"):
        style_difference({"token_len": 3}, PLAIN)


def test_answers_of_both_years_are_read_and_stored_metadata_is_kept() -> None:
    new = {"uid": "q", "model": "n", "messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": {"answer": "# A"}}]}
    old = {"question_id": "q", "model_id": "o", "choices": [{"turns": [{"content": "# A"}]}]}
    found = answer_styles([new, old, {**new, "model": "stored", "metadata": PLAIN}], count_tokens=len)
    assert found == {"n": {"q": answer_style("# A", len)}, "o": {"q": answer_style("# A", len)}, "stored": {"q": PLAIN}}
    for row in ({"uid": "q", "model": "n"}, {"uid": "q", "messages": []}, {"uid": "q", "model": "n", "messages": []}):
        with pytest.raises(DataFormatError, match="row 1 is no answer"):
            answer_styles([row])


@needs_data
def test_real_battles_are_controlled_as_the_official_functions_do() -> None:
    models = ("gpt-4-0613", "gpt-3.5-turbo-0125")
    answers: Mapping[str, Any] = answer_styles(
        [row for model in (*models, "gpt-4-0314") for row in read_rows(ARENA / f"model_answer_v0.1_{model}.jsonl.gz")]
    )
    rows = [row for row in read_rows(ARENA / "judgments_v0.1.jsonl.gz") if row["model"] in models]
    # show_result.py's own functions on these battles and styles, all games once: its optimiser stops 0.02 to 0.14 short of the optimum.
    official = {"gpt-4-0613": 36.62, "gpt-3.5-turbo-0125": 23.57}
    for score in score_judgments(rows, answers):
        assert score.details["style_controlled_official"] == pytest.approx(official[score.model], abs=0.15)
        # Both are shorter than gpt-4-0314, and length helps: at equal length they would win more.
        assert score.details["style_controlled"] > score.score + 2
        assert score.details["style_coefficients"]["length"] == pytest.approx(0.333, abs=0.01)
