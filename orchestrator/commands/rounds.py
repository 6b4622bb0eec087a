"""The commands of rounds: `daa rounds` and `daa generate`. Heavy imports wait until the work starts."""

from pathlib import Path
from typing import Annotated, Any

import typer

from orchestrator.commands.places import Directory, fresh_directory

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
    from orchestrator.settings import AnsweringSettings, ClusterSettings, EvaluationSettings, GenerationSettings, Settings
    from orchestrator.settings_file import load_settings, validated

    given: Settings | None = load_settings(settings_file) if settings_file is not None else None
    asked = {"responses": responses, "temperature": temperature, "top_p": top_p, "max_tokens": max_tokens}
    said: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    base = given.rounds.generation if given is not None and given.rounds is not None else GenerationSettings()
    generation = validated(GenerationSettings, base.model_dump() | said, "the command line")
    cluster = given.cluster if given is not None else ClusterSettings()
    answering: EvaluationSettings | AnsweringSettings = given.evaluation if given is not None else AnsweringSettings()
    if max_model_len is not None:
        answering = answering.model_copy(update={"max_model_len": max_model_len})
    from orchestrator.cluster.runs import generation_runs

    found = load_prompts(prompts).prompts[:limit]
    places = (directory or fresh_directory("answers"), given.cache if given is not None else Path("~/.cache/daa-orchestrator"))
    wanted = cluster.model_copy(update={"engines": engines or cluster.engines})
    generation_runs.generate(model, found, generation, (wanted, answering), places)
