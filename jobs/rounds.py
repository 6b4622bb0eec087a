"""`ray job submit --working-dir . -- python -m jobs.rounds SETTINGS [METHOD] [name=value ...] --dir /shared/runs/rounds`."""

import sys

from orchestrator.cli import command

if __name__ == "__main__":
    command(["rounds", *sys.argv[1:]])
