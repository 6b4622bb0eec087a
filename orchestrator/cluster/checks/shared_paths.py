"""Whether a directory is one and the same on all nodes: each writes a note, and each reads all the others'."""

from collections.abc import Mapping, Sequence

from orchestrator.cluster.checks.node_checks import Node, answers, at
from orchestrator.doctor.apart import Answer, Check
from orchestrator.doctor.findings import Finding, fail, ok
from orchestrator.doctor.notes import Note, can_read, remove, write

_NAME, _SECONDS, _TOLD = "shared path", 60.0, 3
_FIX = "mount one file system at this path on every node (NFS, Lustre, FSx, ...), or give another path"


def check_shared(purpose: str, path: str, nodes: Sequence[Node]) -> list[Finding]:
    """Write, read and remove on every node."""
    written = answers(Check(_NAME, write, (path, "daa doctor"), _SECONDS, _FIX), nodes)
    notes = {node: answer.value for node, answer in written.items() if answer.failure is None}
    try:
        seen = answers(Check(_NAME, readable, (tuple(notes.values()),), _SECONDS, _FIX), nodes)
    finally:
        removed = answers(Check(_NAME, remove_all, (tuple(notes.values()),), _SECONDS, _FIX), nodes)
    failures = [each for answered in (written, seen, removed) for each in _failures(answered, nodes)]
    return failures or [judged(f"{purpose} ({path})", notes, seen)]


def readable(notes: Sequence[Note]) -> list[bool]:
    """Which of the notes are here."""
    return [can_read(note) for note in notes]


def remove_all(notes: Sequence[Note]) -> list[Finding]:
    """Take away what is here."""
    for note in notes:
        remove(note)
    return []


def judged(what: str, notes: Mapping[Node, Note], seen: Mapping[Node, Answer]) -> Finding:
    """What it means who read whose note."""
    told = f"{what}, by way of {', '.join(sorted({note.directory for note in notes.values()}))}"
    missed = [
        f"{reader.name} does not see what {writer.name} writes"
        for reader, answer in seen.items()
        for writer, is_there in zip(notes, answer.value, strict=True)
        if not is_there
    ]
    if missed:
        more = f" and {len(missed) - _TOLD} more" if len(missed) > _TOLD else ""
        return fail(_NAME, f"{told}: {'; '.join(missed[:_TOLD])}{more}", _FIX)
    if len(notes) == 1:
        return ok(_NAME, f"{told}: the one node writes and reads there")
    return ok(_NAME, f"{told}: {len(notes)} nodes write, and each reads what the others wrote")


def _failures(answered: Mapping[Node, Answer], nodes: Sequence[Node]) -> list[Finding]:
    return [each for node, answer in answered.items() if answer.failure is not None for each in at(node, nodes, [answer.failure])]
