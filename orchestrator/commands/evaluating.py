"""`daa eval`: models on public benchmarks, or on a search's own prompts."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.commands.places import Directory, fresh_directory

if TYPE_CHECKING:
    from orchestrator.settings import JudgeSettings, Settings

Models = Annotated[
    list[str],
    typer.Argument(help="Hugging Face directories, LoRA adapters, files of outputs, http://host:port/v1#model; or `fetch`, for the data."),
]
OfModels = Annotated[
    Path | None,
    typer.Option("--settings", help="A TOML file: of a benchmark run, or of a search, whose judge and cache count for benchmarks."),
]


def evaluate(  # noqa: PLR0913 (the options of the command)
    models: Models,
    benchmark: Annotated[
        list[str] | None, typer.Option(help="alpaca_eval2, arena_hard_v0.1, arena_hard_v2.0 or mt_bench; repeatable.")
    ] = None,
    judge: Annotated[
        str | None, typer.Option(help="vllm:DIR, openai:MODEL, http://host:port/v1#model, reward_model:DIR or replay:FILE.")
    ] = None,
    settings_file: OfModels = None,
    capability: Annotated[
        list[str] | None, typer.Option(help="A task of lm-evaluation-harness that shows what a model knows, such as gsm8k; repeatable.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Only so many prompts of each benchmark or task, always the same ones.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="The longest answer, in tokens.")] = None,
    max_model_len: Annotated[int | None, typer.Option(help="Prompt and answer, in tokens. Default: the model's own.")] = None,
    temperature: Annotated[float | None, typer.Option(help="Default: 0. MT-Bench's categories have their own.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Default: 1.")] = None,
    directory: Directory = None,
) -> None:
    """Score models on AlpacaEval 2, Arena-Hard and MT-Bench, or on a search's own prompts; writes official files and scorecards.

    Examples: daa eval fetch --dir eval-data
              daa eval runs/demo/.../model --benchmark alpaca_eval2 --judge openai:gpt-4.1
              daa eval runs/demo/.../model --settings jobs/examples/demo.toml
    """
    from orchestrator.commands.benchmarks import fetch_data, is_of_a_search, settings_of_search

    if models == ["fetch"]:
        fetch_data(directory, benchmark)
        return
    given = {"benchmarks": benchmark, "judge": judge, "capability": capability, "limit": limit, "max_tokens": max_tokens}
    given |= {"max_model_len": max_model_len, "temperature": temperature, "top_p": top_p}
    if settings_file is not None and not benchmark and not capability and is_of_a_search(settings_file):
        _evaluate_on_own_prompts(settings_of_search(settings_file, given), models, directory)
        return
    _evaluate_on_benchmarks(settings_file, given, models, directory)


def _evaluate_on_own_prompts(settings: "Settings", models: list[str], directory: Path | None) -> None:
    from orchestrator.cluster.runs.candidates import names_of
    from orchestrator.cluster.runs.single_runs import evaluate_one

    _tell_keys(settings.judge, ())
    names = names_of(models)
    for model in models:
        own = directory if len(models) == 1 or directory is None else directory / names[model]
        evaluate_one(settings, model, own or fresh_directory(f"{settings.name}-eval"))


def _evaluate_on_benchmarks(settings_file: Path | None, given: dict[str, Any], models: list[str], directory: Path | None) -> None:
    from orchestrator.commands.benchmarks import benchmark_settings, shown

    settings = benchmark_settings(settings_file, given)
    from orchestrator.cluster.runs.benchmark_runs import evaluate_models
    from orchestrator.cluster.runs.scorecards import comparisons
    from orchestrator.report.terminal import show

    _tell_keys(settings.judge, models)
    evaluations = evaluate_models(settings, models, directory or fresh_directory("eval"))
    for table in shown(evaluations, comparisons(evaluations)):
        show(table)


def _tell_keys(judge: "JudgeSettings | None", models: Sequence[str]) -> None:
    """Say which key goes to the judge's server, and which to those of models."""
    from orchestrator.cluster.runs.candidates import CANDIDATES_KEY, is_served, served_model
    from orchestrator.commands.orders import tell_keys

    urls = [served_model(model).url for model in models if is_served(model)] if os.environ.get(CANDIDATES_KEY) else []
    served = [{"kind": "openai", "base_url": url, "api_key_env": CANDIDATES_KEY} for url in dict.fromkeys(urls)]
    tell_keys({"judge": judge.model_dump() if judge is not None else None, "model servers": served})
