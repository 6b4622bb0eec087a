"""`ray job submit --working-dir . -- python -m jobs.train SETTINGS METHOD [name=value ...] --dir /shared/runs/one`."""

import sys

from orchestrator.cli import as_process

if __name__ == "__main__":
    as_process(["train", *sys.argv[1:]])
