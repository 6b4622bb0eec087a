"""A local file system on which a file is there whole, or as it was before, whatever happens to its writer or the disk meanwhile."""

from pathlib import Path
from typing import Any

from fsspec.implementations.local import LocalFileSystem
from pyarrow.fs import FSSpecHandler, PyFileSystem

from evals.whole_files import replacing_bytes


def whole_storage() -> PyFileSystem:
    """For Ray, which copies its state over the one before, and would leave half of it on a disk that is full."""
    return PyFileSystem(FSSpecHandler(_WholeFiles()))


class _WholeFiles(LocalFileSystem):
    def _open(self, path: str, mode: str = "rb", block_size: int | None = None, **kwargs: Any) -> Any:
        return _Replacing(Path(path)) if mode == "wb" else super()._open(path, mode, block_size, **kwargs)


class _Replacing:
    """The next content of a file, which takes its place when it is closed after no write failed."""

    def __init__(self, file: Path) -> None:
        self._replacing = replacing_bytes(file)
        self._content = self._replacing.__enter__()
        self.closed = False

    def write(self, data: bytes) -> int:
        try:
            return self._content.write(data)
        except OSError as error:
            self.closed = True
            self._replacing.__exit__(type(error), error, error.__traceback__)
            raise

    def flush(self) -> None:
        self._content.flush()

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._replacing.__exit__(None, None, None)
