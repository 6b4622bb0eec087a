"""`python -m jobs.status DIR`: how far the search has come whose directory this machine sees, as one line of JSON; it asks nobody else."""

import json
import sys
from pathlib import Path

from orchestrator.errors import DaaError
from orchestrator.search.progress import progress_in


def main(directory: str) -> None:
    """Print it, or why there is none to standard error with code 1."""
    try:
        print(json.dumps(progress_in(Path(directory)).as_dict()))
    except DaaError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(sys.argv[1])
