"""Responses with their verdicts as JSONL: all that scorecards are computed from."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from evals.generation import Response
from evals.json_lines import json_line
from evals.judging import Verdict


def save_answers(file: Path, responses: Sequence[Response], verdicts: Sequence[Verdict]) -> None:
    """Write each response with its verdict; the file is there whole or not at all."""
    rows = [{"response": asdict(r), "verdict": asdict(v)} for r, v in zip(responses, verdicts, strict=True)]
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    partial.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    partial.replace(file)


def load_answers(file: Path) -> tuple[list[Response], list[Verdict]]:
    """Invert `save_answers`. Raises DataFormatError for a line that is no JSON."""
    rows = [json_line(line, f"{file}:{number}") for number, line in enumerate(file.read_bytes().splitlines(), 1)]
    return [Response(**row["response"]) for row in rows], [_verdict(row["verdict"]) for row in rows]


def _verdict(row: dict[str, object]) -> Verdict:
    both = row["in_both_orders"]
    return Verdict(**{**row, "in_both_orders": tuple(both) if isinstance(both, list) else None})  # pyright: ignore[reportArgumentType]
