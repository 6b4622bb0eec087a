"""The words of `daa eval` to settings, and what it shows at the end."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from orchestrator.errors import SettingsError, UserError
from orchestrator.nearest import nearest
from orchestrator.settings import BenchmarkSettings, Settings
from orchestrator.settings.benchmarks import BenchmarkName
from orchestrator.settings.problems import line_of
from orchestrator.settings_file import check_settings, load_settings, read_toml, read_what_counts, validated

# The sections that the command line adds to.
_TABLES = ("answering", "capability", "judge")
# How models answer, as the command line has it.
_ANSWERING = ("temperature", "top_p", "max_tokens", "max_model_len")
_KINDS = ("openai", "vllm", "reward_model", "replay")


def is_of_a_search(file: Path) -> bool:
    """Whether a settings file is that of a search and not of a benchmark run. Raises SettingsError for no file, or no TOML."""
    return not {"benchmarks", "capability"} & read_toml(file)[0].keys()


def benchmark_settings(file: Path | None, given: Mapping[str, Any]) -> BenchmarkSettings:
    """The settings of a TOML file, overruled by what the command line gives; keys that are None are not given.

    Raises SettingsError for values that cannot be, UserError where nothing is asked, or what there is not, or by no judge.
    """
    _check_asked(file, given)
    values, text = _of_file(file) if file is not None else ({}, "")
    answering = _answering(given)
    told = {key: value for key, value in given.items() if value not in (None, [], ()) and key not in (*_ANSWERING, "capability")}
    merged: dict[str, Any] = {**values, **told}
    merged["answering"] = {**values.get("answering", {}), **answering}
    if given.get("capability"):
        merged["capability"] = {**values.get("capability", {}), "tasks": given["capability"]}
    if "capability" in merged and "limit" in told:
        merged["capability"] = {**merged["capability"], "limit": told["limit"]}
    if "judge" not in merged and merged.get("benchmarks"):
        cure = "add --judge vllm:DIR, openai:MODEL, http://host:port/v1#model, reward_model:DIR or replay:FILE, or a [judge] in --settings"
        raise UserError("no judge is named", "daa eval", cure)
    if isinstance(merged.get("judge"), str):
        merged["judge"] = judge_named(merged["judge"], values.get("judge", {}))
    return validated(BenchmarkSettings, merged, str(file or "the command line"), text)


def _answering(given: Mapping[str, Any]) -> dict[str, Any]:
    return {key: given[key] for key in _ANSWERING if given.get(key) is not None}


def _check_asked(file: Path | None, given: Mapping[str, Any]) -> None:
    """Refuse a command line that asks nothing, or a benchmark that there is not."""
    if file is None and not given.get("benchmarks") and not given.get("capability"):
        cure = "add --benchmark NAME with --judge KIND:MODEL, or --capability TASK, or --settings FILE of a benchmark run or a search"
        raise UserError("nothing is asked of the models", "daa eval", cure)
    for name in given.get("benchmarks") or ():
        known = get_args(BenchmarkName)
        if versions := [each for each in known if each.startswith(f"{name}_v")]:
            raise UserError(f"{name} has {len(versions)} versions, with other prompts", "--benchmark", f"choose {' or '.join(versions)}")
        if name not in known:
            raise UserError(f"there is no benchmark {name!r}", "--benchmark", f"choose {', '.join(known)}")


def _of_file(file: Path) -> tuple[dict[str, Any], str]:
    """The values of a file and its text, without what is null in the JSON of a run, and of a search's file what benchmarks know too.

    Raises SettingsError for a section that is no table.
    """
    values, text = read_what_counts(BenchmarkSettings, file)
    for name in _TABLES:
        if values.get(name) is None:
            values.pop(name, None)
        elif not isinstance(values[name], dict):
            line = line_of(text, [name])
            place = f"{file}{f':{line}' if line else ''}, {name}"
            raise SettingsError(f"{name} is no table", place, f"write [{name}], and its keys below", code="DAA-0103")
    return values, text


def settings_of_search(file: Path, given: Mapping[str, Any]) -> Settings:
    """The settings of a search's file, overruled by what the command line gives. Raises SettingsError, UserError for what it cannot."""
    settings, judge, answering = load_settings(file), given.get("judge"), _answering(given)
    if given.get("limit") is not None:
        cure = "leave it out, or name a shorter file as evaluation.prompts"
        raise UserError("a search's own prompts are all answered: a limit is of benchmarks and tasks", "--limit", cure)
    if judge is None and not answering:
        return settings
    # Nothing is spent of a search's budget.
    told = {key: value for key, value in settings.json_ready().items() if key != "budget"}
    if judge is not None:
        told["judge"] = judge_named(judge, told["judge"])
    told["evaluation"] |= answering
    return check_settings(told, "the command line")


def judge_named(word: str, of_file: Mapping[str, Any]) -> dict[str, Any]:
    """A judge's settings in one word, and what the file's judge, where it is of the same kind, says of how it is asked.

    Prices are a model's, a key is a server's: another model's, another server's are not kept. Raises UserError for no judge, and where the
    file bounds a cost whose prices are then not known.
    """
    named = judge_values(word)
    if of_file.get("kind") != named["kind"]:
        return named
    is_same_model = all(of_file.get(key) == named.get(key) for key in ("model", "file"))
    address = named.get("base_url", of_file.get("base_url") if is_same_model else None)
    is_same_server = address == of_file.get("base_url")
    left = set() if is_same_server else {"base_url", "api_key_env"}
    left |= set() if is_same_model and is_same_server else {"input_price", "output_price", "output", "trust_remote_code"}
    if of_file.get("max_cost") is not None and "input_price" in left:
        cure = "write this judge with its prices into the file, or take max_cost out of it"
        raise UserError(f"judge.max_cost is given, and the file's prices are those of {of_file.get('model')}", f"--judge {word}", cure)
    return {**{key: value for key, value in of_file.items() if key not in left}, **named}


def judge_values(word: str) -> dict[str, Any]:
    """A judge's settings in one word: KIND:MODEL, or a server's address with its model. Raises UserError for neither."""
    if word.startswith(("http://", "https://")):
        url, _, model = word.partition("#")
        if not model:
            raise UserError("the judge's address names no model", word, "write http://host:port/v1#model")
        return {"kind": "openai", "base_url": url, "model": model}
    kind, colon, model = word.partition(":")
    if not colon or not model or kind not in _KINDS:
        raise UserError(f"there is no judge {word!r}", "--judge", f"{nearest(kind, _KINDS)}; write KIND:MODEL, such as vllm:DIR")
    return {"kind": kind, "file" if kind == "replay" else "model": model}


def shown(evaluations: Sequence[Any], comparisons: Sequence[Mapping[str, Any]]) -> list[Any]:
    """The tables of a benchmark run."""
    from orchestrator.report.scores import comparisons_table, scores_table

    cards = [card | {"file": ""} for evaluation in evaluations for card in evaluation.cards()]
    return [scores_table(cards), *([comparisons_table(comparisons)] if comparisons else [])]


def fetch_data(directory: Path | None, benchmarks: Sequence[str] | None) -> None:
    """Download the benchmarks' data, each file verified by its SHA-256, to `directory`, $DAA_EVAL_DATA or eval-data."""
    from evals.benchmarks.fetch import ALL, fetch
    from evals.benchmarks.files import DATA_VARIABLE
    from evals.benchmarks.sources import LICENCES

    place = directory or Path(os.environ.get(DATA_VARIABLE, "eval-data"))
    for name in benchmarks or ALL:
        if name in LICENCES:
            print(f"{name}: {LICENCES[name]}")
    fetch(place, benchmarks or ALL, tell=lambda fetched: print(f"{fetched.state}: {fetched.file}  SHA-256 {fetched.sha256}"))
    print(f"export {DATA_VARIABLE}={place.resolve()}")
