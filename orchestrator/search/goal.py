"""Which number decides, and on how many prompts it stands."""

from collections.abc import Iterable

from orchestrator.search.ledger import Event

# The figure of a scorecard that a search maximises, as Ray Tune takes it.
METRIC, MODE = "win_rate", "max"


def best_score(scores: Iterable[Event]) -> Event:
    """The best of some score events: among those on the most prompts, the best win rate; the later step on equal ones."""
    return max(scores, key=lambda event: (asked(event), event["scorecard"][METRIC], event["step"]))


def asked(event: Event) -> int:
    """On how many prompts a score stands, those with an unreadable verdict included."""
    return event["scorecard"]["judged"] + event["scorecard"]["unreadable"]
