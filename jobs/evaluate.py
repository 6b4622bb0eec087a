"""`ray job submit --working-dir . -- python -m jobs.evaluate MODEL --settings FILE --dir /shared/runs/eval`."""

import sys

from orchestrator.cli import command

if __name__ == "__main__":
    command(["eval", *sys.argv[1:]])
