"""`ray job submit --working-dir . -- python -m jobs.search jobs/examples/demo.toml --dir /shared/runs/demo`."""

import sys

from orchestrator.cli import as_process

if __name__ == "__main__":
    as_process(["search", *sys.argv[1:]])
