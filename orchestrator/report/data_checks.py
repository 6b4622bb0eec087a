"""What `daa data check` shows: the findings, lengths and margins, and pairs with the tokens that are learned in colour."""

from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from evals.rendering import special_names
from orchestrator.preferences.checks import DataReport, Finding, Histogram
from orchestrator.preferences.pairs import TokenizedPair
from orchestrator.preferences.rows import BadRow, SetAside

_BAR, _WIDTH_OF_A_BAR = "█", 40
_SHOWN_TOKENS, _SHOWN_ROWS = 120, 5
_PROMPT, _CHOSEN, _REJECTED = "dim", "green", "red"


def shown_report(report: DataReport, bounds: Mapping[str, float]) -> RenderableType:
    """All of a report; findings above their bound are refusals, others above the default bound warnings."""
    refused = {found.name for found in report.above(bounds)}
    parts: list[RenderableType] = [*(Text(line) for line in report.kinds)]
    parts.append(Text(f"{report.pairs:,} pairs of {report.rows:,} rows, in a context of {report.context:,} tokens", style="bold"))
    parts += [_findings_table(report.findings, refused, bounds), _lengths_table(report)]
    if report.margins is not None:
        parts.append(_margins(report.margins))
    parts += [Text(note, style="yellow") for note in report.notes]
    warnings = sum(found.is_warning for found in report.findings if found.name not in bounds)
    verdict = f"{len(refused)} refusals, {warnings} warnings" if refused or warnings else "nothing to object to"
    return Group(*parts, Text(verdict, style="bold red" if refused else "bold yellow" if warnings else "bold green"))


def shown_rows(rows: Sequence[BadRow | SetAside], file: Path | None) -> RenderableType:
    """How many rows gave no pair, the first of them with their reasons, and where all of them are."""
    lines = [Text(f"{row.origin}: {row.reason}", style="red" if isinstance(row, BadRow) else "dim") for row in rows[:_SHOWN_ROWS]]
    hint = f"all are in {file}" if file is not None else "--quarantine FILE lists all"
    # A path that is broken over two lines cannot be copied.
    heading = Text(f"{len(rows):,} rows gave no pair; {hint}. The first:", style="bold", no_wrap=True, overflow="ignore")
    return Group(heading, *lines)


def shown_pair(tokenizer: Any, pair: TokenizedPair, origin: str) -> RenderableType:
    """A pair as the model sees it: the prompt, which is not learned, dim, the responses green and red, special tokens reversed."""
    sides = (("prompt", pair.prompt, _PROMPT), ("chosen", pair.chosen, _CHOSEN), ("rejected", pair.rejected, _REJECTED))
    lines = [Text.assemble((f"{name}: ", "bold"), _tokens(tokenizer, tokens, style)) for name, tokens, style in sides]
    return Group(Text(origin, style="bold"), *lines, Text())


def _findings_table(findings: Sequence[Finding], refused: set[str], bounds: Mapping[str, float]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("check", "count", "share", "", "what, and the first places"):
        table.add_column(column, justify="right" if column in {"count", "share"} else "left")
    for found in findings:
        verdict, style = _verdict(found, found.name in refused, found.name in bounds)
        what = Text(found.what)
        if found.places and (verdict or found.name in {"set_aside"}):
            what.append(f": {_short(found.places)}{', …' if found.count > len(found.places) else ''}", style="dim")
        figures = (f"{found.count:,}", f"{found.share:.1%}")
        table.add_row(found.name, *figures, Text(verdict, style=style), what, style="" if found.count else "dim")
    return table


def _short(places: Sequence[str]) -> str:
    """Places without their directories; a file is named once for all of its places that follow each other."""
    told, before = [], ""
    for place in places:
        file, mark, number = place.rpartition(", row " if ", row " in place else ":")
        told.append(f"{mark.strip(', ')}{' ' if 'row' in mark else ''}{number}" if file == before else place.rpartition("/")[2])
        before = file
    return ", ".join(told)


def _verdict(found: Finding, is_refused: bool, is_bounded: bool) -> tuple[str, str]:
    if is_refused:
        return "refused", "bold red"
    return ("warning", "yellow") if found.is_warning and not is_bounded else ("", "")


def _lengths_table(report: DataReport) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("tokens", "mean", "median", "95 %", "largest"):
        table.add_column(column, justify="left" if column == "tokens" else "right")
    for side, spread in report.lengths.items():
        table.add_row(side, *(f"{value:,.0f}" for value in (spread.mean, spread.median, spread.p95, spread.largest)))
    return table


def _margins(margins: Histogram) -> Text:
    """Bars of the chosen minus the rejected reward."""
    text = Text(f"reward margins, chosen minus rejected; mean {margins.mean:.3g}\n")
    most = max(margins.counts)
    for low, high, count in zip(margins.edges, margins.edges[1:], margins.counts, strict=False):
        bar = _BAR * round(_WIDTH_OF_A_BAR * count / most) or ("▏" if count else "")
        text.append(f"{low:9.3g} to {high:<9.3g} {bar} {count:,}\n", style="red" if high <= 0 else "green" if low >= 0 else "")
    text.rstrip()
    return text


def _tokens(tokenizer: Any, tokens: Sequence[int], style: str) -> Text:
    """Tokens as text, the middle of many left out."""
    text = Text()
    half = _SHOWN_TOKENS // 2
    parts = [tokens] if len(tokens) <= _SHOWN_TOKENS else [tokens[:half], tokens[-half:]]
    for number, part in enumerate(parts):
        if number:
            text.append(f" … {len(tokens) - _SHOWN_TOKENS} tokens … ", style="italic")
        for is_special, run in _runs(part, special_names(tokenizer)):
            text.append(tokenizer.decode(run, skip_special_tokens=False), style=f"{style} reverse" if is_special else style)
    return text


def _runs(tokens: Sequence[int], special: Container[int]) -> list[tuple[bool, list[int]]]:
    """Special tokens one by one, the others as long as they follow each other."""
    runs: list[tuple[bool, list[int]]] = []
    for token in tokens:
        if token not in special and runs and not runs[-1][0]:
            runs[-1][1].append(token)
        else:
            runs.append((token in special, [token]))
    return runs
