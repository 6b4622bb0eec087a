"""What a reward model is trained on, how, and what it comes to."""

from dataclasses import replace
from pathlib import Path

from evals.whole_files import save_json
from orchestrator.errors import DataFormatError
from orchestrator.objectives.bradley_terry import BradleyTerry
from orchestrator.policy.loading import load_tokenizer
from orchestrator.preferences.conversations import RewardData, tokenize_conversations
from orchestrator.run_files import RunFiles
from orchestrator.settings.reward import RewardSettings
from orchestrator.training.engine import Engine
from orchestrator.training.inputs import read_sources
from orchestrator.training.loop import train
from orchestrator.training.references import references_of
from orchestrator.training.reward_card import RewardCard, reward_card
from orchestrator.training.run import TrainingRun
from orchestrator.training.validation import held_out_outcome

CARD = "reward.json"


def reward_run(settings: RewardSettings, directory: Path) -> tuple[TrainingRun, RewardData]:
    """The run as the training loop wants it, below `directory`, and its data. The model and the data are given.

    Raises DataFormatError for a pair without rewards where a margin is asked for, and what loading raises.
    """
    assert settings.model.base is not None
    tokenizer, data = load_tokenizer(settings.model.base), settings.data
    read, held_out = read_sources(data), (data.validation_pairs, settings.held_out_share)
    pairs = tokenize_conversations(tokenizer, read.pairs, data.context, *held_out, leave_out=data.bad_rows != "refuse")
    objective = BradleyTerry(settings.margin, settings.centring)
    every_text = (*pairs.train.texts, *pairs.validation.texts)
    bare = next((pair for pair in every_text if pair.chosen_reward is None or pair.rejected_reward is None), None)
    if objective.needs.reward and bare is not None:
        cure = "add `chosen_reward` and `rejected_reward` to every row, or leave `margin` out"
        raise DataFormatError("a margin needs rewards, and a pair has none", bare.origin, cure)
    run = TrainingRun(
        objective=objective,
        settings=settings.training,
        pairs=pairs.train.pairs,
        model=settings.model.base,
        tokenizer=tokenizer,
        directory=RunFiles(directory).checkpoints,
        reference_cache=str(settings.cache.expanduser() / "reference"),
        validation=pairs.validation.pairs,
    )
    return run, replace(pairs, kinds=read.kinds, unused=(*read.bad, *read.set_aside, *pairs.unused))


def train_reward_model(run: TrainingRun, data: RewardData, engine: Engine, file: Path) -> RewardCard | None:
    """Train to the last step, resuming; then rank 0 writes the card of the held-out pairs to `file`. None where none are held out."""
    train(run, engine, lambda checkpoint: True)
    outcome = held_out_outcome(run, engine, references_of(run, engine), run.objective.initial_state())
    if outcome is None:
        return None
    card = reward_card(data, outcome.chosen_reward.tolist(), outcome.rejected_reward.tolist())
    if engine.rank == 0:
        save_json(file, card.as_dict())
    return card
