"""What `daa train` trains: the command line first, then the file."""

import pytest

from orchestrator.cluster.runs.single_runs import chosen_trial
from orchestrator.errors import SettingsError
from orchestrator.settings import Settings


def settings(**changes: object) -> Settings:
    """Settings that name files nobody opens."""
    needed = {"model": {"base": "m"}, "data": {"train": "d"}, "evaluation": {"prompts": "p"}, "judge": {"kind": "verifier"}}
    return Settings.model_validate(needed | changes)


def test_a_method_and_its_hyperparameters_are_taken_from_the_command_line() -> None:
    trial = chosen_trial(settings(), ["simpo", "beta=2.5", "learning_rate=1e-6"])
    assert (trial.method, trial.hyperparameters, trial.training) == ("simpo", {"beta": 2.5}, {"learning_rate": 1e-6})


def test_without_a_method_on_the_command_line_the_file_says_it_and_words_change_it() -> None:
    file = settings(method="simpo", hyperparameters={"beta": 2.5, "loss_type": "hinge"})
    assert chosen_trial(file, []).hyperparameters == {"beta": 2.5, "loss_type": "hinge"}
    assert chosen_trial(file, ["beta=3.0"]).hyperparameters == {"beta": 3.0, "loss_type": "hinge"}


def test_another_method_than_the_files_starts_from_its_own_defaults() -> None:
    file = settings(method="simpo", hyperparameters={"beta": 2.5})
    assert chosen_trial(file, ["dpo"]).hyperparameters == {}


def test_a_combination_is_a_method() -> None:
    trial = chosen_trial(settings(), ["dpo+sft", "sft_weight=0.005", "dpo_beta=0.2"])
    assert trial.objective().hyperparameters()["sft_weight"] == 0.005
    assert trial.id.startswith("001-dpo+sft-")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([], "no method is named"),
        (["beta=2"], "no method is named"),
        (["simppo"], "did you mean 'simpo'"),
        (["simpo", "betta=2"], "did you mean 'beta'"),
        (["simpo", "beta=-2"], "above 0"),
        (["simpo", "beta"], "write name=value"),
        (["simpo", f"beta={'1' * 400}"], "larger than what is computed with"),
        (["simpo", f"beta={'1' * 5000}"], "above 0"),
        (["simpo", "sequence_parallel=2"], "1 workers cannot share sequences by 2"),
    ],
)
def test_what_cannot_be_trained_is_refused_with_the_cure(words: list[str], text: str) -> None:
    with pytest.raises(SettingsError) as refused:
        chosen_trial(settings(), words)
    assert text in str(refused.value)


@pytest.mark.parametrize("word", ["learning_rate=-1", "learning_rate=true", "batch_size=0", f"batch_size={'1' * 400}", "precision=fp64"])
def test_a_training_setting_that_cannot_be_is_refused_by_its_word(word: str) -> None:
    with pytest.raises(SettingsError) as refused:
        chosen_trial(settings(), ["simpo", "beta=2.5", word])
    assert (refused.value.code, refused.value.where) == ("DAA-0103", f"the command line, {word}")
    assert f"{word.partition('=')[0]}: " in refused.value.what
