"""`ray job submit --working-dir . -- python -m jobs.evaluate MODEL --settings FILE --dir /shared/runs/eval`."""

import sys

from orchestrator.cli import as_process

if __name__ == "__main__":
    as_process(["eval", *sys.argv[1:]])
