"""`ray job submit --working-dir . -- python -m jobs.search jobs/examples/demo.toml --dir /shared/runs/demo`."""

import sys

from orchestrator.cli import command

if __name__ == "__main__":
    command(["search", *sys.argv[1:]])
