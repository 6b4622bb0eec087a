"""A real sequence classifier, made on the spot, as the judge."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evals.chat_models.remembering import remembered
from evals.errors import ModelError
from evals.judges.reward_model import RewardModel, RewardModelJudge
from evals.judging import Match
from evals.prompts import EvaluationPrompt, Message
from orchestrator.cluster.judges import reward_model
from orchestrator.settings import RewardModelSettings

MATCHES = [Match(EvaluationPrompt(str(n), (Message("user", f"question {n}"),)), "one " * (n + 1), "two " * 3) for n in range(5)]


def make_reward_model(directory: Path, chat_model: Path, labels: int = 1) -> Path:
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(chat_model)
    config = AutoConfig.from_pretrained(chat_model, num_labels=labels)
    torch.manual_seed(0)
    AutoModelForSequenceClassification.from_config(config).float().save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


def reward(directory: Path, match: Match, text: str) -> float:
    """One response at a time, without padding."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(directory)
    model = AutoModelForSequenceClassification.from_pretrained(directory).eval()
    model.config.pad_token_id = tokenizer.pad_token_id
    turns = [message.as_dict() for message in match.prompt.messages] + [{"role": "assistant", "content": text}]
    ids = tokenizer.apply_chat_template(turns, return_dict=False)
    with torch.no_grad():
        return float(model(torch.tensor([ids])).logits[0, 0])


def test_the_score_is_the_sigmoid_of_the_rewards_difference_whatever_the_batch(model_a: Path, tmp_path: Path) -> None:
    directory = make_reward_model(tmp_path / "reward", model_a)
    for verdict, match in zip(RewardModelJudge(RewardModel(str(directory), batch_size=3)).judge(MATCHES), MATCHES, strict=True):
        ours, theirs = (reward(directory, match, text) for text in (match.candidate, match.baseline))
        assert verdict.candidate_score == pytest.approx(1 / (1 + math.exp(theirs - ours)), abs=1e-4)


def test_equal_texts_tie_and_too_long_ones_are_unreadable(model_a: Path, tmp_path: Path) -> None:
    directory = make_reward_model(tmp_path / "reward", model_a)
    same = Match(MATCHES[0].prompt, "same", "same")
    long = Match(MATCHES[1].prompt, "word " * 400, "same")
    tie, unread = RewardModelJudge(RewardModel(str(directory), max_length=100)).judge([same, long])
    assert tie.candidate_score == 0.5
    assert unread.candidate_score is None


def test_a_classifier_of_several_classes_and_a_changed_model_are_told_apart(model_a: Path, tmp_path: Path) -> None:
    directory = make_reward_model(tmp_path / "reward", model_a)
    copy = Path(shutil.copytree(directory, tmp_path / "reward-copy"))
    version = RewardModel(str(directory)).name.split("(")[1]
    assert RewardModel(str(copy)).name.split("(")[1] == version
    two = make_reward_model(tmp_path / "two", model_a, labels=2)
    assert RewardModel(str(two)).name.split("(")[1] != version
    with pytest.raises(ModelError, match="2 outputs"):
        RewardModelJudge(RewardModel(str(two))).judge(MATCHES)


def test_rewards_are_remembered_and_equal_texts_scored_once(model_a: Path, tmp_path: Path) -> None:
    model = RewardModel(str(make_reward_model(tmp_path / "reward", model_a)))
    first = remembered(model, tmp_path / "replies")
    verdicts = RewardModelJudge(first).judge(MATCHES)
    again = remembered(model, tmp_path / "replies")
    assert RewardModelJudge(again).judge(MATCHES) == verdicts
    assert (first.asked, again.asked, again.remembered) == (2 * len(MATCHES), 0, 2 * len(MATCHES))


def test_a_response_that_does_not_fit_is_a_failure_of_its_match_alone_and_is_not_remembered(model_a: Path, tmp_path: Path) -> None:
    directory = make_reward_model(tmp_path / "reward", model_a)
    long = Match(MATCHES[1].prompt, "word " * 400, "same")
    matches = [MATCHES[0], long, replace(long, baseline="other"), MATCHES[2]]
    for asked in (7, 1):
        model = remembered(RewardModel(str(directory), max_length=100), tmp_path / "replies")
        verdicts = RewardModelJudge(model).judge(matches)
        assert [verdict.candidate_score is None for verdict in verdicts] == [False, True, True, False]
        assert (verdicts[1].reason, model.asked) == ("longer than 100 tokens", asked)


def test_a_reward_beyond_half_precision_is_a_failure_of_its_match_alone(model_a: Path, tmp_path: Path) -> None:
    directory = make_reward_model(tmp_path / "reward", model_a)
    model = RewardModel(str(directory), batch_size=1)
    good = RewardModelJudge(model).judge(MATCHES)
    _, loaded = model._loaded
    forward, reached = loaded.forward, []

    def overflowing(**batch: Any) -> Any:
        told = forward(**batch)
        reached.append(len(reached))
        told.logits *= math.inf if len(reached) == 1 else 1
        return told

    loaded.forward = overflowing
    failed, *others = RewardModelJudge(model).judge(MATCHES)
    assert (failed.candidate_score, others) == (None, good[1:])
    assert failed.reason in ("the reward is inf", "the reward is -inf")


@pytest.mark.parametrize("told", ["nan", "inf", "-inf"])
def test_what_is_no_number_and_was_remembered_as_a_reward_is_asked_again(told: str, model_a: Path, tmp_path: Path) -> None:
    settings = RewardModelSettings(kind="reward_model", model=str(make_reward_model(tmp_path / "reward", model_a)), batch_size=1)
    model = reward_model(settings, tmp_path / "replies")
    good = RewardModelJudge(model).judge(MATCHES)
    (file,) = (tmp_path / "replies").glob("*.jsonl")
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    spoilt = json.dumps(rows[0] | {"reply": rows[0]["reply"] | {"text": told}})
    file.write_text("\n".join([spoilt, *map(json.dumps, rows[1:])]) + "\n")
    for asked in (1, 0):
        again = reward_model(settings, tmp_path / "replies")
        assert (RewardModelJudge(again).judge(MATCHES), again.asked) == (good, asked)
