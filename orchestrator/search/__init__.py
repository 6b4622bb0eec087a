"""Scorecards to the next trial; no Ray here. Called, `orchestrator.search(settings, directory)` runs a search."""

import sys

from orchestrator.front_door import CallableRoom

sys.modules[__name__].__class__ = CallableRoom
