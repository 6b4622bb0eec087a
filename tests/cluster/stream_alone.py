"""Streams a set with a Ray of its own, for tests that end it in the middle: `python -m tests.cluster.stream_alone DIRECTORY`."""

import json
import sys
from pathlib import Path

from orchestrator.cluster.session import ray_session
from orchestrator.cluster.workers.streaming import stream_inputs
from orchestrator.settings import ClusterSettings, Settings

if __name__ == "__main__":
    directory = Path(sys.argv[1])
    settings = Settings.model_validate(json.loads((directory / "settings.json").read_text()))
    with ray_session(ClusterSettings(workers=1, cpus_per_worker=0.5), directory):
        stream_inputs(settings, directory, print)
