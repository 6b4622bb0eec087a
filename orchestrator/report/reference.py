"""Pages that are made from the code: a card for each method, and all settings."""

import inspect
import json
import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from orchestrator.objectives import METHODS, Objective
from orchestrator.report.cards import STATUS, SYMBOLS, needs_in_words, range_in_words
from orchestrator.settings import BenchmarkSettings, Settings
from orchestrator.settings.reward import RewardSettings

_FILES = {
    "Of a search, of rounds and of one training": Settings,
    "Of a reward model (`daa reward`)": RewardSettings,
    "Of a benchmark run (`daa eval --settings`)": BenchmarkSettings,
}


def methods_page() -> str:
    """A table of all methods, and each one's card, in Markdown."""
    rows = [f"| [{name}](#{name}) | {needs_in_words(method().needs)} | {_first_line(method)} |" for name, method in METHODS.items()]
    head = [
        "# All methods",
        "",
        "What the symbols in the formulas mean: " + SYMBOLS + ".",
        "",
        "| method | needs | what it is |",
        "|---|---|---|",
    ]
    return "\n".join([*head, *rows, "", *(_card(name, method) for name, method in METHODS.items())])


def settings_schema() -> dict[str, Any]:
    """The JSON Schema of a run's settings, by which editors complete and check them."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Settings.model_json_schema()}


def settings_page() -> str:
    """All keys of all settings files, with their types, defaults and what they do, in Markdown."""
    parts = ["# Settings", ""]
    told: set[str] = set()
    for title, kind in _FILES.items():
        schema = kind.model_json_schema()
        parts += [f"## {title}", "", *_section(schema, told)]
    return "\n".join(parts) + "\n"


def _section(schema: Mapping[str, Any], told: set[str]) -> list[str]:
    """A file's own keys, then those of each part that was not told before."""
    lines = [*_paragraphs(schema.get("description", "")), *_table(schema)]
    for name, part in schema.get("$defs", {}).items():
        if name not in told:
            told.add(name)
            lines += [f"### {_title(name, part)}", "", *_paragraphs(part.get("description", "")), *_table(part)]
    return lines


def _table(schema: Mapping[str, Any]) -> list[str]:
    required = schema.get("required", [])
    lines = ["| key | type | default |", "|---|---|---|"]
    for key, value in schema.get("properties", {}).items():
        default = "required" if key in required else f"`{json.dumps(value.get('default'))}`"
        default = "see its part" if isinstance(value.get("default"), dict) and value["default"] else default
        lines.append(f"| `{key}` | {_type(value).replace('|', '&#124;')} | {default.replace('|', '&#124;')} |")
    return [*lines, ""]


def _type(value: Mapping[str, Any]) -> str:
    """A JSON Schema type in words."""
    several = next((value[key] for key in ("anyOf", "oneOf", "allOf") if key in value), None)
    if several is not None:
        return " or ".join(_type(each) for each in several)
    if "$ref" in value:
        return _linked(value["$ref"])
    if "const" in value or "enum" in value:
        return ", ".join(f"`{json.dumps(each)}`" for each in value.get("enum", [value.get("const")]))
    inner = value.get("items") or value.get("additionalProperties")
    holder = {"array": "list", "object": "table"}.get(value.get("type", ""))
    if holder is not None:
        return f"{holder} of {_type(inner)}" if isinstance(inner, Mapping) else holder
    return "nothing" if value.get("type") == "null" else f"{value.get('type', 'anything')}{_bounds(value)}"


def _bounds(value: Mapping[str, Any]) -> str:
    words = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to", "exclusiveMaximum": "below"}
    found = [f"{word} {value[key]:g}" for key, word in words.items() if key in value]
    return f" {' '.join(found)}" if found else ""


def _linked(reference: str) -> str:
    name = reference.rpartition("/")[2]
    return f"[{_words(name)}](#{_words(name).replace(' ', '-')})"


def _title(name: str, part: Mapping[str, Any]) -> str:
    """A part's name; where several kinds stand in one place, the value of `kind` that chooses it."""
    kind = part.get("properties", {}).get("kind", {}).get("const")
    return f"{_words(name)}{f' (kind = {json.dumps(kind)})' if kind else ''} {{#{_words(name).replace(' ', '-')}}}"


def _words(name: str) -> str:
    """VllmJudgeSettings as "vllm judge"."""
    plain = name.removesuffix("Settings").replace("AI", "ai")
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", plain).lower()


def _paragraphs(text: str) -> list[str]:
    return [*inspect.cleandoc(text).split("\n"), ""] if text else []


def _first_line(method: type[Objective]) -> str:
    return (inspect.getdoc(method) or "").split("\n")[0].replace("|", "&#124;")


def _card(name: str, method: type[Objective]) -> str:
    lines = [
        f"## {name}",
        "",
        inspect.getdoc(method) or "",
        "",
        "```text",
        f"loss   {method.formula()}",
        f"needs  {needs_in_words(method().needs)}",
    ]
    lines += ["```", "", f"Source: {method.paper or 'none given'}. {STATUS[method.status].capitalize()}.", ""]
    lines += ["| hyperparameter | default | searched |", "|---|---|---|"]
    for item in fields(method):  # pyright: ignore[reportArgumentType]
        searched = method.search_space.get(item.name)
        words = range_in_words(searched).replace("|", "or") if searched else ""
        lines.append(f"| `{item.name}` | {item.default} | {words} |")
    return "\n".join([*lines, ""])
