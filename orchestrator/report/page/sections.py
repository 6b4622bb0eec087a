"""The sections of the report, in their order."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.report.page.board import board
from orchestrator.report.page.displacement import displacement
from orchestrator.report.page.effort import effort
from orchestrator.report.page.health import health
from orchestrator.report.page.judging import judging
from orchestrator.report.page.learning import learning
from orchestrator.report.page.lengths import lengths
from orchestrator.report.page.parameters import parameters
from orchestrator.report.page.reproducing import reproducing
from orchestrator.report.page.run import Run
from orchestrator.report.page.samples import samples
from orchestrator.report.page.spending import spending
from orchestrator.report.page.standing import standing


@dataclass(frozen=True)
class Section:
    """`tell` gives its content, None where there is nothing to tell; its template has its name; `drawn` sections have a chart."""

    name: str
    title: str
    tell: Callable[[Run], Any]
    is_drawn: bool = False


SECTIONS = (
    Section("verdict", "Verdict", standing),
    Section("leaderboard", "Leaderboard", board),
    Section("lengths", "Length", lengths, is_drawn=True),
    Section("learning", "Learning", learning, is_drawn=True),
    Section("parameters", "Hyperparameters", parameters, is_drawn=True),
    Section("effort", "More trials", effort, is_drawn=True),
    Section("displacement", "Likelihoods", displacement, is_drawn=True),
    Section("judging", "Judge", judging),
    Section("samples", "Samples", samples),
    Section("health", "Health", health),
    Section("spending", "Spending", spending, is_drawn=True),
    Section("reproducing", "Reproduce", reproducing),
)


def told(run: Run) -> Mapping[str, Any]:
    """Every section's content, by its name."""
    return {section.name: section.tell(run) for section in SECTIONS}
