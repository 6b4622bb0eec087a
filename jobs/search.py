"""`ray job submit --working-dir . -- python -m jobs.search jobs/examples/demo.toml --dir /shared/runs/demo`."""

import sys

from orchestrator.cli import main

if __name__ == "__main__":
    main(["search", *sys.argv[1:]])
