"""A reward model trained on the cluster's workers."""

import json
from pathlib import Path
from typing import Any

from evals.whole_files import save_json
from orchestrator.cluster.placement import check_gpus
from orchestrator.cluster.runs.claims import check_claim, inputs_told
from orchestrator.cluster.runs.directories import at_work
from orchestrator.cluster.runs.watching import watched
from orchestrator.cluster.session import ray_session
from orchestrator.cluster.workers.training_workers import Gang, engine_for, last_model, train_run, trained_model, warm_up
from orchestrator.report.narration import Narrator
from orchestrator.run_files import RunFiles
from orchestrator.settings.reward import RewardSettings
from orchestrator.worlds import in_world


def train_reward(settings: RewardSettings, directory: Path) -> Path:
    """Train with Ray Train; returns the Hugging Face directory of the last checkpoint. Called again, it resumes, and keeps what is there.

    Raises UserError for a directory that holds a reward model of other settings.
    """
    directory = directory.expanduser().resolve()
    with at_work(directory) as story, ray_session(settings.cluster, directory):
        from orchestrator.training.records import read_records, told
        from orchestrator.training.reward_run import CARD

        check_gpus(settings.cluster, story.say, answers=False)
        story.say_path("training a reward model; everything goes to", directory)
        settings, run = _prepared(settings, directory, story)
        is_judged = (directory / CARD).is_file() or not run.validation
        if not (last_model(run).is_dir() and is_judged):
            (directory / CARD).unlink(missing_ok=True)
            with watched(run, directory):
                train_run(Gang("reward", "", str(directory), settings.cluster), _work, {"settings": settings, "directory": str(directory)})
        model = trained_model(run, directory)
        story.say(told(read_records(run.directory)[-1], run.steps))
        _tell_card(directory / CARD, story)
        story.say_path(f"trained {run.steps} steps; the reward model, for transformers and `reward_model` judges:", model)
        return model


def _prepared(settings: RewardSettings, directory: Path, story: Narrator) -> tuple[RewardSettings, Any]:
    """Make the world, where one is named, and load what the workers will, so that bad input is refused here and not by them."""
    from orchestrator.training.reward_run import reward_run

    settings, file = in_world(settings, story.say), RunFiles(directory).settings
    run, data = reward_run(settings, directory)
    told = inputs_told(settings, run.every_pair)
    if any(run.directory.glob("step-*")):
        check_claim(file, settings.json_ready(), told, "a reward model", directory)
    save_json(file, {**settings.json_ready(), "inputs": told})
    story.data_read(data.kinds, data.unused, directory)
    steps = run.steps
    story.say(f"{len(run.pairs)} pairs to train on in {steps} steps, {len(run.validation)} held out, {data.identical} left out as equal")
    return settings, run


def _tell_card(file: Path, story: Narrator) -> None:
    if not file.is_file():
        story.say("no pairs were held out, so that nothing is known of how well it orders others: see data.validation_pairs")
        return
    from orchestrator.training.reward_card import RewardCard

    story.say(RewardCard.from_dict(json.loads(file.read_text(encoding="utf-8"))).told())


def _work(config: dict[str, Any]) -> None:
    """What every worker does."""
    from orchestrator.training.reward_run import CARD, reward_run, train_reward_model

    directory = Path(config["directory"])
    warm_up(config["directory"], "reward")
    run, data = reward_run(config["settings"], directory)
    engine = engine_for(run)
    train_reward_model(run, data, engine, directory / CARD)
    engine.close()
