"""`ray job submit --working-dir . -- python -m jobs.rounds SETTINGS [METHOD] [name=value ...] --dir /shared/runs/rounds`."""

import sys

from orchestrator.cli import as_process

if __name__ == "__main__":
    as_process(["rounds", *sys.argv[1:]])
