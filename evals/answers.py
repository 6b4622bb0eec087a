"""Responses with their verdicts as JSONL: all that scorecards are computed from."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from evals.errors import DataFormatError
from evals.generation import Response
from evals.json_lines import json_line
from evals.judging import Verdict
from evals.whole_files import save_rows

_CURE = "restore the file"


def save_answers(file: Path, responses: Sequence[Response], verdicts: Sequence[Verdict]) -> None:
    """Write each response with its verdict; the file is there whole or not at all."""
    rows = [{"response": asdict(r), "verdict": asdict(v)} for r, v in zip(responses, verdicts, strict=True)]
    save_rows(file, rows)


def load_answers(file: Path) -> tuple[list[Response], list[Verdict]]:
    """Invert `save_answers`. Raises DataFormatError for a line that is no response with its verdict."""
    pairs = [_pair(line, f"{file}:{number}") for number, line in enumerate(file.read_bytes().splitlines(), 1)]
    return [response for response, _ in pairs], [verdict for _, verdict in pairs]


def _pair(line: bytes, where: str) -> tuple[Response, Verdict]:
    row = json_line(line, where, _CURE)
    try:
        return Response(**row["response"]), _verdict(row["verdict"])
    except (KeyError, TypeError) as error:
        raise DataFormatError(f"this line is no response with its verdict: {error}", where, _CURE) from error


def _verdict(row: dict[str, object]) -> Verdict:
    both = row["in_both_orders"]
    return Verdict(**{**row, "in_both_orders": tuple(both) if isinstance(both, list) else None})  # pyright: ignore[reportArgumentType]
