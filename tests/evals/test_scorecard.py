"""Scorecards: unknown is not zero, and a number comes with its doubt."""

import json
import pickle
import subprocess
import sys

import pytest

from evals.errors import UnreadableVerdictsError
from evals.generation import Decoding, Response
from evals.judging import Verdict
from evals.scorecard import Measurement, Scorecard, score

HOW = Measurement("verifier", Decoding(), "0" * 64, 1.5, max_unreadable=0.25)


def card(scores: list[float | None]) -> Scorecard:
    verdicts = [Verdict(str(number), value) for number, value in enumerate(scores)]
    return score(verdicts, [Response(str(number), "four", 1) for number in range(len(scores))], HOW)


def test_an_unreadable_verdict_is_counted_and_is_no_loss() -> None:
    result = card([1.0, 1.0, 0.5, None])
    assert result.win_rate == pytest.approx(100 * 2.5 / 3)
    assert (result.judged, result.unreadable) == (3, 1)


def test_the_win_rate_lies_inside_its_interval() -> None:
    result = card([1.0, 0.0, 0.5, 1.0])
    assert 0 <= result.low < result.win_rate < result.high <= 100


@pytest.mark.parametrize("scores", [[None], [None, None], [1.0, None], []])
def test_too_few_readable_verdicts_are_no_score(scores: list[float | None]) -> None:
    with pytest.raises(UnreadableVerdictsError, match="could not be read") as refused:
        card(scores)
    assert (refused.value.code, refused.value.asked) == ("DAA-0402", len(scores))


def test_the_length_is_in_characters() -> None:
    assert card([1.0, 0.0]).mean_length == 4


def test_answers_that_were_cut_off_are_a_share_and_unknown_in_a_scorecard_without_it() -> None:
    cut = [Response("a", "whole", 1), Response("b", "cu", 1, finished=False)]
    result = score([Verdict("a", 1.0), Verdict("b", 0.0)], cut, HOW)
    assert (result.unfinished, card([1.0, 0.0]).unfinished) == (0.5, 0.0)
    row = result.as_dict()
    del row["unfinished"]
    assert Scorecard.from_dict(row).unfinished is None


def test_a_scorecard_survives_json() -> None:
    result = card([1.0, 0.0, 0.5])
    assert Scorecard.from_dict(json.loads(json.dumps(result.as_dict()))) == result


def test_an_error_survives_the_way_between_processes() -> None:
    error = pickle.loads(pickle.dumps(UnreadableVerdictsError("what", "where", "cure", asked=3, cost=0.5)))
    assert (error.what, error.where, error.cure, error.asked, error.cost) == ("what", "where", "cure", 3, 0.5)


def test_scorecards_and_judges_load_no_heavy_library() -> None:
    judges = (
        "evals.chat_models.openai_model, evals.chat_models.vllm_model, evals.judges.pairwise, evals.judges.reference, evals.judges.verifier"
    )
    heavy = "{'ray', 'deepspeed', 'vllm', 'torch', 'transformers', 'openai', 'sacrebleu', 'orchestrator'}"
    probe = f"import sys, evals.scorecard, evals.vllm_engine, {judges}; print(*{heavy} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True).stdout.strip() == ""
