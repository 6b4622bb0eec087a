"""Bringing the benchmarks' official files into a folder: downloaded once, verified, and never half there."""

import gzip
import hashlib
import shlex
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Literal
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, build_opener

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential

from evals.benchmarks.sources import LICENCES, SOURCES, Source
from evals.errors import DataFormatError, MachineError, UserError
from evals.whole_files import written_beside

ALL: tuple[str, ...] = tuple(LICENCES)
_TOO_MANY_OR_TOO_LATE = (408, 429)
_ATTEMPTS = 3


class DownloadError(MachineError):
    """Official files could not be downloaded; `cure` lists what to place where."""


@dataclass(frozen=True)
class Fetched:
    """A file that is in its place: it was there, was downloaded, or was made from one of these. The hash is of its unpacked content."""

    file: Path
    state: Literal["present", "downloaded", "made"]
    sha256: str


def download(url: str, timeout_s: float = 20.0, pause_s: float = 1.0) -> bytes:
    """The bytes at a URL, through the environment's proxies; what may pass is tried again. Raises OSError or HTTPException."""
    stop, pause = stop_after_attempt(_ATTEMPTS), wait_exponential(pause_s)
    return Retrying(retry=retry_if_exception(_may_pass), stop=stop, wait=pause, reraise=True)(_read, url, timeout_s)


def fetch(
    directory: Path,
    benchmarks: Sequence[str] = ALL,
    sources: Sequence[Source] = SOURCES,
    open_url: Callable[[str], bytes] = download,
    tell: Callable[[Fetched], object] = lambda fetched: None,
) -> list[Fetched]:
    """Bring the benchmarks' files into `directory`, and `tell` of each that is in its place.

    A file that is there, plain or gzipped, is verified and left alone. Raises UserError for no benchmark or a folder that cannot be
    written, DataFormatError for bytes that are not the official ones (they are not placed), and DownloadError that lists what to place
    by hand, after everything else is in its place.
    """
    unknown = [name for name in benchmarks if name not in ALL]
    if unknown:
        raise UserError(f"there is no benchmark {unknown[0]!r}", "--benchmark", f"choose {', '.join(ALL)}")
    wanted = [(source, _verified(directory, source)) for source in sources if set(source.benchmarks) & set(benchmarks)]
    downloads = _Downloads(open_url)
    fetched: list[Fetched] = []
    for source, there in wanted:
        for file, state, content in _bring(directory, source, there, downloads):
            fetched.append(Fetched(file, state, hashlib.sha256(content).hexdigest()))
            tell(fetched[-1])
    if downloads.failures:
        raise _to_place_by_hand(directory, downloads.failures)
    return fetched


_Brought = tuple[Path, Literal["present", "downloaded", "made"], bytes]


def _bring(directory: Path, source: Source, there: tuple[Path, bytes] | None, downloads: "_Downloads") -> Iterator[_Brought]:
    """Put a source in its place, unless all that is made of it is there, and make the rest of that."""
    made = {directory / file: (make, _existing(directory / file)) for file, make in source.makes.items()}
    if there is not None:
        yield there[0], "present", there[1]
    elif not made or not all(existing for _, existing in made.values()):
        content = downloads.verified(source, directory / source.file)
        if content is not None:
            there = _placed(directory / source.file, content)
            yield there[0], "downloaded", content
    for place, (make, existing) in made.items():
        if existing is not None:
            yield existing[0], "present", existing[1]
        elif there is not None:
            content = make(there[1])
            yield _placed(place, content)[0], "made", content


class _Downloads:
    """Downloads whose bytes are verified; a host that cannot be reached is not asked again."""

    def __init__(self, open_url: Callable[[str], bytes]) -> None:
        self.failures: list[tuple[Source, str]] = []
        self._open_url = open_url
        self._out_of_reach: dict[str, str] = {}

    def verified(self, source: Source, place: Path) -> bytes | None:
        """A source's bytes, or None, noted among the failures, where they cannot be had. Raises DataFormatError for other bytes."""
        host = urlsplit(source.url).netloc
        if host in self._out_of_reach:
            self.failures.append((source, self._out_of_reach[host]))
            return None
        try:
            content = self._open_url(source.url)
        except (OSError, HTTPException) as error:
            reason = f"{host}: {_reason(error)}"
            if isinstance(error, URLError) and not isinstance(error, HTTPError):
                self._out_of_reach[host] = reason
            self.failures.append((source, reason))
            return None
        if source.pin_of(content) != source.pin:
            what = f"{source.url} gives other bytes than the official ones: expected {source.pin}, got {source.pin_of(content)}"
            raise DataFormatError(
                what, str(place), "nothing was placed there; see whether a proxy answers, or place the official file by hand"
            )
        return content


def _reason(error: OSError | HTTPException) -> str:
    """Why a download failed; an HTTP status with its number."""
    inner = error.reason if isinstance(error, URLError) and not isinstance(error, HTTPError) else error
    return str(inner) or type(inner).__name__


def _may_pass(error: BaseException) -> bool:
    """Whether a download that failed so is worth another try."""
    if isinstance(error, HTTPError):
        return error.code >= 500 or error.code in _TOO_MANY_OR_TOO_LATE
    return isinstance(error, OSError | HTTPException)


def _read(url: str, timeout_s: float) -> bytes:
    with build_opener().open(Request(url, headers={"User-Agent": "daa-orchestrator"}), timeout=timeout_s) as response:
        return response.read()


def _verified(directory: Path, source: Source) -> tuple[Path, bytes] | None:
    """A source that is in its place, plain or gzipped. Raises DataFormatError where that is another file."""
    there = _existing(directory / source.file)
    if there is not None and source.pin_of(there[1]) != source.pin:
        what = f"the file is not the official one: expected {source.pin}, got {source.pin_of(there[1])}"
        raise DataFormatError(what, str(there[0]), f"move it away, and fetch again; the official one is {source.url}")
    return there


def _existing(place: Path) -> tuple[Path, bytes] | None:
    """A file and its unpacked content, plain or gzipped; None where there is neither."""
    packed = place.with_name(f"{place.name}.gz")
    try:
        if place.is_file():
            return place, place.read_bytes()
        return (packed, gzip.decompress(packed.read_bytes())) if packed.is_file() else None
    except (OSError, EOFError, zlib.error) as error:
        raise DataFormatError(f"the file cannot be read: {error}", str(place), "move it away, and fetch again") from error


def _placed(place: Path, content: bytes) -> tuple[Path, bytes]:
    """Write a file whole or not at all. Raises UserError where the folder cannot be written."""
    try:
        with written_beside(place) as partial:
            partial.write_bytes(content)
    except OSError as error:
        raise UserError(f"the file cannot be written: {error}", str(place), "give a folder that may be written and has room") from error
    return place, content


def _to_place_by_hand(directory: Path, failures: Sequence[tuple[Source, str]]) -> DownloadError:
    reasons = "; ".join(dict.fromkeys(reason for _, reason in failures))
    lines = [
        f"curl -fL --create-dirs -o {shlex.quote(str((directory / source.file).resolve()))} {source.url}  # {source.pin}"
        for source, _ in failures
    ]
    cure = "\n".join(["place these files, copied from a machine that has a network, and fetch again to verify them:", *lines])
    return DownloadError(f"{len(failures)} of the official files could not be downloaded ({reasons})", str(directory.resolve()), cure)
