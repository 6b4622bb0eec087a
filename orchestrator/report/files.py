"""leaderboard.json and report.html, both from the ledger."""

import json
from collections.abc import Sequence
from pathlib import Path

from orchestrator.report import words
from orchestrator.search.goal import Goal
from orchestrator.search.leaderboard import HeldOut, Row, held_out, leaderboard, learning_curve, winner
from orchestrator.search.ledger import Event, read_ledger


def write_reports(directory: Path) -> list[Row]:
    """Write both files of a run's directory; returns the leaderboard."""
    events = read_ledger(directory / "ledger.jsonl")
    rows = leaderboard(events, Goal())
    _replace(directory / "leaderboard.json", json.dumps([row.as_dict() for row in rows], indent=2, ensure_ascii=False) + "\n")
    _replace(directory / "report.html", page(rows, events, directory.name))
    return rows


def page(rows: Sequence[Row], events: Sequence[Event], title: str) -> str:
    """One self-contained HTML page: it needs no network to open."""
    from jinja2 import Environment, PackageLoader

    environment = Environment(loader=PackageLoader("orchestrator.report"), autoescape=True)
    environment.filters |= {"win_rate": words.win_rate, "hyperparameters": words.hyperparameters}
    found, best = held_out(events), winner(rows)
    return environment.get_template("report.html").render(
        title=title, rows=rows, best=best, verdict=words.verdict(found) if found else None, chart=_chart(rows, events, found)
    )


def _chart(rows: Sequence[Row], events: Sequence[Event], found: HeldOut | None) -> str:
    """Win rate by step of every trial, as HTML with its script inside."""
    import plotly.graph_objects as graph

    figure = graph.Figure()
    for row in rows:
        curve = learning_curve(events, row.trial)
        if curve:
            steps, rates = zip(*curve, strict=True)
            width = 4 if found and row.trial == found.trial else 2
            figure.add_scatter(x=steps, y=rates, name=row.trial, mode="lines+markers", line={"width": width})
    figure.add_hline(y=50, line_dash="dot", annotation_text="equal to the base model")
    figure.update_layout(xaxis_title="step", yaxis_title="win rate %", template="plotly_white", height=480, margin={"t": 20})
    return figure.to_html(full_html=False, include_plotlyjs=True)


def _replace(file: Path, text: str) -> None:
    partial = file.with_name(f".{file.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(file)
