"""The `daa` command. Heavy imports wait until the work starts."""

import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from orchestrator import data_command

app = typer.Typer(
    name="daa",
    help="Which direct alignment method, with which hyperparameters, wins for your model and your data?",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.add_typer(data_command.app)
SettingsFile = Annotated[Path, typer.Argument(help="A TOML settings file; jobs/examples has some.")]
Directory = Annotated[Path | None, typer.Option("--dir", help="Where the run writes. Default: runs/NAME-TIME.")]
_DEMO = Path("jobs/examples/demo.toml")


@app.command()
def demo(directory: Directory = None) -> None:
    """Search over eight methods on a small model made on the spot: no network, no token, no GPU, a few minutes.

    Example: daa demo --dir runs/demo
    """
    from orchestrator.cluster.search import search
    from orchestrator.settings_file import load_settings

    settings = load_settings(_project_file(_DEMO))
    search(settings, directory or _fresh_directory(settings.name))


@app.command("search")
def search_command(
    settings_file: Annotated[Path | None, typer.Argument(help="A TOML settings file; jobs/examples has some.")] = None,
    directory: Directory = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with the search in this directory.")] = None,
) -> None:
    """Search methods and hyperparameters for the best judged win rate.

    Example: daa search jobs/examples/real_text.toml --dir runs/real-text
    """
    from orchestrator.errors import UserError

    if (settings_file is None) == (resume is None):
        raise UserError(
            "give either a settings file or --resume DIR", "daa search", "daa search FILE --dir DIR, or daa search --resume DIR"
        )
    if resume is not None:
        from orchestrator.cluster.search import resume as resume_search

        resume_search(resume)
        return
    assert settings_file is not None
    from orchestrator.settings_file import check_files, load_settings

    settings = load_settings(settings_file)
    check_files(settings)
    from orchestrator.cluster.search import search

    search(settings, directory or _fresh_directory(settings.name))


@app.command("replay")
def replay_command(directory: Annotated[Path, typer.Argument(help="The directory of a search.")]) -> None:
    """Compute every number of a search again from its answers and verdicts, offline, and compare to the last digit.

    Example: daa replay runs/demo
    """
    from orchestrator.report.replays import replay_and_tell

    sys.exit(0 if replay_and_tell(directory) else 1)


@app.command()
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
    from orchestrator.cluster.single_runs import chosen_trial, train_one

    trial = chosen_trial(settings, [method, *(hyperparameters or [])] if method else [])
    train_one(settings, trial, directory or _fresh_directory(f"{settings.name}-{trial.id}"))


@app.command("eval")
def evaluate(  # noqa: PLR0913 (the options of the command)
    models: Annotated[
        list[str],
        typer.Argument(
            help="Hugging Face directories, LoRA adapters, files of outputs, http://host:port/v1#model; or `fetch`, for the data."
        ),
    ],
    benchmark: Annotated[
        list[str] | None, typer.Option(help="alpaca_eval2, arena_hard_v0.1, arena_hard_v2.0 or mt_bench; repeatable.")
    ] = None,
    judge: Annotated[
        str | None, typer.Option(help="vllm:DIR, openai:MODEL, http://host:port/v1#model, reward_model:DIR or replay:FILE.")
    ] = None,
    settings_file: Annotated[Path | None, typer.Option("--settings", help="A TOML file: of a benchmark run, or of a search.")] = None,
    capability: Annotated[
        list[str] | None, typer.Option(help="A task of lm-evaluation-harness that shows what a model knows, such as gsm8k; repeatable.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Only so many prompts of each benchmark or task, always the same ones.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="The longest answer, in tokens.")] = None,
    directory: Directory = None,
) -> None:
    """Score models on AlpacaEval 2, Arena-Hard and MT-Bench, or on a search's own prompts; writes official files and scorecards.

    Examples: daa eval fetch --dir eval-data
              daa eval runs/demo/.../model --benchmark alpaca_eval2 --judge openai:gpt-4.1
              daa eval runs/demo/.../model --settings jobs/examples/demo.toml
    """
    from orchestrator.benchmark_command import fetch_data, is_of_a_search

    if models == ["fetch"]:
        fetch_data(directory, benchmark)
        return

    if settings_file is not None and not benchmark and not capability and is_of_a_search(settings_file):
        _evaluate_on_own_prompts(settings_file, models, directory)
        return
    given = {"benchmarks": benchmark, "judge": judge, "capability": capability, "limit": limit, "max_tokens": max_tokens}
    _evaluate_on_benchmarks(settings_file, given, models, directory)


def _evaluate_on_own_prompts(settings_file: Path, models: list[str], directory: Path | None) -> None:
    from orchestrator.settings_file import load_settings

    settings = load_settings(settings_file)
    from orchestrator.cluster.single_runs import evaluate_one

    for model in models:
        own = directory if len(models) == 1 or directory is None else directory / Path(model).name
        evaluate_one(settings, model, own or _fresh_directory(f"{settings.name}-eval"))


def _evaluate_on_benchmarks(settings_file: Path | None, given: dict[str, Any], models: list[str], directory: Path | None) -> None:
    from orchestrator.benchmark_command import benchmark_settings, shown

    settings = benchmark_settings(settings_file, given)
    from orchestrator.cluster.benchmark_runs import comparisons, evaluate_models
    from orchestrator.report.terminal import show

    evaluations = evaluate_models(settings, models, directory or _fresh_directory("eval"))
    for table in shown(evaluations, comparisons(evaluations)):
        show(table)


@app.command()
def score(
    files: Annotated[list[Path], typer.Argument(help="annotations.json of AlpacaEval 2, or judgment files of Arena-Hard or MT-Bench.")],
    benchmark: Annotated[str, typer.Option(help="alpaca_eval2, arena_hard or mt_bench.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print all figures as JSON.")] = False,
) -> None:
    """Recompute a benchmark's scores from official files, anybody's, each with its error and 95 % interval.

    Example: daa score --benchmark arena_hard model_judgment/gpt-4.1/my-model.jsonl
    """
    from evals.benchmarks import recompute

    rows = recompute.score_files(benchmark, files)
    if as_json:
        print(recompute.as_json(rows))
        return
    from orchestrator.report.scores import scores_table
    from orchestrator.report.terminal import show

    show(scores_table(rows))


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(help="Annotations or judgments of one model.")],
    second: Annotated[Path, typer.Argument(help="Those of the other, by the same judge.")],
    benchmark: Annotated[str, typer.Option(help="alpaca_eval2, arena_hard or mt_bench.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print all figures as JSON.")] = False,
) -> None:
    """Compare two models on the same prompts: the difference, its error, p, and the smallest difference so many prompts can show.

    Example: daa compare --benchmark alpaca_eval2 run/one/annotations.json run/two/annotations.json
    """
    from evals.benchmarks import recompute

    rows = recompute.compare_files(benchmark, first, second)
    if as_json:
        print(recompute.as_json(rows))
        return
    from orchestrator.report.scores import comparisons_table
    from orchestrator.report.terminal import show

    show(comparisons_table(rows))


@app.command()
def leaderboard(
    files: Annotated[list[Path], typer.Argument(help="annotations.json of AlpacaEval 2, or judgment files of Arena-Hard or MT-Bench.")],
    benchmark: Annotated[str, typer.Option(help="alpaca_eval2, arena_hard or mt_bench.")],
) -> None:
    """Place models among the published rows of a leaderboard.

    Example: daa leaderboard --benchmark alpaca_eval2 runs/eval/alpaca_eval2/my-model/annotations.json
    """
    from evals.benchmarks import recompute
    from evals.benchmarks.leaderboards import BOARDS, board_of, place, published
    from orchestrator.report.placement import placement_table
    from orchestrator.report.terminal import show

    scores = [found for file in files for found in recompute.scores_of(benchmark, file)]
    for board in dict.fromkeys(board_of(found) for found in scores):
        ours = [found for found in scores if board_of(found) == board]
        show(placement_table(BOARDS[board], place(ours, published(board, ours[0].judge))))


@app.command()
def methods(
    name: Annotated[
        str | None, typer.Argument(help='One method: its card. Also "dpo+sft", or "your_package.your_module:YourClass".')
    ] = None,
) -> None:
    """List the methods with needs, hyperparameters, ranges, papers and how far they were checked; or show one method's card.

    Example: daa methods simpo
    """
    from orchestrator.report.cards import method_card, methods_table
    from orchestrator.report.terminal import show

    show(methods_table() if name is None else method_card(name))


def main(arguments: list[str] | None = None) -> None:
    """Run the command line, or `arguments`: mistakes of the user end with code 2, failures of the machine with 1.

    Either is a few lines on the screen, and a traceback in the log that they name.
    """
    from orchestrator.errors import DaaError, MachineError
    from orchestrator.report.mistakes import explain

    try:
        app(arguments)
    except DaaError as error:
        explain(error, error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("\nstopped; what was measured is in the ledger, and `daa search --resume DIR` goes on", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        explain(
            MachineError(f"unexpected: {error!r}"[:600], cure="this is a fault of daa or of a library: the log has its place"),
            error,
        )
        sys.exit(1)


def _fresh_directory(name: str) -> Path:
    return Path("runs") / f"{name}-{datetime.now():%Y%m%d-%H%M%S}"


def _project_file(path: Path) -> Path:
    """A file that comes with the project, wherever the command is run."""
    return Path(__file__).resolve().parent.parent / path


if __name__ == "__main__":
    main()
