"""The commands of rounds: `daa rounds` and `daa generate`. Heavy imports wait until the work starts."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.commands.places import Directory, fresh_directory

if TYPE_CHECKING:
    from orchestrator.settings.generating import GeneratingSettings

OfGeneration = Annotated[
    Path | None, typer.Option("--settings", help=r"A TOML file, of which \[rounds.generation], \[cluster], \[evaluation] and cache count.")
]


def rounds(
    settings_file: Annotated[Path, typer.Argument(help=r"A TOML settings file with \[rounds]; jobs/examples has some.")],
    method: Annotated[str | None, typer.Argument(help="A method's name; default: the file's `method`.")] = None,
    hyperparameters: Annotated[list[str] | None, typer.Argument(help="name=value, the method's own or training settings.")] = None,
    directory: Directory = None,
) -> None:
    """Train in rounds on what the model itself writes: generate, score, pair, select, train, evaluate; and again.

    Given again with the same --dir, it goes on after anything that ended it.

    Example: daa rounds jobs/examples/iterative_dpo.toml --dir runs/rounds
    """
    from orchestrator.settings_file import check_files, check_prompts, load_settings

    settings = load_settings(settings_file)
    check_files(settings)
    check_prompts(settings)
    from orchestrator.cluster.runs.rounds import play_rounds
    from orchestrator.cluster.runs.single_runs import chosen_trial

    trial = chosen_trial(settings, [method, *(hyperparameters or [])] if method else [])
    play_rounds(settings, trial, directory or fresh_directory(settings.name))


def generate(  # noqa: PLR0913 (the options of the command)
    model: Annotated[str, typer.Argument(help="A Hugging Face directory, a LoRA adapter or a hub identifier.")],
    prompts: Annotated[Path, typer.Option(help="JSON Lines with `prompt` or `messages`: evaluation prompts, or preference data.")],
    settings_file: OfGeneration = None,
    responses: Annotated[int | None, typer.Option(help="Answers to each prompt. Default: 5.")] = None,
    temperature: Annotated[float | None, typer.Option(help="Default: 0.8.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Default: 0.95.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="The longest answer, in tokens. Default: 2048.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Another one gives other answers. Default: 0.")] = None,
    max_model_len: Annotated[int | None, typer.Option(min=1, help="Prompt and answer, in tokens. Default: the model's own.")] = None,
    engines: Annotated[int | None, typer.Option(min=1, help="vLLM engines that share the work. Default: 1.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many prompts.")] = None,
    directory: Directory = None,
) -> None:
    """Have a model answer prompts several times each: different answers only, prompts with one answer left out.

    Given again, only what is missing is generated.

    Example: daa generate runs/a/model --prompts prompts.jsonl --responses 8 --dir runs/answers
    """
    from evals.prompts import load_prompts
    from orchestrator.settings import GenerationSettings
    from orchestrator.settings_file import validated

    given = generating_settings(settings_file)
    asked = {"responses": responses, "temperature": temperature, "top_p": top_p, "max_tokens": max_tokens, "seed": seed}
    said: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    generation = validated(GenerationSettings, given.rounds.generation.model_dump() | said, "the command line")
    answering = given.evaluation.model_copy(update={"max_model_len": max_model_len or given.evaluation.max_model_len})
    from orchestrator.cluster.runs import generation_runs

    found = load_prompts(prompts).prompts[:limit]
    wanted = given.cluster.model_copy(update={"engines": engines or given.cluster.engines})
    generation_runs.generate(model, found, generation, (wanted, answering), (directory or fresh_directory("answers"), given.cache))


def generating_settings(file: Path | None) -> "GeneratingSettings":
    """What counts for answers of a file that may be of a whole run; by default as it is without a file.

    Raises SettingsError for what counts and is wrong, and for a key that no run has.
    """
    from orchestrator.settings.generating import GeneratingSettings
    from orchestrator.settings_file import read_what_counts, validated

    values, text = read_what_counts(GeneratingSettings, file) if file is not None else ({}, "")
    if isinstance(values.get("rounds"), dict):
        values["rounds"] = {key: value for key, value in values["rounds"].items() if key == "generation"}
    return validated(GeneratingSettings, values, str(file or "the command line"), text)
