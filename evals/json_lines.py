"""One line of a JSON Lines file."""

import json
from typing import Any

from evals.errors import DataFormatError

ONE_OBJECT = "write one JSON object on each line"


def json_line(line: str | bytes, origin: str, cure: str = ONE_OBJECT) -> Any:
    """The line's value. Raises DataFormatError at `origin`, such as "rows.jsonl:3", for a line that is not JSON."""
    try:
        return json.loads(line)
    except ValueError as error:
        raise DataFormatError(f"this line is not JSON: {error}", origin, cure) from error
