"""The words of `daa submit` to a job: checked here as far as they can be, before anything is sent."""

import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from orchestrator.cluster.submit.order import KINDS, Order, arguments_of, keys_sent, named_paths
from orchestrator.errors import UserError
from orchestrator.nearest import nearest
from orchestrator.report.plain_text import visible

# What a job writes to and finds again: never sent.
_WRITTEN = ("cache", "reference_cache")


def order_of(kind: str, file: Path | None, arguments: Sequence[str], places: tuple[str | None, str | None]) -> tuple[Order, dict[str, str]]:
    """The job, and the paths that it names, each by what names it; `places` are the directories of --dir and --resume.

    Raises UserError for a kind that does not exist, a file or a directory that the cluster would not find, and settings that are wrong.
    """
    if kind not in KINDS:
        raise UserError(f"there is no job {kind!r}", "--job", nearest(kind, KINDS))
    directory, is_resumed = _directory(*places)
    if file is None and not (is_resumed and kind == "search"):
        raise UserError("no settings file is given", "daa submit", "daa submit FILE --dir DIR; only a search goes on without its file")
    inside = None if file is None else _inside(file)
    settings = _check(kind, inside, arguments) if inside is not None else None
    values = _values(inside, Path(directory))
    paths = dict(named_paths(values))
    relative = {key: path for key in _WRITTEN if (path := paths.get(key)) is not None and not path.startswith(("/", "~"))}
    if relative and inside is not None:
        raise _found_nowhere(*next(iter(relative.items())))
    named = {key: path for key, path in paths.items() if key not in relative} | {
        f"argument {word}": word for word in arguments if not word.startswith("-")
    }
    path = None if inside is None else str(inside)
    if path is not None:
        named["FILE"] = path
    name = getattr(settings, "name", None) or values.get("name", kind)
    words = arguments_of(kind, path, arguments, directory, is_resumed)
    return Order(kind, str(name), words, directory, {}, tuple(keys_sent(values))), named


def tell_keys(values: Any) -> None:
    """Say on the standard error stream which keys these settings send where."""
    for line in keys_sent(values):
        print(visible(line), file=sys.stderr)


def _found_nowhere(key: str, path: str) -> UserError:
    """The error for a directory to write to that is relative."""
    cure = "give an absolute path on a file system that all nodes of the cluster share, such as /shared/"
    what = f"the cluster would not find {path}: it is relative, and a job's own directory goes with the job"
    return UserError(what, key, cure + ("runs/first" if key == "--dir" else "daa-cache"))


def _directory(directory: str | None, resume: str | None) -> tuple[str, bool]:
    """Where the run writes, and whether it goes on there."""
    if (directory is None) == (resume is None):
        raise UserError("give either --dir or --resume", "daa submit", "--dir DIR for a run that begins, --resume DIR for one that goes on")
    chosen = directory if directory is not None else str(resume)
    if not Path(chosen).is_absolute():
        raise _found_nowhere("--dir", chosen)
    return str(Path(chosen)), resume is not None


def _inside(file: Path) -> Path:
    """The settings file, by its path in the working directory."""
    here = Path.cwd().resolve()
    real = file.resolve()
    if not real.is_relative_to(here):
        cure = f"copy it below {here}, or give the command in the directory that has it"
        raise UserError("the settings file lies outside the working directory, which is all that is sent", str(file), cure)
    return real.relative_to(here)


def _check(kind: str, file: Path, arguments: Sequence[str]) -> Any:
    """Read the settings as the job will, and look for the files that must be sent with it."""
    from orchestrator.commands.benchmarks import benchmark_settings, is_of_a_search
    from orchestrator.commands.rounds import generating_settings
    from orchestrator.settings_file import load_reward_settings, load_search_settings, load_settings

    loaders: Mapping[str, Callable[[Path], Any]] = {"reward": load_reward_settings, "search": load_search_settings}
    if kind == "evaluate" and not is_of_a_search(file):
        return benchmark_settings(file, {"judge": _option("--judge", arguments)})
    if kind == "generate":
        return generating_settings(file)
    settings = loaders.get(kind, load_settings)(file)
    if kind in ("rounds", "evaluate"):
        settings.cluster.check_engines()
    _check_relative(settings)
    return settings


def _option(name: str, arguments: Sequence[str]) -> str | None:
    """What an option of the job's own is given."""
    given = None
    for word, following in zip_longest(arguments, arguments[1:]):
        own, equals, told = word.partition("=")
        if own == name:
            given = told if equals else following
    return given


def _check_relative(settings: Any) -> None:
    """Refuse relative paths of data at which nothing lies; absolute ones are the cluster's, and may not be seen from here."""
    from evals.prompts import check_prompt_file
    from orchestrator.preferences.sources import check_source
    from orchestrator.settings_file import prompt_files

    for part in settings.data.sources:
        if not part.source.startswith(("/", "~")):
            check_source(part.source, "data.mixture" if settings.data.mixture else "data.train")
    for place, path in prompt_files(settings):
        if not str(path).startswith(("/", "~")):
            check_prompt_file(path, place)


def _values(file: Path | None, directory: Path) -> dict[str, Any]:
    """The settings as they are written; of a search that goes on without its file, its own where they can be seen from here."""
    from orchestrator.search.kept import kept_settings
    from orchestrator.settings_file import read_toml

    return read_toml(file)[0] if file is not None else kept_settings(directory)
