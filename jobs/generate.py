"""`ray job submit --working-dir . -- python -m jobs.generate MODEL --prompts FILE --dir /shared/runs/answers`."""

import sys

from orchestrator.cli import command

if __name__ == "__main__":
    command(["generate", *sys.argv[1:]])
