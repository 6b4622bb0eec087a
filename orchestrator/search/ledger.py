"""The append-only record of everything that was measured. What is not in it did not happen."""

import asyncio
import errno
import json
import os
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from sys import intern
from typing import IO, Any

from evals.json_lines import parsed_json
from orchestrator.errors import MachineError
from orchestrator.search.clock import now

Event = dict[str, Any]
# The figures of a scorecard that a ranking shows.
CARD = ("win_rate", "low", "high", "judged", "unreadable", "mean_length", "seconds")
# Events whose verdicts were asked for.
JUDGED = {"baseline", "score", "veto", "held_out"}

# What is told under a key, in whatever event.
_KINDS: Mapping[str, type] = {
    **dict.fromkeys(("trial", "run", "gang", "method", "status", "reason", "checkpoint"), str),
    **dict.fromkeys(("step", "attempt", "seed", "until", "from_step"), int),
    **dict.fromkeys(("hyperparameters", "training", "scorecard", "verdicts", "proxies"), dict),
    **dict.fromkeys(("rungs", "scores"), list),
}
_NUMBERS = {int, float}
_BLOCK = 1 << 16
_VERDICTS: dict[float | None, float] = {score: score for score in (0.0, 0.5, 1.0)}


class Events(Sequence[Event]):
    """Events of a ledger in their order. Those of a kind are at hand: asking for them does not pass through the others."""

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self._all: list[Event] = []
        self._kinds: dict[str, list[Event]] = {}
        for event in events:
            self.add(event)

    def add(self, event: Event) -> None:
        """Take in the event that comes next."""
        self._all.append(event)
        self._kinds.setdefault(event["event"], []).append(event)

    def __len__(self) -> int:
        return len(self._all)

    def __getitem__(self, place: Any) -> Any:
        return self._all[place]

    def __iter__(self) -> Iterator[Event]:
        return iter(self._all)

    def of(self, *kinds: str, trial: str | None = None) -> list[Event]:
        """All events of these kinds, those of the first kind first; those about a `trial` alone where one is given."""
        return [event for kind in kinds for event in self._kinds.get(kind, ()) if trial is None or event["trial"] == trial]

    def first(self, kind: str) -> Event | None:
        """The first event of a kind; None where there is none."""
        return next(iter(self._kinds.get(kind, ())), None)

    def last(self, kind: str) -> Event | None:
        """The last event of a kind; None where there is none."""
        return next(reversed(self._kinds.get(kind, ())), None)

    def score_at(self, trial: str, step: int | None) -> Event | None:
        """The last score of a trial's checkpoint; None where it has none."""
        return next((event for event in reversed(self.of("score", trial=trial)) if event["step"] == step), None)

    @property
    def judged(self) -> list[Event]:
        """Those whose verdicts were asked for."""
        return [event for event in self._all if event["event"] in JUDGED]

    @property
    def left_out(self) -> list[Event]:
        """Runs of the finals that their judge could not judge."""
        return [event for event in self.of("unreadable") if "run" in event]

    @property
    def trials(self) -> set[str]:
        """The trials that were proposed. Runs of the finals, which train to a given step, are none."""
        return {event["trial"] for event in self.of("trial") if "until" not in event}

    @property
    def gave_way(self) -> int:
        """How many runs ended because another one, which took up the training of a better one, goes on in their place."""
        return sum("parent" in event for event in self.of("trial"))

    @property
    def over(self) -> int:
        """How many trials of the search are over. A run that another one took the place of is none: the trial goes on."""
        trials = self.trials
        return sum(event["trial"] in trials for event in self.of("end")) - self.gave_way

    @property
    def reached(self) -> set[tuple[str, int]]:
        """The checkpoints that the search's trials came to: trial and step."""
        trials = self.trials
        return {(event["trial"], event["step"]) for event in self.of("checkpoint") if event["trial"] in trials}

    @property
    def session(self) -> "Events":
        """Those of the latest session, a start of the search."""
        begun = next((number for number in reversed(range(len(self))) if self[number]["event"] == "begin"), 0)
        return Events(self[begun:])

    @property
    def within_finals(self) -> bool:
        """Whether the latest session has come to its finals."""
        return self.session.last("finals") is not None


class LedgerWriter:
    """The one writer of a ledger file. A line that a fault left half-written is cut off when the file is opened again."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            with path.open("r+b") as file:
                file.truncate(_end_of_lines(file))
        self._path = path
        self._file = path.open("a+b", buffering=0)

    def append(self, event: str, **values: Any) -> None:
        """Write one event and wait until it is on the disk. Raises MachineError when it cannot be written, and leaves no part of it."""
        self.append_lines([line_of(event, values)])

    def append_lines(self, lines: Sequence[bytes], after: int | None = None) -> int:
        """Write several events, all of them or none, and wait for the disk once; otherwise as `append`. Returns where the ledger ends.

        `after` is where it ended before: what lies there of these same events, left by a process that was killed, is not written again.
        """
        whole = b"".join(lines)
        there = 0 if after is None else self._length_there(whole, after)
        before, rest = os.fstat(self._file.fileno()).st_size - there, whole[there:]
        try:
            if self._file.write(rest) != len(rest):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._file.fileno())
        except OSError as error:
            with suppress(OSError):
                self._file.truncate(before)
            raise MachineError(
                f"the ledger cannot be written: {error}", str(self._path), "free some disk space, then resume", code="DAA-0701"
            ) from error
        return before + len(whole)

    def _length_there(self, whole: bytes, after: int) -> int:
        """How many bytes of these lines are all that lies `after` there."""
        there = os.pread(self._file.fileno(), len(whole) + 1, after)
        return len(there) if whole.startswith(there) else 0


class SharedWriter:
    """Lets many coroutines of one process write to one ledger: what arrives while the disk is waited for shares the next wait."""

    def __init__(self, write: Callable[[list[bytes], int | None], Awaitable[int]]) -> None:
        """`write` is a LedgerWriter's `append_lines`, or asks for it, again if need be: what it did already it does not do twice."""
        self._write = write
        self._end: int | None = None
        self._arrived: list[tuple[bytes, asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None

    async def append(self, event: str, **values: Any) -> None:
        """As a LedgerWriter's: returns when the event is on the disk, raises when it is not. Events lie in the order of their arrival."""
        is_written = asyncio.get_running_loop().create_future()
        self._arrived.append((line_of(event, values), is_written))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_what_arrives())
        await is_written

    async def _write_what_arrives(self) -> None:
        while self._arrived:
            together, self._arrived = self._arrived, []
            [error] = await asyncio.gather(self._write_once([line for line, _ in together]), return_exceptions=True)
            for _, is_written in together:
                if is_written.cancelled():
                    continue
                if error is None:
                    is_written.set_result(None)
                else:
                    is_written.set_exception(error)

    async def _write_once(self, lines: list[bytes]) -> None:
        if self._end is None:
            self._end = await self._write([], None)
        self._end = await self._write(lines, self._end)


def line_of(event: str, values: Event) -> bytes:
    """An event as a ledger has it, at this moment."""
    return json.dumps({"event": event, "time": round(now(), 3), **values}, ensure_ascii=False).encode() + b"\n"


def read_ledger(path: Path, *kinds: str) -> Events:
    """All whole events, in order, or those of some kinds alone; a half-written last line is passed over.

    Checkpoints lie beside the ledger, wherever its directory was when they were written down.
    """
    return Events(_events(path, kinds) if path.exists() else ())


def damaged(where: str) -> MachineError:
    """The error for a line that cannot be used."""
    return MachineError("the ledger is damaged", where, "restore the file, or remove this line", code="DAA-0702")


def in_common(verdicts: Mapping[str, float | None]) -> dict[str, float | None]:
    """The same verdicts by prompt; the prompts' names and the usual verdicts, most of a large search, lie in memory once for all."""
    return {intern(prompt): _VERDICTS.get(score, score) for prompt, score in verdicts.items()}


def _end_of_lines(file: IO[bytes]) -> int:
    """Where the last whole line of a file ends."""
    end = file.seek(0, os.SEEK_END)
    while end > 0:
        start = max(0, end - _BLOCK)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _events(path: Path, kinds: Sequence[str]) -> Iterator[Event]:
    # Most of a large ledger are scores: lines of other kinds than are wanted are told by how `line_of` begins them, and not parsed.
    wanted = tuple(f'{{"event": "{kind}",'.encode() for kind in kinds)
    home = str(path.parent.resolve())
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.endswith(b"\n"):
                return
            if not line.startswith(wanted or b""):
                continue
            event = _event(line, f"{path}:{number}")
            if "verdicts" in event:
                event["verdicts"] = in_common(event["verdicts"])
            if "checkpoint" in event:
                event["checkpoint"] = _beside(home, event)
            yield event


def _event(line: bytes, where: str) -> Event:
    """A line's event. Raises MachineError for a line that is none."""
    try:
        event = parsed_json(line)
    except ValueError as error:
        raise damaged(where) from error
    if not _is_event(event):
        raise damaged(where)
    return event


def _is_event(value: Any) -> bool:
    """Whether a line tells what happened and when, and what it tells besides can be read, and of a score counted with."""
    if not isinstance(value, dict) or not isinstance(value.get("event"), str) or type(value.get("time")) not in _NUMBERS:
        return False
    if not all(isinstance(value[key], kind) for key, kind in _KINDS.items() if key in value):
        return False
    card = value.get("scorecard")
    numbers = set() if card is None else {*(type(card.get(key)) for key in CARD), type(card.get("unfinished", 0.0))}
    return numbers <= _NUMBERS and set(map(type, value.get("verdicts", {}).values())) <= _NUMBERS | {type(None)}


def _beside(home: str, event: Event) -> str:
    """The event's checkpoint, below the ledger's directory if it is there; a base model, or what stayed behind, is where it was."""
    was = event["checkpoint"]
    if not isinstance(was, str) or was.startswith(f"{home}/"):
        return was
    _, own, rest = was.rpartition(f"/checkpoints/{event.get('run', event.get('trial'))}/")
    return now if own and os.path.isdir(now := home + own + rest) else was
