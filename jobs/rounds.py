"""`ray job submit --working-dir . -- python -m jobs.rounds SETTINGS [METHOD] [name=value ...] --dir /shared/runs/rounds`."""

import sys

from orchestrator.cli import main

if __name__ == "__main__":
    main(["rounds", *sys.argv[1:]])
