"""What a word that names a model means: a directory, an adapter, a file of outputs or a served model, and what it is called."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evals.model_files import adapter_base, adapter_rank, check_model
from orchestrator.errors import UserError

# What servers of candidates are sent, never the judge's key: whoever serves a candidate may be anybody.
CANDIDATES_KEY = "CANDIDATE_API_KEY"


@dataclass(frozen=True)
class ServedModel:
    """A model behind an OpenAI-compatible server."""

    url: str
    model: str


def check_candidates(models: Sequence[str]) -> None:
    """Refuse words that name nothing. Raises ModelError."""
    for model in models:
        if not is_served(model) and not is_file(model) and base_of_adapter(model) is None:
            check_model(model)


def is_served(model: str) -> bool:
    """Whether the word is the address of a server."""
    return model.startswith(("http://", "https://"))


def is_file(model: str) -> bool:
    """Whether the word names a file of outputs."""
    return not is_served(model) and Path(model).is_file()


def base_of_adapter(model: str) -> str | None:
    """The base model of a LoRA adapter's directory; None for anything else."""
    return None if is_served(model) else adapter_base(Path(model))


def absolute(model: str) -> str:
    """A local model's path from anywhere; a hub identifier as it is."""
    local = Path(model).expanduser()
    return str(local.resolve()) if local.exists() else model


def largest_rank(models: Sequence[str]) -> int:
    """The largest rank of the LoRA adapters among the models; 0 without one."""
    return max((adapter_rank(Path(model)) for model in models if base_of_adapter(model) is not None), default=0)


def served_model(address: str) -> ServedModel:
    """Split `http://host:port/v1#model`. Raises UserError without a model's name, and for a password or a query: it is written down."""
    url, _, model = address.partition("#")
    if "@" in address.partition("//")[2].partition("/")[0] or "?" in url:
        cure = f"export the key as {CANDIDATES_KEY}, and write http://host:port/v1#model"
        raise UserError("a model's address holds no name, password or query", "daa eval", cure)
    if not model:
        raise UserError("the address names no model", address, "write http://host:port/v1#model")
    return ServedModel(url, model)


def names_of(models: Sequence[str]) -> Mapping[str, str]:
    """A name for each model: the last part of its path that says something, and as many parts before it as tell it from the others.

    "model", "step-000096" and "checkpoint-96" say nothing by themselves.
    """
    names = {model: _name(model, 0) for model in models}
    for more in range(1, max((len(_parts(model)) for model in names), default=0)):
        shared = {name for name, count in Counter(names.values()).items() if count > 1}
        names = {model: _name(model, more) if name in shared else name for model, name in names.items()}
    return names


def _name(model: str, more: int) -> str:
    """The last telling parts of a path, and `more` parts before them."""
    parts = _parts(model)
    kept = 1
    while kept < len(parts) and (parts[-kept] == "model" or parts[-kept].startswith(("step-", "checkpoint"))):
        kept += 1
    last = len(parts) - 1 if parts[-1] == "model" and kept > 1 else len(parts)
    return "-".join(parts[max(0, len(parts) - kept - more) : last])


def _parts(model: str) -> list[str]:
    if is_served(model):
        return [*served_model(model).url.split("/")[2:3], served_model(model).model]
    return list(Path(model).resolve().parts[1:]) if Path(model).exists() else model.split("/")
