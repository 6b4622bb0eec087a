"""Settings from a TOML file: every refusal names the key's path, its line and the nearest right name."""

import difflib
import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from evals.errors import shortened
from evals.judges.reference import check_reference
from evals.judges.verifier import check_verifiable
from evals.model_files import check_model
from evals.prompts import check_prompt_file, load_prompts
from orchestrator.errors import SettingsError
from orchestrator.nearest import nearest
from orchestrator.settings import RangeSettings, RoundsSettings, Settings, TrainingSettings
from orchestrator.settings.problems import line_of, problem
from orchestrator.settings.reward import RewardSettings
from orchestrator.settings.scoring import KNOWING

Kind = TypeVar("Kind", bound=BaseModel)
RunSettings = Settings | RewardSettings

_SHOWN = 8
# The largest of ours has 3 KB. What parsing takes grows with the square of some files' size.
_LARGEST_FILE = 1 << 16
# Ours have four parts at most, and what parsing takes grows with the square of theirs.
_LONG_KEY = re.compile(r"""(?:^|[\[{,])[ \t]*+(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){20}""", re.MULTILINE)


def load_settings(path: str | Path) -> Settings:
    """Read and check a settings file. Relative paths in it count from the working directory.

    Raises SettingsError for a missing file, broken TOML, unknown keys, wrong types and impossible combinations.
    """
    values, text = read_toml(Path(path))
    return check_settings(values, str(path), text)


def load_search_settings(path: str | Path) -> Settings:
    """Read and check the settings file of a search, as `load_settings` does, and as `check_search` does."""
    values, text = read_toml(Path(path))
    settings = check_settings(values, str(path), text)
    check_search(settings, str(path), text)
    return settings


def load_reward_settings(path: str | Path) -> RewardSettings:
    """Read and check the settings of a reward model's training, as `load_settings` does."""
    values, text = read_toml(Path(path))
    return validated(RewardSettings, values, str(path), text)


def load_run_settings(path: str | Path) -> RunSettings:
    """Read and check the settings file of a search or of another run, a reward model's training too, as `load_settings` does."""
    values, text = read_toml(Path(path))
    return validated(RewardSettings, values, str(path), text) if is_of_reward(values) else check_settings(values, str(path), text)


def is_of_reward(values: Mapping[str, Any]) -> bool:
    """Whether the settings are of a reward model's training, which has neither a judge nor what comes after training."""
    return not {"judge", "search", "evaluation", "rounds"} & values.keys()


def read_toml(file: Path) -> tuple[dict[str, Any], str]:
    """The values of a TOML file, or of one that a run wrote in JSON, and its text. Raises SettingsError: the nearest file, or the line."""
    if not os.path.isfile(file):
        others = [str(example) for example in sorted(file.parent.glob("*.toml"))] if os.path.isdir(file.parent) else []
        close = difflib.get_close_matches(str(file), others, n=1)
        raise SettingsError(
            f"there is no settings file {shortened(str(file))}",
            f"the working directory {Path.cwd()}",
            cure=f"did you mean {close[0]}?" if close else "give the path of a TOML file",
            code="DAA-0101",
        )
    is_json = file.suffix == ".json"
    try:
        with file.open("rb") as content:
            text = content.read(_LARGEST_FILE + 1).decode("utf-8-sig", errors="replace").replace("\r\n", "\n")
        if len(text) > _LARGEST_FILE:
            cure = "give a settings file: lists of data go to files of their own"
            raise SettingsError(f"this file is larger than settings are ({_LARGEST_FILE >> 10} KiB)", str(file), cure, code="DAA-0102")
        if not is_json and (long := _LONG_KEY.search(text)) is not None:
            line = text[: long.end()].count("\n") + 1
            raise SettingsError(
                "a key has more than 20 parts", f"{file}:{line}", "no setting has so many: correct the line", code="DAA-0103"
            )
        values = json.loads(text) if is_json else tomllib.loads(text)
    except (OSError, RecursionError, ValueError) as error:
        kind = "JSON" if is_json else "TOML"
        raise SettingsError(f"this is not {kind}: {shortened(str(error))}", str(file), "correct the line", code="DAA-0102") from error
    if not isinstance(values, dict):
        raise SettingsError(
            "this is no table of settings", str(file), "give a settings file, or the settings.json of a run", code="DAA-0102"
        )
    return values, text


def read_what_counts(kind: type[BaseModel], file: Path) -> tuple[dict[str, Any], str]:
    """As `read_toml`, of a file that may be of a whole run: without the keys that a run knows and `kind` does not."""
    values, text = read_toml(file)
    return {key: value for key, value in values.items() if key in kind.model_fields or key not in Settings.model_fields}, text


def check_settings(values: Mapping[str, Any], where: str, text: str = "") -> Settings:
    """Validate a run's settings; `text` is the TOML they came from, for line numbers. Raises SettingsError."""
    settings = validated(Settings, values, where, text)
    check_methods(settings, where, text)
    return settings


def validated(kind: type[Kind], values: Mapping[str, Any], where: str, text: str = "") -> Kind:
    """Values as settings of a kind. Raises SettingsError that names each wrong key, its line and the nearest right one."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        problems = error.errors()
        shown = "\n".join(f"  {problem(kind, details, values, text)}" for details in problems[:_SHOWN])
        more = f"\n  and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise SettingsError(
            f"the settings cannot be used:\n{shown}{more}", where, "correct the keys named above", code="DAA-0103"
        ) from error
    except SettingsError as error:
        raise _placed(error, error.where.split("."), where, text) from error


def check_search(settings: Settings, where: str = "the settings", text: str = "") -> None:
    """Refuse what a search cannot do and a single run can. Raises SettingsError."""
    try:
        settings.check_search()
    except SettingsError as error:
        raise _placed(error, error.where.split("."), where, text) from error


def check_methods(settings: Settings, where: str, text: str = "") -> None:
    """Refuse methods, hyperparameters and search ranges that do not exist or are not possible."""
    from orchestrator.objectives import make_objective, method_named

    if settings.method is not None:
        try:
            make_objective(settings.method, settings.hyperparameters)
        except SettingsError as error:
            raise _placed(error, ("method",), where, text) from error
    for name in settings.search.methods:
        method_named(name, _place(("search", "methods"), where, text))
    for owner, ranges in settings.search.space.items():
        place = _place(("search", "space", owner), where, text)
        section = _shared(settings, owner, place)
        own = method_named(owner, place)().hyperparameters() if section is None else {}
        known = [*own, *TrainingSettings.model_fields] if section is None else section
        for key in ranges:
            if key not in known:
                raise SettingsError(f"{owner} has no {key!r}", _place(("search", "space", owner, key), where, text), nearest(key, known))
        if section is None and owner not in settings.search.arms:
            raise SettingsError(f"a range is given for {owner}, which is not searched", place, "add it to search.methods")
        if section is None:
            trained = settings.search.own_training(owner, own)
            _check_ranges(owner, {key: ranges[key] for key in ranges if key not in trained}, where, text)
            try:
                settings.check_searched("training", trained, f"search.space.{owner}")
            except ValueError as error:
                raise SettingsError(str(error), place, "correct the range", code="DAA-0103") from error


def _shared(settings: Settings, owner: str, place: str) -> Sequence[str] | None:
    """The settings that a search may vary in a section that all methods share; None for what is no such section."""
    if owner == "rounds":
        if settings.rounds is None:
            raise SettingsError("a range is given for rounds, and there are none", place, "add [rounds], or remove the range")
        return ("count",)
    sections: dict[str, BaseModel] = {"training": settings.training, "selection": settings.selection}
    return list(type(sections[owner]).model_fields) if owner in sections else None


def _check_ranges(method: str, ranges: Mapping[str, RangeSettings], where: str, text: str) -> None:
    """Refuse ranges with ends that the method's hyperparameters may not have."""
    from orchestrator.objectives import make_objective

    for key, searched in ranges.items():
        for value in searched.ends:
            try:
                make_objective(method, {key: value})
            except SettingsError as error:
                place = _place(("search", "space", method, key), where, text)
                raise SettingsError(f"the search may not choose it: {error.what}", place, error.cure, error.code) from error


def prompt_files(settings: Any) -> Iterator[tuple[str, Path]]:
    """The files of prompts that settings of any command name, each after its key."""
    for section, key in (("evaluation", "prompts"), ("evaluation", "held_out"), ("rounds", "prompts")):
        path = getattr(getattr(settings, section, None), key, None)
        if path is not None:
            yield f"{section}.{key}", path


def check_prompts(settings: Settings) -> None:
    """Read the prompts, and refuse those without what their judge, or a scorer of rounds, compares answers with.

    Raises UserError naming the file and the prompt.
    """
    evaluation, rounds = settings.evaluation, settings.rounds
    read = [(evaluation.prompts, settings.judge), (evaluation.held_out, settings.finals.judge or settings.judge)]
    read += [(rounds.prompts, scorer) for scorer in rounds.scorers] if rounds is not None else []
    if rounds is not None and settings.world is None:
        _check_known(rounds)
    needed = {"verifier": check_verifiable, "reference": check_reference}
    named = [(file, compares.kind) for file, compares in read if file is not None]
    prompts = {file: load_prompts(file).prompts for file in dict(named)}
    for file, kind in named:
        for prompt in prompts[file] if kind in needed else ():
            needed[kind](prompt, f"{file}, prompt {prompt.id}")


def _check_known(rounds: RoundsSettings) -> None:
    """Refuse scorers that compare with a prompt's own answer where the answered prompts are those of preference data."""
    knowing = [scorer.kind for scorer in rounds.scorers if scorer.kind in KNOWING]
    if knowing and rounds.prompts is None and (rounds.first == "generate" or rounds.count > 1):
        what = f"the scorer {knowing[0]} compares with a prompt's own answer, and prompts of preference data have none"
        raise SettingsError(what, "rounds.prompts", "name a file of prompts with answers, or use other scorers")


def check_files(settings: RunSettings) -> None:
    """Refuse, before anything heavy is imported, files and directories that are not there."""
    from orchestrator.preferences.sources import check_source

    if settings.world is not None:
        return
    for part in settings.data.sources:
        check_source(part.source, "data.mixture" if settings.data.mixture else "data.train")
    for place, path in prompt_files(settings):
        check_prompt_file(path, place)
    for model in (settings.model.base or "", *settings.model.references):
        check_model(model)


def _placed(error: SettingsError, path: Sequence[str], where: str, text: str) -> SettingsError:
    """The same error with the file and line of the key at `path`."""
    return SettingsError(error.what, _place(path, where, text), error.cure, error.code)


def _place(path: Sequence[str], where: str, text: str) -> str:
    line = line_of(text, path)
    return f"{where}{f':{line}' if line else ''}, {'.'.join(path)}"
