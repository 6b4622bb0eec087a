"""`ray job submit --working-dir . -- python -m jobs.reward SETTINGS --dir /shared/runs/reward`."""

import sys

from orchestrator.cli import as_process

if __name__ == "__main__":
    as_process(["reward", *sys.argv[1:]])
