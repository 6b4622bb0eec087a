"""`ray job submit --working-dir . -- python -m jobs.evaluate MODEL --settings FILE --dir /shared/runs/eval`."""

import sys

from orchestrator.cli import main

if __name__ == "__main__":
    main(["eval", *sys.argv[1:]])
