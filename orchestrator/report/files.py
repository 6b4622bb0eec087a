"""leaderboard.json, answer.json and report.html, all from the ledger."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from orchestrator.report import words
from orchestrator.search.budget import Meter, saved
from orchestrator.search.capability import capabilities
from orchestrator.search.curves import curves
from orchestrator.search.goal import Goal
from orchestrator.search.ladder import correlations
from orchestrator.search.leaderboard import BASE, Row, leaderboard, learning_curves
from orchestrator.search.ledger import Event, read_ledger
from orchestrator.search.verdict import answer

# More lines in one chart cannot be told apart.
MOST_CURVES = 30


def write_reports(directory: Path) -> list[Row]:
    """Write leaderboard.json, answer.json and report.html of a run's directory; returns the leaderboard."""
    events = read_ledger(directory / "ledger.jsonl")
    rows = leaderboard(events, Goal())
    _replace(directory / "leaderboard.json", json.dumps([row.as_dict() for row in rows], indent=2, ensure_ascii=False) + "\n")
    told = answer_ready(events, rows)
    _replace(directory / "answer.json", json.dumps(told, indent=2, ensure_ascii=False) + "\n")
    _replace(directory / "report.html", page(rows, events, told, directory.name))
    return rows


def differing_reports(directory: Path) -> list[str]:
    """The reports of a run's directory that are not, to the last digit, what its ledger makes."""
    events = read_ledger(directory / "ledger.jsonl")
    rows = leaderboard(events, Goal())
    computed = {"leaderboard.json": [row.as_dict() for row in rows], "answer.json": answer_ready(events, rows)}
    written = {name: json.loads((directory / name).read_text(encoding="utf-8")) for name in computed}
    return [name for name, value in computed.items() if json.loads(json.dumps(value)) != written[name]]


def answer_ready(events: Sequence[Event], rows: Sequence[Row]) -> dict[str, Any] | None:
    """The answer with its sentences, what was spent and saved, and how far cheaper measures rank as the judge does; plain JSON values.

    None while nothing is scored.
    """
    found, economy = answer(events, Goal()), saved(events)
    if found is None:
        return None
    spent = Meter(events).spent(events[-1]["time"])
    return {
        **found.as_dict(),
        "sentences": [
            *words.verdict(found),
            *words.cut_short(events),
            *words.capability(measured := capabilities(events)),
            words.economy(spent, economy),
        ],
        "spent": spent.as_dict(),
        "saved": asdict(economy) if economy else None,
        "expected_best": curves(rows, Goal()),
        "capability": [each.as_dict() for each in measured],
        "correlations": {str(each.rung): asdict(each.measured) for each in correlations(events)},
    }


def page(rows: Sequence[Row], events: Sequence[Event], told: dict[str, Any] | None, title: str) -> str:
    """One self-contained HTML page: it needs no network to open."""
    from jinja2 import Environment, PackageLoader

    best = told["finalists"][0]["trial"] if told else None
    scored, drawn = sum(row.trial != BASE and row.win_rate is not None for row in rows), len(with_curves(rows, best))
    environment = Environment(loader=PackageLoader("orchestrator.report"), autoescape=True)
    environment.filters |= {"win_rate": words.win_rate, "hyperparameters": words.hyperparameters}
    return environment.get_template("report.html").render(
        title=title, rows=rows, answer=told, charts=charts(rows, events, best), scored=scored, drawn=drawn
    )


def charts(rows: Sequence[Row], events: Sequence[Event], best: str | None) -> list[str]:
    """Win rate by step of the best trials, and the best to expect of each method by trials, as HTML with their script inside."""
    import plotly.graph_objects as graph

    by_step, by_effort, learning = graph.Figure(), graph.Figure(), learning_curves(events)
    for trial in with_curves(rows, best):
        steps, rates = zip(*learning[trial], strict=True)
        by_step.add_scatter(x=steps, y=rates, name=trial, mode="lines+markers", line={"width": 4 if trial == best else 2})
    for method, expected in curves(rows, Goal()).items():
        by_effort.add_scatter(x=list(range(1, len(expected) + 1)), y=expected, name=method, mode="lines+markers")
    for figure, axis in ((by_step, "step"), (by_effort, "trials of the method")):
        figure.add_hline(y=50, line_dash="dot", annotation_text="equal to the base model")
        figure.update_layout(xaxis_title=axis, yaxis_title="win rate %", template="plotly_white", height=480, margin={"t": 20})
    return [by_step.to_html(full_html=False, include_plotlyjs=True), by_effort.to_html(full_html=False, include_plotlyjs=False)]


def with_curves(rows: Sequence[Row], best: str | None) -> list[str]:
    """The trials whose win rate is drawn by step: the first of the leaderboard, and the best of all where it is not among them."""
    scored = [row.trial for row in rows if row.trial != BASE and row.win_rate is not None]
    return [*scored[:MOST_CURVES], *(trial for trial in scored[MOST_CURVES:] if trial == best)]


def _replace(file: Path, text: str) -> None:
    partial = file.with_name(f".{file.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(file)
