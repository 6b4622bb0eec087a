"""A local file system on which a file is there whole, or as it was before, whatever happens to its writer or the disk meanwhile."""

import os
from io import FileIO
from typing import Any

from fsspec.implementations.local import LocalFileSystem
from pyarrow.fs import FSSpecHandler, PyFileSystem


def whole_files() -> PyFileSystem:
    """For Ray, which copies its state over the one before, and would leave half of it on a disk that is full."""
    return PyFileSystem(FSSpecHandler(_WholeFiles()))


class _WholeFiles(LocalFileSystem):
    def _open(self, path: str, mode: str = "rb", block_size: int | None = None, **kwargs: Any) -> Any:
        return _Written(path) if mode == "wb" else super()._open(path, mode, block_size, **kwargs)


class _Written(FileIO):
    """Has its name once all of it is on the disk."""

    def __init__(self, path: str) -> None:
        self._path, self._is_whole = path, True
        super().__init__(f"{path}.part", "wb")

    def write(self, data: Any, /) -> int:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[super().write(rest) :]
        except OSError:
            self._is_whole = False
            raise
        return len(data)

    def close(self) -> None:
        if self.closed:
            return
        try:
            os.fsync(self.fileno())
        finally:
            super().close()
        if self._is_whole:
            os.replace(f"{self._path}.part", self._path)
