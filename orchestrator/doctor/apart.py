"""A check in a process of its own: it may hang or crash, and what it writes besides its answer is gone when it ends."""

import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from evals.errors import shortened
from evals.whole_files import replacing_bytes
from orchestrator.doctor.findings import Finding, fail, of_error
from orchestrator.errors import DaaError

_CHECK, _ANSWER, _OUTPUT = "check.pickle", "answer.pickle", "output.log"
_LONGEST_REASON = 400
_LOOK_EVERY_S = 1.0
# Where libraries keep what they compile or download by themselves.
_CACHES = (
    "CUDA_CACHE_PATH",
    "FLASHINFER_WORKSPACE_BASE",
    "HF_MODULES_CACHE",
    "MPLCONFIGDIR",
    "NUMBA_CACHE_DIR",
    "TMPDIR",
    "TORCHINDUCTOR_CACHE_DIR",
    "TORCH_EXTENSIONS_DIR",
    "TRITON_CACHE_DIR",
    "TRITON_HOME",
    "VLLM_CACHE_ROOT",
    "VLLM_CONFIG_ROOT",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
)


@dataclass(frozen=True)
class Check:
    """A function of a module and its arguments, how long it may take, and the fix when it fails in a way it does not foresee itself."""

    name: str
    work: Callable[..., Any]
    arguments: tuple[Any, ...] = ()
    seconds: float = 60.0
    fix: str = "the reason is the library's own: repeat what the check does by hand for its whole output"


@dataclass(frozen=True)
class Answer:
    """What a check returned, or the finding that it failed."""

    value: Any = None
    failure: Finding | None = None

    @property
    def findings(self) -> list[Finding]:
        """Of a check that returns findings."""
        return [self.failure] if self.failure is not None else list(self.value)


def run_apart(check: Check) -> Answer:
    """Run a check in a child process with a temporary directory for all of its caches; neither outlives this call."""
    with TemporaryDirectory(prefix="daa-doctor-", ignore_cleanup_errors=True) as room:
        place = Path(room)
        (place / _CHECK).write_bytes(pickle.dumps(check))
        with (place / _OUTPUT).open("wb") as output:
            child = subprocess.Popen(
                [sys.executable, "-m", "orchestrator.doctor.apart", room, str(os.getpid())],
                env=fleeting(os.environ, room),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            child.wait(check.seconds)
        except subprocess.TimeoutExpired:
            return Answer(failure=fail(check.name, f"no answer within {check.seconds:g} s", check.fix))
        finally:
            _end(child)
        return _answer(check, place, child.returncode)


def fleeting(environment: Mapping[str, str], room: str) -> dict[str, str]:
    """The environment with all caches in `room`, and this process's modules; the hub's own cache stays where it is, to be read."""
    home = environment.get("XDG_CACHE_HOME") or str(Path("~/.cache").expanduser())
    hub = environment.get("HF_HOME") or f"{home}/huggingface"
    modules = os.pathsep.join(path for path in sys.path if path)
    # Where Ray would put its files without the directory of this check.
    usual = environment.get("RAY_TMPDIR") or tempfile.gettempdir()
    kept = {"HF_HOME": hub, "RAY_TMPDIR": usual, "PYTHONPATH": modules, "HF_HUB_DISABLE_TELEMETRY": "1"}
    return {**environment, **dict.fromkeys(_CACHES, room), **kept}


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the child and whatever it started and left behind."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _answer(check: Check, place: Path, code: int) -> Answer:
    file = place / _ANSWER
    if not file.is_file():
        ended = f"ended by signal {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        return Answer(failure=fail(check.name, f"the check {ended}: {_last_line(place / _OUTPUT)}", check.fix))
    value = pickle.loads(file.read_bytes())
    if isinstance(value, Finding):
        return Answer(failure=value)
    return Answer(value)


def _last_line(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1][-_LONGEST_REASON:] if lines else "it said nothing"


def _work(place: Path, parent: int) -> None:
    """What the child does."""
    threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()
    check = pickle.loads((place / _CHECK).read_bytes())
    try:
        value = check.work(*check.arguments)
    except DaaError as error:
        whole = of_error(check.name, error)
        value = replace(whole, found=shortened(whole.found, _LONGEST_REASON))
    # Whatever a library raises is the finding.
    except Exception as error:
        first = next((line for line in str(error).splitlines() if line.strip()), "")
        value = fail(check.name, f"{type(error).__name__}: {first}"[:_LONGEST_REASON], check.fix)
    with replacing_bytes(place / _ANSWER) as content:
        content.write(pickle.dumps(value))
    # Without waiting for threads and engines of libraries.
    os._exit(0)


def _leave_with(parent: int) -> None:
    """End this process and those it started when the one that waits for it is gone."""
    while os.getppid() == parent:
        time.sleep(_LOOK_EVERY_S)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    _work(Path(sys.argv[1]), int(sys.argv[2]))
