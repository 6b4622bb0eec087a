"""The words of `daa eval` to settings, and what it shows at the end."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.errors import SettingsError, UserError
from orchestrator.nearest import nearest
from orchestrator.settings import BenchmarkSettings
from orchestrator.settings_file import line_of, read_toml, validated

# The sections that the command line adds to.
_TABLES = ("answering", "capability", "judge")
_KINDS = ("openai", "vllm", "reward_model", "replay")


def is_of_a_search(file: Path) -> bool:
    """Whether a settings file is that of a search and not of a benchmark run. Raises SettingsError for no file, or no TOML."""
    return not {"benchmarks", "capability"} & read_toml(file)[0].keys()


def benchmark_settings(file: Path | None, given: Mapping[str, Any]) -> BenchmarkSettings:
    """The settings of a TOML file, overruled by what the command line gives; keys that are None are not given.

    Raises SettingsError for values that cannot be, UserError without a judge.
    """
    values, text = _of_file(file) if file is not None else ({}, "")
    answering = {key: given.get(key) for key in ("temperature", "max_tokens", "max_model_len")}
    told = {key: value for key, value in given.items() if value not in (None, [], ()) and key not in (*answering, "capability")}
    merged: dict[str, Any] = {**values, **told}
    merged["answering"] = {**values.get("answering", {}), **{key: value for key, value in answering.items() if value is not None}}
    if given.get("capability"):
        merged["capability"] = {**values.get("capability", {}), "tasks": given["capability"]}
    if "capability" in merged and "limit" in told:
        merged["capability"] = {**merged["capability"], "limit": told["limit"]}
    if "judge" not in merged and merged.get("benchmarks"):
        cure = "add --judge vllm:DIR, openai:MODEL, http://host:port/v1#model, reward_model:DIR or replay:FILE, or a [judge] in --settings"
        raise UserError("no judge is named", "daa eval", cure)
    if isinstance(merged.get("judge"), str):
        named, of_file = judge_values(merged["judge"]), values.get("judge", {})
        merged["judge"] = {**(of_file if of_file.get("kind") == named["kind"] else {}), **named}
    return validated(BenchmarkSettings, merged, str(file or "the command line"), text)


def _of_file(file: Path) -> tuple[dict[str, Any], str]:
    """The values of a file and its text, without what is null in the JSON of a run. Raises SettingsError for a section that is no table."""
    values, text = read_toml(file)
    for name in _TABLES:
        if values.get(name) is None:
            values.pop(name, None)
        elif not isinstance(values[name], dict):
            line = line_of(text, [name])
            place = f"{file}{f':{line}' if line else ''}, {name}"
            raise SettingsError(f"{name} is no table", place, f"write [{name}], and its keys below", code="DAA-0103")
    return values, text


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
