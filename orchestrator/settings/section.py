"""What every part of the settings is."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from evals.secrets import variables

# What runs share lies here unless settings or the command line name another place.
DEFAULT_CACHE = Path("~/.cache/daa-orchestrator")
# A Hugging Face directory or hub identifier, or a name that an endpoint knows.
ModelName = Annotated[str, Field(min_length=1)]
# Storage may have an account before an @, and no password; a web address, a token. Git's part a repository and a branch like that.
_PASSWORD = re.compile(r"(?<!github)(?<!git)://[^/?#]*:[^/?#]*@|https?://[^/?#]*@", re.IGNORECASE)
# Parts of a query that open an address to everybody who has them.
_SIGNATURE = re.compile(r"[?&](?:X-[a-z]+-Signature|Signature|sig|(?:access_)?token|api_?key)=(?!\$\{)", re.IGNORECASE)
_OF_DATA = re.compile(r"DATA_(?:[A-Z0-9_]+_)?TOKEN")


def _without_secrets(address: str) -> str:
    """The address as it is. Raises ValueError for one with a name and password, a token or a signature."""
    shown = "since settings are written to files and shown"
    if _PASSWORD.search(address):
        cure = "leave them out: fsspec reads credentials from its own configuration and environment"
        raise ValueError(f"an address holds no name or password, {shown}; {cure}")
    if "://" in address and _SIGNATURE.search(address):
        cure = 'put the query into an environment variable, DATA_TOKEN say, and write "https://...?${DATA_TOKEN}"'
        raise ValueError(f"an address holds no signature, {shown}; {cure}")
    for name in variables(address):
        if not _OF_DATA.fullmatch(name):
            raise ValueError(f"{name} is not for addresses: settings might send any key anywhere; call it DATA_TOKEN or DATA_NAME_TOKEN")
    return address


# A path, or an address that fsspec opens.
Address = Annotated[str, AfterValidator(_without_secrets)]
# A hyperparameter's value: what it may be, the method knows.
AnyValue = Annotated[float, Field(allow_inf_nan=True)] | int | str | bool

# What libraries count and draw with has 64 bits.
_LARGEST = 2**63 - 1


class Section(BaseModel):
    """A part of the settings: immutable, no key without a meaning, and no number that is infinite, unknown or a truth value."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True)

    @classmethod
    def number(cls, key: str) -> type[float] | None:
        """What kind of number a setting is: int or float; None for what is no number, or only one of a few."""
        kinds = set(_kinds(cls.model_fields[key].annotation))
        return float if float in kinds else int if int in kinds else None

    @model_validator(mode="before")
    @classmethod
    def _numbers(cls, values: Any) -> Any:
        """Refuse true and false in the place of a number, which pydantic takes for 1 and 0, and integers that no library takes."""
        known = {key: field.annotation for key, field in cls.model_fields.items()}
        given = values.items() if isinstance(values, Mapping) else ()
        problems = [
            InitErrorDetails(type=PydanticCustomError("number", "{problem}", {"problem": problem}), loc=path, input=value)
            for key, value in given
            if key in known
            for path, problem in _problems(known[key], (key,), value)
        ]
        if problems:
            raise ValidationError.from_exception_data(cls.__name__, problems)
        return values


def _problems(annotation: Any, path: tuple[str | int, ...], value: Any) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """What is not the number that a field wants, the field's value or a part of it, by its path. Sections look at their own fields."""
    kinds = list(_kinds(annotation))
    if any(isinstance(kind, type) and issubclass(kind, BaseModel) for kind in kinds):
        return
    is_number = bool not in kinds and any(kind in (int, float) or isinstance(kind, int) for kind in kinds)
    parts = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list | tuple) else [(None, value)]
    for name, part in parts:
        place = path if name is None else (*path, name)
        if isinstance(part, bool) and is_number:
            yield place, f"{str(part).lower()} is no number: write digits"
        elif isinstance(part, int) and abs(part) > _LARGEST:
            yield place, "the number takes more than 64 bits: give a smaller one"


def _kinds(annotation: Any) -> Iterator[Any]:
    """The classes, and the literal values, that an annotation is made of."""
    parts = get_args(annotation)
    if not parts:
        yield annotation
    for part in parts:
        yield from _kinds(part)
