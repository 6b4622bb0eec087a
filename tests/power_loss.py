"""A machine that loses its power: zeros are left of files that nobody waited for until they were on the disk."""

import os
from pathlib import Path

import pytest


class Power:
    """Knows which files were waited for, as they were then."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._kept: set[tuple[int, int]] = set()
        self._fsync = os.fsync
        monkeypatch.setattr(os, "fsync", self._wait)

    def fails(self, directory: Path) -> None:
        """What a file system that keeps names and lengths, and content when it comes to it, has left in a directory."""
        for file in [file for file in directory.rglob("*") if file.is_file()]:
            if _state(file.stat()) not in self._kept:
                file.write_bytes(bytes(file.stat().st_size))

    def _wait(self, descriptor: int) -> None:
        self._fsync(descriptor)
        self._kept.add(_state(os.fstat(descriptor)))


def _state(status: os.stat_result) -> tuple[int, int]:
    return status.st_ino, status.st_mtime_ns
