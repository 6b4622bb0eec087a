"""The report as one HTML file that opens without a network, and in which no text of a model, a data set or a judge can do anything."""

import base64
import hashlib
import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from orchestrator import figures
from orchestrator.report import words
from orchestrator.report.page.run import Run
from orchestrator.report.page.sections import SECTIONS, told

# Charts need no more digits than a screen has points.
_DIGITS = 6
# Plotly makes one style sheet without a text, and fills it by script.
_EMPTY = "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="

# Its style sheet for maps, which nothing here draws: it is not made where an element has its name.
_STYLE_OF_MAPS = re.compile(r'document\.getElementById\("([0-9a-f]{64})"\)')


def page(run: Run, is_live: bool = False) -> str:
    """The whole page; a live one asks the server that it came from for news."""
    css, plotly, script = _own("page.css"), plotly_js(), _own("charts.js") + _own("page.js")
    policy = {
        "default-src": "'none'",
        "script-src": f"'{_hash(plotly)}' '{_hash(script)}'",
        "style-src": f"'{_hash(css)}' '{_EMPTY}'",
        "img-src": "data: blob:",
        "connect-src": "'self'" if is_live else "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return (
        _environment()
        .get_template("report.html")
        .render(
            run=run,
            is_live=is_live,
            policy="; ".join(f"{name} {value}" for name, value in policy.items()),
            css=css,
            plotly=plotly,
            unwanted_styles=re.findall(_STYLE_OF_MAPS, plotly),
            script=script,
            content=content(run),
        )
    )


def content(run: Run) -> str:
    """The sections, and what their charts are drawn from: all of the page that changes while a search runs."""
    section = told(run)
    drawn = {each.name: section[each.name] for each in SECTIONS if each.is_drawn and section[each.name] is not None}
    methods = list(dict.fromkeys(row.method for row in run.scored))
    data = embedded({"methods": methods, "best": run.best, **drawn})
    return _environment().get_template("content.html").render(sections=SECTIONS, told=section, run=run, data=data)


def embedded(value: Any) -> str:
    """JSON that may stand in an HTML script element, whatever texts it holds; numbers that are none are null."""
    text = json.dumps(rounded(value), allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def rounded(value: Any) -> Any:
    """The same, with floats to so many digits."""
    match value:
        case float():
            return float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None
        case Mapping():
            return {key: rounded(each) for key, each in value.items()}
        case list() | tuple():
            return [rounded(each) for each in value]
        case _:
            return value


@cache
def plotly_js() -> str:
    """The library that draws, as plotly's package has it."""
    return (files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8")


@cache
def _own(name: str) -> str:
    return (files("orchestrator.report") / "templates" / name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("orchestrator.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "hyperparameters": words.hyperparameters,
        "p_value": words.p_value,
        "interval": interval,
        "signed": signed,
        "number": number,
        "length_with": words.length,
        "duration": duration,
        "amount": words.amount,
        "moment": moment,
        "outcome": figures.outcome,
    }
    return environment


def interval(of: Mapping[str, Any]) -> str:
    """A win rate with its 95 % interval."""
    return "not scored" if of["win_rate"] is None else figures.with_interval(of)


def signed(value: float | None) -> str:
    """A difference in points."""
    return "" if value is None else figures.signed(value)


def number(value: float | None, digits: int = 0) -> str:
    """A number; nothing where it is not known."""
    return "" if value is None else f"{value:z,.{digits}f}"


def duration(hours: float) -> str:
    """A time in the unit that fits it."""
    return figures.duration(hours, "min", "h")


def moment(time: float | None) -> str:
    """A moment in UTC."""
    return "" if time is None else f"{datetime.fromtimestamp(time, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
