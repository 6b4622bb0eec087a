"""`daa train` and `daa reward`."""

from typing import Annotated

import typer

from orchestrator.commands.places import Directory, SettingsFile, fresh_directory


def train(
    settings_file: SettingsFile,
    method: Annotated[
        str | None, typer.Argument(help="A method's name, as `daa methods` lists them; default: the file's `method`.")
    ] = None,
    hyperparameters: Annotated[list[str] | None, typer.Argument(help="name=value, the method's own or training settings.")] = None,
    directory: Directory = None,
) -> None:
    """Train one method with one setting on the cluster's workers.

    Example: daa train jobs/examples/demo.toml simpo beta=2.5 learning_rate=5e-4
    """
    from orchestrator.settings_file import load_settings

    settings = load_settings(settings_file)
    from orchestrator.cluster.runs.single_runs import chosen_trial, train_one

    trial = chosen_trial(settings, [method, *(hyperparameters or [])] if method else [])
    train_one(settings, trial, directory or fresh_directory(f"{settings.name}-{trial.id}"))


def reward(settings_file: SettingsFile, directory: Directory = None) -> None:
    """Train a reward model on preference pairs, and tell how often it prefers the chosen response of held-out ones.

    Example: daa reward jobs/examples/reward.toml --dir runs/reward
    """
    from orchestrator.settings_file import load_reward_settings

    settings = load_reward_settings(settings_file)
    from orchestrator.cluster.runs.reward_runs import train_reward

    train_reward(settings, directory or fresh_directory(settings.name))
