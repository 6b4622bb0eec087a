"""The report as Markdown: what one puts into an issue or a message."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from orchestrator.report import words
from orchestrator.report.page.html import duration, interval, moment, number, signed
from orchestrator.report.page.run import Run
from orchestrator.report.page.sections import told
from orchestrator.report.plain_text import plain, visible

MOST_ROWS, _MOST_EVENTS = 30, 20


def markdown(run: Run) -> str:
    """Verdict, finals, leaderboard, judge, health, spending and how to reproduce it; charts and samples are on the page."""
    section = told(run)
    parts = (_verdict, _leaderboard, _likelihoods, _judge, _health, _spending, _reproducing)
    lines = [f"# {plain(run.title)}", "", *(line for part in parts for line in part(section))]
    return visible("\n".join(lines).rstrip()) + "\n"


def _table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    return [_row(heads), "|" + "---|" * len(heads), *(_row([plain(cell) for cell in row]) for row in rows), ""]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _verdict(section: Mapping[str, Any]) -> Iterator[str]:
    found = section["verdict"]
    if found["answer"] is None:
        yield from ("Nothing is scored yet.", "")
        return
    yield from (f"- {plain(sentence)}" for sentence in found["answer"]["sentences"])
    yield from ("", f"State: {plain(found['phase'])}, as of {moment(found['until'])}. The winner: {plain(found['best']['checkpoint'])}", "")
    if found["is_fresh"]:
        yield from ("## Finals", "")
        each = found["answer"]["finalists"]
        rows = [(one["trial"], words.hyperparameters(one["hyperparameters"]), interval(one), one["prompts"], one["seeds"]) for one in each]
        yield from _table(("trial", "hyperparameters", "win rate % (95 %)", "prompts", "seeds"), rows)


def _leaderboard(section: Mapping[str, Any]) -> Iterator[str]:
    rows = section["leaderboard"]["rows"]
    yield from ("## Leaderboard", "")
    yield from _table(
        ("", "trial", "hyperparameters", "win rate % (95 %)", "judged", "length", "status"),
        [
            (
                row["place"],
                row["trial"],
                words.hyperparameters(row["hyperparameters"]),
                interval(row),
                row["judged"],
                words.length(row["mean_length"], row["unfinished"]),
                f"{row['status']}: {row['reason']}" if row["reason"] else row["status"],
            )
            for row in rows[:MOST_ROWS]
        ],
    )
    if len(rows) > MOST_ROWS:
        yield from (f"The first {MOST_ROWS} of {len(rows) + section['leaderboard']['left_out']}.", "")


def _likelihoods(section: Mapping[str, Any]) -> Iterator[str]:
    if section["displacement"] is None:
        return
    yield from ("## Likelihoods", "", "Changes of log-probabilities in nats, summed over a response's tokens.", "")
    rows = [
        (each["trial"], signed(each["chosen_change"]), signed(each["rejected_change"]), number(each["margin"], 2), each["health"])
        for each in section["displacement"]
    ]
    yield from _table(("trial", "chosen", "rejected", "margin at the end", "health"), rows)


def _judge(section: Mapping[str, Any]) -> Iterator[str]:
    found = section["judging"]
    if found is None:
        return
    yield from ("## Judge", "", plain(", ".join(found["judges"])), "")
    rows = [
        (each["name"], interval(each), *each["outcomes"].values(), each["unreadable"], _share(each["swap_consistency"]))
        for each in found["verdicts"]
    ]
    yield from _table(("run", "win rate % (95 %)", "wins", "ties", "losses", "unreadable", "same winner in both orders"), rows)


def _share(value: float | None) -> str:
    return "not asked" if value is None else f"{100 * value:.0f} %"


def _health(section: Mapping[str, Any]) -> Iterator[str]:
    found = section["health"]
    yield from ("## Health", "")
    if not found["events"]:
        yield from ("Nothing went wrong.", "")
        return
    yield from (f"- {plain(each['trial'])} {plain(each['what'])}: {plain(each['detail'])}" for each in found["events"][:_MOST_EVENTS])
    left = len(found["events"]) + found["left_out"] - _MOST_EVENTS
    yield from ([f"- and {left} more", ""] if left > 0 else [""])


def _spending(section: Mapping[str, Any]) -> Iterator[str]:
    found = section["spending"]
    if found is None:
        return
    yield from ("## Spending", "")
    for name in ("spent", "expected"):
        if found[name] is not None:
            has = found[name]
            gpus = f", {has['gpu_hours']:.1f} GPU-hours" if has["gpu_hours"] else ""
            paid = f", {has['cost']:.2f} paid to the judge" if has["cost"] else ""
            yield f"- {name}: {duration(has['hours'])}, {has['judgments']:,} judgments{gpus}{paid}"
    for each in found["foreseen"]:
        seen, unit = each["expected"], each["unit"]
        span = "" if seen["low"] == seen["high"] else f" ({words.amount(seen['low'], unit)} to {words.amount(seen['high'], unit)})"
        yield f"- {each['name']}: {words.amount(seen['expected'], unit)}{span} foreseen, {words.amount(each['real'], unit)} real"
    yield ""


def _reproducing(section: Mapping[str, Any]) -> Iterator[str]:
    found = section["reproducing"]
    yield from ("## Reproduce", "")
    for session in found["sessions"]:
        git = session["git"]
        code = "state of the code not told" if not git else f"commit {git['commit']}{' with uncommitted changes' if git['changes'] else ''}"
        yield f"- {moment(session['time'])}: {plain(session['command'] or 'command not told')}; {plain(code)}"
        if session["versions"]:
            yield f"- versions: {plain(', '.join(f'{name} {version}' for name, version in session['versions'].items()))}"
    yield from (f"- prompts{' (held-out)' if each['is_fresh'] else ''}: SHA-256 {each['sha256']}" for each in found["prompts"])
    if found["settings"]:
        yield from ("", "````json", found["settings"].replace("````", "` ` ` `"), "````", "")
