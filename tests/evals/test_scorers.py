"""Scorers tell what each response is worth by itself, and what could not be told is no low score."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from evals.asking import Keep, Question, Reply, forget
from evals.chat_models.remembering import remembered
from evals.errors import UserError
from evals.judges.reference import ReferenceJudge
from evals.judges.reward_model import RewardModel, RewardModelJudge
from evals.judging import Match
from evals.prompts import EvaluationPrompt, Message
from evals.scorers.direct import LengthScorer, ReferenceScorer, VerifierScorer
from evals.scorers.rating import RatingScorer, rating_of
from evals.scorers.reward_model import RewardModelScorer
from evals.scoring import ScoredItem
from tests.evals.test_reward_model import make_reward_model

PROMPT = EvaluationPrompt("p", (Message("user", "say fox"),), reference="a quick fox", answer="fox")
ITEMS = [ScoredItem(PROMPT, text) for text in ("fox", "dog", "a quick fox jumps")]


class Replies:
    """A chat model that gives these replies in order, and keeps what it was asked."""

    name = identity = "replies"
    repeats_itself = True

    def __init__(self, *texts: str) -> None:
        self.texts = list(texts)
        self.asked: list[Question] = []

    def ask(self, questions: Sequence[Question], keep: Keep = forget) -> list[Reply]:
        self.asked += questions
        replies = [Reply(self.texts.pop(0)) for _ in questions]
        for number, reply in enumerate(replies):
            keep(number, reply)
        return replies


@pytest.mark.parametrize(
    ("text", "rating"),
    [
        *(
            ("7", 7.0),
            ("10", 10.0),
            (" 8.5\n", 8.5),
            ("Rating: 7", 7.0),
            ("**Rating:** 7/10", 7.0),
            ("[[3]]", 3.0),
            ("Score: 9 out of 10.", 9.0),
        ),
        ("My rating is 6.", 6.0),
        *((text, None) for text in ("", "0", "11", "-7x", "7 or 8", "there are 2 faults, so 6", "good", "1/2", "70")),
    ],
)
def test_a_rating_is_read_only_from_a_reply_that_is_nothing_else(text: str, rating: float | None) -> None:
    assert rating_of(Reply(text)) == rating


def test_a_reply_that_failed_is_no_rating() -> None:
    assert rating_of(Reply("7", failure="too long")) is None


def test_a_model_rates_each_response_once_and_what_it_said_is_remembered(tmp_path: Path) -> None:
    model = Replies("9", "cannot say", "4")
    assert RatingScorer(remembered(model, tmp_path)).score([*ITEMS, ITEMS[0]]) == [9.0, None, 4.0, 9.0]
    assert RatingScorer(remembered(model, tmp_path)).score(ITEMS) == [9.0, None, 4.0]
    assert len(model.asked) == len(ITEMS)
    asked = model.asked[1].messages[0].content
    assert "say fox" in asked and "[The start of the response]\ndog\n[The end" in asked


def test_right_is_one_and_wrong_is_zero_and_a_prompt_that_knows_neither_is_refused() -> None:
    assert VerifierScorer().score(ITEMS) == [1.0, 0.0, 0.0]
    with pytest.raises(UserError, match="neither `answer` nor `pattern`"):
        VerifierScorer().score([ScoredItem(EvaluationPrompt("q", PROMPT.messages), "fox")])


def test_closeness_orders_as_the_judge_of_references_does_and_is_one_for_the_reference_itself() -> None:
    scores = ReferenceScorer().score([*ITEMS, ScoredItem(PROMPT, "a quick fox")])
    assert scores[3] == pytest.approx(1.0)
    assert all(score is not None and 0 <= score <= 1 for score in scores)
    (verdict,) = ReferenceJudge().judge([Match(PROMPT, ITEMS[2].text, ITEMS[0].text)])
    assert verdict.candidate_score == 1.0 and scores[2] > scores[0]  # pyright: ignore[reportOperatorIssue]
    with pytest.raises(UserError, match="no `reference`"):
        ReferenceScorer().score([ScoredItem(EvaluationPrompt("q", PROMPT.messages), "fox")])


def test_length_counts_characters_and_brevity_turns_the_order_round() -> None:
    assert LengthScorer().score(ITEMS) == [3.0, 3.0, 17.0]
    assert LengthScorer(prefers_longer=False).score(ITEMS) == [-3.0, -3.0, -17.0]


def test_a_reward_model_scores_what_it_judges_by_and_what_does_not_fit_has_no_score(model_a: Path, tmp_path: Path) -> None:
    model = RewardModel(str(make_reward_model(tmp_path / "reward", model_a)), max_length=60)
    scores = RewardModelScorer(model).score([*ITEMS, ScoredItem(PROMPT, "word " * 100)])
    assert scores[3] is None and scores[0] is not None and scores[1] is not None
    (verdict,) = RewardModelJudge(model).judge([Match(PROMPT, ITEMS[0].text, ITEMS[1].text)])
    assert verdict.reason == f"reward {scores[0]:.3f} against {scores[1]:.3f}"


ARMO = """
from dataclasses import dataclass
import torch
from transformers import LlamaForSequenceClassification
from transformers.utils import ModelOutput

@dataclass
class Scores(ModelOutput):
    score: torch.Tensor = None
    logits: torch.Tensor = None

class Armo(LlamaForSequenceClassification):
    def forward(self, *arguments, **options):
        logits = super().forward(*arguments, **options).logits
        return Scores(score=logits.max(-1).values, logits=logits)
"""


def test_of_several_outputs_the_settings_say_which_is_the_reward(model_a: Path, tmp_path: Path) -> None:
    several = str(make_reward_model(tmp_path / "several", model_a, labels=3))

    def scores(output: int | str | tuple[float, ...]) -> list[float]:
        return [float(reply.text) for reply in RewardModel(several, output=output).ask([response(item) for item in ITEMS])]

    def response(item: ScoredItem) -> Question:
        return Question("p", (*item.prompt.messages, Message("assistant", item.text)))

    columns = [scores(number) for number in range(3)]
    assert len({tuple(column) for column in columns}) == 3
    rows = list(zip(*columns, strict=True))
    assert scores("mean") == pytest.approx([sum(row) / 3 for row in rows])
    assert scores((0.5, -1.0, 0.0)) == pytest.approx([0.5 * row[0] - row[1] for row in rows])
    assert RewardModel(several, output=1).identity != RewardModel(several, output=2).identity
    for wrong in (3, (1.0, 2.0)):
        with pytest.raises(UserError, match="names none of 3 outputs"):
            scores(wrong)


def test_a_models_own_code_runs_only_when_it_is_trusted_and_its_own_score_is_the_reward(model_a: Path, tmp_path: Path) -> None:
    import json

    directory = make_reward_model(tmp_path / "armo", model_a, labels=3)
    config = json.loads((directory / "config.json").read_text())
    config["auto_map"] = {"AutoModelForSequenceClassification": "modeling_armo.Armo"}
    (directory / "config.json").write_text(json.dumps(config))
    (directory / "modeling_armo.py").write_text(ARMO)
    plain, trusted = RewardModel(str(directory)), RewardModel(str(directory), trust_remote_code=True)
    with pytest.raises(UserError, match="3 outputs"):
        RewardModelScorer(plain).score(ITEMS)
    columns = [RewardModelScorer(RewardModel(str(directory), output=number)).score(ITEMS) for number in range(3)]
    assert RewardModelScorer(trusted).score(ITEMS) == pytest.approx([max(row) for row in zip(*columns, strict=True)])  # pyright: ignore[reportArgumentType]
    assert trusted.identity != plain.identity
    before = trusted.name
    (directory / "modeling_armo.py").write_text(ARMO.replace("max", "min"))
    assert RewardModel(str(directory), trust_remote_code=True).name != before
