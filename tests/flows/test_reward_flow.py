"""A reward model from a settings file, on a real Ray with a DeepSpeed worker."""

import json
from pathlib import Path

import pytest

from evals.judges.reward_model import RewardModel, response_question
from evals.prompts import EvaluationPrompt
from tests.cluster.small_search import RunningCommand
from tests.training.test_reward_model import reward_pairs, write_pairs

pytestmark = [pytest.mark.cluster, pytest.mark.long, pytest.mark.timeout(600)]
SETTINGS = """
cache = "{root}/cache"
[model]
base = "{model}"
[data]
train = "{train}"
context = 64
[training]
learning_rate = 1e-2
batch_size = 16
micro_batch_tokens = 200
steps = 30
checkpoints = 2
precision = "fp32"
[cluster]
workers = 1
"""


def test_the_command_leaves_a_judge_and_says_how_good_it_is_and_given_again_says_the_same(tiny_model: Path, tmp_path: Path) -> None:
    pairs = reward_pairs(200)
    settings = tmp_path / "reward.toml"
    settings.write_text(SETTINGS.format(root=tmp_path, model=tiny_model, train=write_pairs(tmp_path / "train.jsonl", pairs)))
    directory = tmp_path / "run"
    output = RunningCommand("reward", str(settings), "--dir", str(directory), directory=tmp_path).wait(400)
    assert "of 10 held-out pairs of 10 prompts" in " ".join(output.split())
    assert "190 pairs to train on in 30 steps, 10 held out" in " ".join(output.split())
    assert list((directory / "tensorboard").glob("events*"))
    card = json.loads((directory / "reward.json").read_text())
    assert card["accuracy"]["mean"] >= 0.9
    judge = RewardModel(str(directory / "checkpoints" / "step-000030" / "model"))
    prompts = [EvaluationPrompt(str(number), pair.prompt) for number, pair in enumerate(pairs)]
    rewards = [
        [float(reply.text) for reply in judge.ask([response_question(prompt, text) for prompt, text in zip(prompts, texts, strict=True)])]
        for texts in ([pair.chosen for pair in pairs], [pair.rejected for pair in pairs])
    ]
    assert sum(chosen > rejected for chosen, rejected in zip(*rewards, strict=True)) > 0.9 * len(pairs)

    again = RunningCommand("reward", str(settings), "--dir", str(directory), directory=tmp_path).wait(400)
    told, told_again = (each.splitlines()[-1].split(maxsplit=1) for each in (output, again))
    assert told[1] == told_again[1] and told[0] > told_again[0], "nothing is trained again"
    assert json.loads((directory / "reward.json").read_text()) == card
    settings.write_text(settings.read_text().replace("learning_rate = 1e-2", "learning_rate = 1e-3"))
    refused = RunningCommand("reward", str(settings), "--dir", str(directory), directory=tmp_path)
    assert "training.learning_rate was 0.01, and is 0.001" in " ".join(refused.wait(400, code=2).split())
    assert json.loads((directory / "reward.json").read_text()) == card
