"""Preference data in, as files of this machine: JSONL (plain or gzipped) and Parquet rows become PreferencePairs."""

import gzip
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from evals.json_lines import json_line
from evals.prompts import Message
from orchestrator.errors import DataFormatError
from orchestrator.preferences.pairs import PreferencePair, ScoredResponse

_REWARD_NAMES = (("chosen_reward", "rejected_reward"), ("score_chosen", "score_rejected"))
_SCORED_NAMES = (("responses", "rewards"), ("all_generated_responses", "all_rm_scores"))
_ROW_HELP = 'each row needs "prompt", "chosen" and "rejected" (text, or lists of {"role", "content"} messages)'
_SCORED_HELP = 'each row needs "prompt", "responses" (two or more texts) and "rewards" (one number for each)'


def load_pairs(path: str | Path, limit: int | None = None) -> list[PreferencePair]:
    """Read preference pairs from a .jsonl, .jsonl.gz, .json.gz or .parquet file.

    Raises DataFormatError with file, line and cure for a missing file, an empty file or a row that is no pair.
    """
    file = Path(path)
    if not file.is_file():
        raise DataFormatError(f"there is no data file {file}", "data.train", "give the path of a JSONL or Parquet file")
    pairs = []
    for origin, row in _rows(file):
        pairs.append(_pair(row, origin))
        if limit is not None and len(pairs) == limit:
            break
    if not pairs:
        raise DataFormatError("the data file has no rows", str(file), _ROW_HELP)
    return pairs


def _rows(file: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if file.suffix == ".parquet":
        yield from _parquet_rows(file)
        return
    opener = gzip.open if file.suffix == ".gz" else open
    number = 0
    try:
        with opener(file, "rb") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield f"{file}:{number}", _parsed(line, f"{file}:{number}")
    except (EOFError, OSError, zlib.error) as error:
        raise DataFormatError(f"the file is damaged: {error}", f"{file}, after line {number}", "copy or download it again") from error


def _parquet_rows(file: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    from pyarrow import ArrowException
    from pyarrow.parquet import read_table

    try:
        rows = read_table(file).to_pylist()
    except (ArrowException, OSError) as error:
        raise DataFormatError(f"this is not a readable Parquet file: {error}", str(file), "copy or download it again") from error
    for number, row in enumerate(rows, 1):
        yield f"{file}, row {number}", row


def _parsed(line: bytes, origin: str) -> Mapping[str, Any]:
    row = json_line(line, origin)
    if not isinstance(row, dict):
        raise DataFormatError("this line is not a JSON object", origin, _ROW_HELP)
    return row


def _pair(row: Mapping[str, Any], origin: str) -> PreferencePair:
    scored = next(((row[a], row[b]) for a, b in _SCORED_NAMES if row.get(a) is not None and row.get(b) is not None), None)
    try:
        return _preference(row, origin) if scored is None else _ranked(row.get("prompt"), *scored, origin)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise DataFormatError(f"this row cannot be read: {error!r}", origin, _SCORED_HELP if scored else _ROW_HELP) from error


def _ranked(prompt: Any, responses: Sequence[Any], rewards: Sequence[Any], origin: str) -> PreferencePair:
    """A pair from K scored responses: the best is the chosen one, the worst the rejected one, the rest are the others."""
    if not prompt:
        raise DataFormatError("this row has no `prompt`", origin, _SCORED_HELP)
    if isinstance(responses, str) or isinstance(rewards, str):
        raise TypeError("`responses` and `rewards` are lists")
    if len(responses) != len(rewards) or len(responses) < 2:
        raise DataFormatError(f"this row has {len(responses)} responses and {len(rewards)} rewards", origin, _SCORED_HELP)
    scored = [ScoredResponse(_text(response), _reward(reward)) for response, reward in zip(responses, rewards, strict=True)]
    best, *others, worst = sorted(scored, key=lambda response: -response.reward)
    return PreferencePair(_messages(prompt), best.text, worst.text, best.reward, worst.reward, origin, tuple(others))


def _preference(row: Mapping[str, Any], origin: str) -> PreferencePair:
    missing = [name for name in ("chosen", "rejected") if not row.get(name)]
    if missing:
        found = ", ".join(sorted(row)) or "nothing"
        raise DataFormatError(f"this row has no `{missing[0]}` (it has: {found})", origin, _ROW_HELP)
    prompt = row.get("prompt")
    if prompt is None and isinstance(row["chosen"], list):
        prompt = row["chosen"][:-1]
    if not prompt:
        raise DataFormatError("this row has no `prompt`", origin, _ROW_HELP)
    rewards = next(((row[a], row[b]) for a, b in _REWARD_NAMES if row.get(a) is not None and row.get(b) is not None), (None, None))
    values = [None if reward is None else _reward(reward) for reward in rewards]
    return PreferencePair(_messages(prompt), _text(row["chosen"]), _text(row["rejected"]), *values, origin=origin)


def _messages(prompt: str | list[dict[str, str]]) -> tuple[Message, ...]:
    if isinstance(prompt, str):
        return (Message("user", prompt),)
    if not all(isinstance(turn["content"], str) for turn in prompt):
        raise ValueError("a message has no text")
    return tuple(Message(turn["role"], turn["content"]) for turn in prompt)


def _text(response: str | list[dict[str, str]]) -> str:
    content = response if isinstance(response, str) else response[-1]["content"]
    if not isinstance(content, str) or not content:
        raise ValueError("a response has no text")
    return content


def _reward(value: float) -> float:
    if not math.isfinite(float(value)):
        raise ValueError(f"a reward is {value}")
    return float(value)
