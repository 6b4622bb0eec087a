"""`ray job submit --working-dir . -- python -m jobs.reward SETTINGS --dir /shared/runs/reward`."""

import sys

from orchestrator.cli import main

if __name__ == "__main__":
    main(["reward", *sys.argv[1:]])
