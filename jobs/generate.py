"""`ray job submit --working-dir . -- python -m jobs.generate MODEL --prompts FILE --dir /shared/runs/answers`."""

import sys

from orchestrator.cli import as_process

if __name__ == "__main__":
    as_process(["generate", *sys.argv[1:]])
