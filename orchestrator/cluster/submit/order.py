"""What a cluster is asked to run, before anybody speaks to the cluster."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evals.secrets import variables
from orchestrator.settings import OpenAISettings

KINDS = ("search", "train", "rounds", "reward", "generate", "evaluate")
# These name their settings by an option; what they answer or score comes first.
_BY_OPTION = {"generate", "evaluate"}
# Words of their own, of which a directory may happen to have the name.
_WORDS = {
    *("name", "method", "benchmarks", "search.methods", "search.searcher", "search.scheduler", "selection.metric"),
    *("data.split", "data.config", "data.mixture.split", "data.mixture.config", "capability.tasks", "finals.capability.tasks"),
    *("rounds.first", "rounds.start", "rounds.keep", "rounds.reference", "rounds.pairing", "ladder.rungs"),
}


@dataclass(frozen=True)
class Order:
    """A module of `jobs`, its arguments, where it writes, variables of its environment, and in words which keys are sent where."""

    kind: str
    name: str
    arguments: Sequence[str]
    directory: str
    environment: Mapping[str, str]
    keys: Sequence[str] = ()

    @property
    def command(self) -> str:
        """The line that the head node's shell runs."""
        return shlex.join(["python", "-m", f"jobs.{self.kind}", *self.arguments])


def arguments_of(kind: str, file: str | None, given: Sequence[str], directory: str, is_resumed: bool) -> list[str]:
    """The arguments of a module of `jobs`. A search that goes on has settings of its own; the others go on when they are given again."""
    if kind == "search" and is_resumed:
        return ["--resume", directory]
    if kind in _BY_OPTION:
        return [*given, "--settings", str(file), "--dir", directory]
    return [str(file), *given, "--dir", directory]


def keys_sent(values: Any) -> Iterator[str]:
    """A line for each model that is asked over the network, and each address with a variable: which variable's value goes where."""
    from evals.chat_models.openai_model import OPENAI_URL

    for place, value in _parts(values):
        if isinstance(value, Mapping) and value.get("kind") == "openai":
            key = value.get("api_key_env") or OpenAISettings.model_fields["api_key_env"].default
            yield f"the value of ${key} goes to {value.get('base_url') or OPENAI_URL} ({place})"
        address = value if isinstance(value, str) else ""
        for name in variables(address):
            yield f"the value of ${name} goes to {address.partition('?')[0]} ({place})"


def named_paths(values: Any) -> Iterator[tuple[str, str]]:
    """The strings of settings that may be local paths, each with the key that has it."""
    for place, value in _parts(values):
        is_word = place.endswith(".kind") or re.sub(r"\[\d+\]", "", place) in _WORDS
        if isinstance(value, str) and value and not is_word and "\n" not in value and "://" not in value and "::" not in value:
            yield place, value


def _parts(values: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """All values of settings with the keys that lead to them, tables and lists before what is in them."""
    yield place, values
    if isinstance(values, Mapping):
        for key, value in values.items():
            yield from _parts(value, f"{place}.{key}" if place else str(key))
    elif isinstance(values, Sequence) and not isinstance(values, str):
        for number, value in enumerate(values):
            yield from _parts(value, f"{place}[{number}]")
