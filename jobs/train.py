"""`ray job submit --working-dir . -- python -m jobs.train SETTINGS METHOD [name=value ...] --dir /shared/runs/one`."""

import sys

from orchestrator.cli import command

if __name__ == "__main__":
    command(["train", *sys.argv[1:]])
