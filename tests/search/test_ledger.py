"""The ledger only grows; a torn last line is cut off, damage anywhere else is an error."""

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import MachineError
from orchestrator.search.ledger import CARD, Event, Events, LedgerWriter, SharedWriter, read_ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """A ledger of two events."""
    path = tmp_path / "run" / "ledger.jsonl"
    writer = LedgerWriter(path)
    writer.append("trial", trial="001", reason="α – “quoted”\nline\u2028separator")
    writer.append("end", trial="001")
    return path


def test_events_come_back_in_order_with_their_time(ledger: Path) -> None:
    first, second = read_ledger(ledger)
    assert (first["event"], first["reason"]) == ("trial", "α – “quoted”\nline\u2028separator")
    assert second["event"] == "end"
    assert first["time"] <= second["time"]


def test_a_ledger_that_is_not_there_has_no_events(tmp_path: Path) -> None:
    assert not read_ledger(tmp_path / "absent.jsonl")


def test_the_checkpoints_of_a_directory_that_was_moved_move_with_it_and_what_is_elsewhere_stays(tmp_path: Path) -> None:
    here, elsewhere = tmp_path / "run-old", tmp_path / "run"
    ours, theirs, gone = (f"{place}/checkpoints/{run}/step-000008/model" for place, run in ((here, "1"), ("/there", "1"), (here, "2")))
    finals = f"{here}/checkpoints/1-seed1/step-000008/model"
    for made in (ours, finals):
        Path(made).mkdir(parents=True)
    writer = LedgerWriter(here / "ledger.jsonl")
    writer.append("baseline", checkpoint=theirs)
    writer.append("score", trial="1", checkpoint=ours, verdicts={"a": 1.0})
    writer.append("held_out", trial="1", run="1-seed1", checkpoint=finals)
    writer.append("score", trial="2", checkpoint=gone)
    assert [event["checkpoint"] for event in read_ledger(here / "ledger.jsonl")] == [theirs, ours, finals, gone]
    here.rename(elsewhere)
    moved = [made.replace(str(here), str(elsewhere)) for made in (ours, finals)]
    assert [event["checkpoint"] for event in read_ledger(elsewhere / "ledger.jsonl")] == [theirs, *moved, gone]


def test_what_was_written_is_never_changed_by_writing_on(ledger: Path) -> None:
    before = ledger.read_bytes()
    LedgerWriter(ledger).append("score", trial="002")
    assert ledger.read_bytes().startswith(before)
    assert [event["event"] for event in read_ledger(ledger)] == ["trial", "end", "score"]


def test_an_event_can_be_read_as_soon_as_append_returns(ledger: Path) -> None:
    writer = LedgerWriter(ledger)
    for number in range(3):
        writer.append("score", step=number)
        assert read_ledger(ledger)[-1]["step"] == number


def test_a_line_torn_at_any_byte_is_passed_over_on_reading_and_cut_off_on_reopening(ledger: Path) -> None:
    whole = ledger.read_bytes()
    torn = json.dumps({"event": "end", "reason": "ε – α"}, ensure_ascii=False).encode()
    for length in range(1, len(torn) + 1):
        ledger.write_bytes(whole + torn[:length])
        assert [event["event"] for event in read_ledger(ledger)] == ["trial", "end"]
        LedgerWriter(ledger)
        assert ledger.read_bytes() == whole


def test_a_ledger_that_is_one_torn_line_starts_anew(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_text('{"event": "tri')
    assert not read_ledger(path)
    LedgerWriter(path).append("trial", trial="001")
    assert [event["trial"] for event in read_ledger(path)] == ["001"]


NO_EVENTS = [b'{"x": 1}', b"[1]", b"12", b"null", b"[" * 100_000, b'{"event": "end", "time": "now"}', b'{"event": 1, "time": 1.0}']
NO_VALUES = [
    b'{"event": "score", "time": 1.0, "trial": 7}',
    b'{"event": "score", "time": 1.0, "step": "10"}',
    b'{"event": "trial", "time": 1.0, "hyperparameters": null}',
    b'{"event": "capability", "time": 1.0, "scores": 7}',
]
NO_SCORES = [
    b'{"event": "score", "time": 1.0, "scorecard": {"judged": 2}}',
    b'{"event": "score", "time": 1.0, "scorecard": [1]}',
    json.dumps({"event": "score", "time": 1.0, "scorecard": dict.fromkeys(CARD, 1.0) | {"unfinished": "half"}}).encode(),
    b'{"event": "score", "time": 1.0, "verdicts": [1.0]}',
    b'{"event": "score", "time": 1.0, "verdicts": {"p0": "1"}}',
]


@pytest.mark.parametrize(
    "damage", [b'{"event": "sco\n', b"\xff\xfe\n", b"\x00\x00\n", *(line + b"\n" for line in NO_EVENTS + NO_VALUES + NO_SCORES)]
)
def test_damage_in_the_middle_is_an_error_that_names_the_line(damage: bytes, ledger: Path) -> None:
    first, second = ledger.read_bytes().splitlines(keepends=True)
    ledger.write_bytes(first + damage + second)
    with pytest.raises(MachineError, match="the ledger is damaged") as refused:
        read_ledger(ledger)
    assert refused.value.code == "DAA-0702"
    assert refused.value.where == f"{ledger}:2"
    assert "remove this line" in refused.value.cure


def test_a_full_disk_is_told_with_a_cure(ledger: Path) -> None:
    writer = LedgerWriter(ledger)
    writer._file = open("/dev/full", "ab", buffering=0)  # noqa: SIM115
    with pytest.raises(MachineError, match="the ledger cannot be written") as refused:
        writer.append("score", trial="001")
    assert refused.value.code == "DAA-0701"
    assert refused.value.where == str(ledger)
    assert "disk space" in refused.value.cure


def test_an_event_that_the_disk_took_only_in_part_leaves_no_part_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = LedgerWriter(tmp_path / "ledger.jsonl")
    writer.append("first")

    class FullDisk:
        """A file whose disk has room for five more bytes."""

        def __init__(self, file: Any) -> None:
            self.file = file

        def write(self, line: bytes) -> int:
            return self.file.write(line[:5])

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

    with monkeypatch.context() as full:
        full.setattr(writer, "_file", FullDisk(writer._file))
        with pytest.raises(MachineError, match="No space left"):
            writer.append("second")
    writer.append("third")
    assert [event["event"] for event in read_ledger(tmp_path / "ledger.jsonl")] == ["first", "third"]


def test_finals_are_those_of_the_latest_session() -> None:
    began, finals, other = {"event": "begin"}, {"event": "finals"}, {"event": "score"}
    assert not Events().within_finals
    assert not Events([began, other]).within_finals
    assert Events([began, finals, other]).within_finals
    assert not Events([began, finals, other, began, other]).within_finals


def shared(path: Path) -> SharedWriter:
    """A writer for coroutines, which go on while a thread waits for the disk."""
    writer = LedgerWriter(path)

    async def write(lines: list[bytes], after: int | None) -> int:
        return await asyncio.to_thread(writer.append_lines, lines, after)

    return SharedWriter(write)


def test_events_that_arrive_while_the_disk_is_waited_for_share_the_next_wait_and_none_returns_before_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, waits, on_disk = tmp_path / "ledger.jsonl", 0, 0

    def slow(file: int) -> None:
        nonlocal waits, on_disk
        written = os.fstat(file).st_size
        time.sleep(0.02)
        waits, on_disk = waits + 1, written

    monkeypatch.setattr(os, "fsync", slow)

    async def write(writer: SharedWriter, number: int) -> None:
        await writer.append("score", number=number)
        lines = path.read_bytes()[:on_disk].splitlines()
        assert number in {json.loads(line)["number"] for line in lines}
        await writer.append("end", number=100 + number)

    async def all_at_once() -> None:
        writer = shared(path)
        await asyncio.gather(*(write(writer, number) for number in range(50)))

    asyncio.run(all_at_once())
    assert [event["number"] for event in read_ledger(path)] == [*range(50), *range(100, 150)]
    assert waits <= 4


def test_of_events_that_share_a_wait_that_fails_none_is_written_each_is_told_and_the_next_one_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ledger.jsonl"

    def fails(_: int) -> None:
        raise OSError(5, "Input/output error")

    async def write() -> list[BaseException | None]:
        writer = shared(path)
        await writer.append("first")
        with monkeypatch.context() as broken:
            broken.setattr(os, "fsync", fails)
            refused = await asyncio.gather(*(writer.append("lost") for _ in range(5)), return_exceptions=True)
        await writer.append("last")
        return refused

    refused = asyncio.run(write())
    assert [type(error) for error in refused] == [MachineError] * 5
    assert [event["event"] for event in read_ledger(path)] == ["first", "last"]


def test_events_of_some_kinds_are_read_alone(ledger: Path) -> None:
    LedgerWriter(ledger).append("trial", trial='002 {"event": "end", ')
    assert [event["trial"] for event in read_ledger(ledger, "trial")] == ["001", '002 {"event": "end", ']
    assert [event["event"] for event in read_ledger(ledger, "end", "trial")] == ["trial", "end", "trial"]
    assert not read_ledger(ledger, "tri")


@pytest.mark.parametrize("length", [1, (1 << 16) - 1, 1 << 16, (1 << 16) + 1, 200_000])
def test_a_torn_line_of_any_length_is_cut_off(ledger: Path, length: int) -> None:
    whole = ledger.read_bytes()
    ledger.write_bytes(whole + b"x" * length)
    LedgerWriter(ledger)
    assert ledger.read_bytes() == whole


def test_events_are_told_by_kind_and_trial_while_they_come_in() -> None:
    told: list[Event] = [{"event": kind, "time": 0.0, "trial": trial, "step": step} for kind, trial, step in SOME]
    events = Events(told[:3])
    for event in told[3:]:
        events.add(event)
    assert (list(events), len(events), events[-1], events[1:3]) == (told, len(told), told[-1], told[1:3])
    assert events.of("score", "end") == [told[1], told[3], told[4], told[2]]
    assert events.of("score", trial="001") == [told[1], told[4]]
    assert (events.first("score"), events.last("score"), events.last("veto")) == (told[1], told[4], None)
    assert (events.score_at("001", 10), events.score_at("001", None)) == (told[4], None)


SOME = [("trial", "001", 0), ("score", "001", 10), ("end", "002", 0), ("score", "002", 10), ("score", "001", 10)]


def test_checkpoints_of_the_finals_are_none_that_the_search_came_to() -> None:
    joined: list[Event] = [{"event": "trial", "trial": "001"}, {"event": "trial", "trial": "001-seed1", "until": 10}]
    saved: list[Event] = [{"event": "checkpoint", "trial": trial, "step": 10} for trial in ("001", "001-seed1", "001")]
    events = Events([*joined, *saved])
    assert (events.trials, events.reached) == ({"001"}, {("001", 10)})
