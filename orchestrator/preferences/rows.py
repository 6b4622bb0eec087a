"""What reading data gives besides pairs: rows as they lie, rows that cannot be read, and rows that say nothing about a preference."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evals.json_lines import parsed_json
from evals.whole_files import replacing
from orchestrator.errors import DataFormatError, UserError

PAIR_HELP = (
    'each row needs "prompt", "chosen" and "rejected" (text, or lists of {"role", "content"} messages); '
    'other names are given as data.columns = { prompt = "question" }, to `daa data` as --column prompt=question'
)
_LEFT_OUT = 'or leave out such rows, and list them in the run\'s quarantine.jsonl: data.bad_rows = "quarantine"'
_TOLD = ("where", "reason", "row")


class RowError(ValueError):
    """Why a row is no pair; `kind` as in BadRow. `cure` is empty where that of the row's format is right."""

    def __init__(self, kind: str, reason: str, cure: str = "") -> None:
        super().__init__(reason)
        self.kind, self.cure = kind, cure


@dataclass(frozen=True)
class Row:
    """One row: the file and the place it comes from, such as "pairs.jsonl:7", and its values by column."""

    file: str
    origin: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be used: where it lies, why, the cure, and what it holds. `kind` is the name of its check (see `checks.CHECKS`)."""

    file: str
    origin: str
    reason: str
    cure: str
    content: Any = None
    kind: str = "unreadable"

    def error(self) -> DataFormatError:
        """The refusal of the data for this row."""
        return DataFormatError(self.reason, self.origin, f"{self.cure}; {_LEFT_OUT}")


def unfit(errors: Iterable[UserError]) -> tuple[BadRow, ...]:
    """The rows whose pairs cannot be used, each once, however many pairs it gave."""
    return tuple({error.where: BadRow("", error.where, error.what, error.cure) for error in errors}.values())


def unfit_error(error: UserError) -> DataFormatError:
    """The refusal of the data for a row whose pair cannot be used."""
    return unfit([error])[0].error()


@dataclass(frozen=True)
class SetAside:
    """A row that can be read and prefers nothing: a tie, or a prompt with responses of one kind only."""

    file: str
    origin: str
    reason: str
    content: Any = None


def write_quarantine(file: Path, rows: Iterable[BadRow | SetAside]) -> int:
    """Write rows that gave no pair, each with its place and reason, as JSON lines; returns how many."""
    count = 0
    with replacing(file) as lines:
        for row in rows:
            told = zip(_TOLD, (row.origin, row.reason, row.content), strict=True)
            lines.write(json.dumps(dict(told), ensure_ascii=False, default=str) + "\n")
            count += 1
    return count


def is_quarantine(file: Path) -> bool:
    """Whether a file is what `write_quarantine` wrote, as its first line tells; an empty one may be."""
    with file.open("rb") as lines:
        first = lines.readline()
    try:
        return not first or tuple(parsed_json(first)) == _TOLD
    except (TypeError, ValueError):
        return False
