"""`daa demo`, `daa search` and `daa replay`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.commands.places import Directory, fresh_directory

DEMO = Path("jobs/examples/demo.toml")


def demo(directory: Directory = None) -> None:
    """Search over eight methods on a small model made on the spot: no network, no token, no GPU (one that is there is used), a few minutes.

    Example: daa demo --dir runs/demo
    """
    from orchestrator.cluster.runs.search import search
    from orchestrator.cluster.surveying import gpu_of_cluster
    from orchestrator.settings import ClusterSettings
    from orchestrator.settings_file import load_settings

    settings = load_settings(project_file(DEMO))
    if gpu_of_cluster() is not None:
        # Libraries for CUDA answer on GPUs only.
        on_one = ClusterSettings(turns=True, gpus_per_worker=0.6, gpus_per_engine=0.4)
        settings = settings.model_copy(update={"cluster": on_one})
    search(settings, directory or fresh_directory(settings.name))


def search(
    settings_file: Annotated[Path | None, typer.Argument(help="A TOML settings file; jobs/examples has some.")] = None,
    directory: Directory = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with the search in this directory.")] = None,
) -> None:
    """Search methods and hyperparameters for the best judged win rate.

    Example: daa search jobs/examples/demo.toml --dir runs/first
    """
    from orchestrator.errors import UserError

    if (settings_file is None) == (resume is None):
        raise UserError(
            "give either a settings file or --resume DIR", "daa search", "daa search FILE --dir DIR, or daa search --resume DIR"
        )
    if resume is not None:
        from orchestrator.cluster.runs.search import resume as resume_search

        resume_search(resume)
        return
    assert settings_file is not None
    from orchestrator.settings_file import check_files, check_prompts, load_search_settings

    settings = load_search_settings(settings_file)
    check_files(settings)
    check_prompts(settings)
    from orchestrator.cluster.runs.search import search

    search(settings, directory or fresh_directory(settings.name))


def replay(directory: Annotated[Path, typer.Argument(help="The directory of a search.")]) -> None:
    """Compute every number of a search again from its answers and verdicts, offline, and compare to the last digit.

    Example: daa replay runs/demo
    """
    from orchestrator.report.replays import replay_and_tell

    sys.exit(0 if replay_and_tell(directory) else 1)


def project_file(path: Path) -> Path:
    """A file that comes with the project, wherever the command is run."""
    return Path(__file__).resolve().parents[2] / path
