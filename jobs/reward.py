"""`ray job submit --working-dir . -- python -m jobs.reward SETTINGS --dir /shared/runs/reward`."""

import sys

from orchestrator.cli import command

if __name__ == "__main__":
    command(["reward", *sys.argv[1:]])
