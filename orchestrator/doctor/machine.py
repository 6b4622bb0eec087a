"""Disks, shared memory and limits: is there enough of them?"""

from dataclasses import dataclass

from orchestrator.doctor.facts import Disk, Facts
from orchestrator.doctor.findings import Finding, fail, ok, warn

_GB = 1e9
# Ray stops making objects on a disk that is fuller than this.
_FULLEST = 0.95
# NCCL and torch pass tensors between the processes of a node through it; containers get 0.064 GB unless told otherwise.
_LEAST_SHARED_GB = 1.0
# A search holds a socket for each pair of processes and files for each model.
_LEAST_FILES = 4096


@dataclass(frozen=True)
class Limits:
    """What a machine must have: free disk space in GB (1e9 bytes) wherever a run writes."""

    free_gb: float = 20.0


def check_machine(facts: Facts, limits: Limits) -> list[Finding]:
    """All of it."""
    return [*(_disk(disk, limits) for disk in facts.disks), *_shared_memory(facts), _open_files(facts)]


def _disk(disk: Disk, limits: Limits) -> Finding:
    told = f"{disk.free / _GB:,.1f} of {disk.total / _GB:,.1f} GB free for {disk.purpose} ({disk.path})"
    if disk.free < limits.free_gb * _GB:
        return fail("disk", f"{told}, and runs want {limits.free_gb:g}", "free some, or give a path on another disk")
    if disk.free < (1 - _FULLEST) * disk.total and disk.purpose.startswith("Ray"):
        return fail("disk", f"{told}: Ray stops when a disk is fuller than {_FULLEST:.0%}", "free some, or set RAY_TMPDIR and TMPDIR")
    return ok("disk", told)


def _shared_memory(facts: Facts) -> list[Finding]:
    if (there := facts.shared_memory) is None:
        return []
    told = f"/dev/shm has {there.total / _GB:,.1f} GB"
    if there.total < _LEAST_SHARED_GB * _GB:
        what = f"{told}: Ray keeps objects on the disk instead, and NCCL between the GPUs of a node dies of it (Bus error)"
        say = fail if facts.gpus > 1 else warn
        return [say("shared memory", what, "start the container with --shm-size=16g or more (Kubernetes: an emptyDir of medium Memory)")]
    return [ok("shared memory", told)]


def _open_files(facts: Facts) -> Finding:
    if facts.open_files < _LEAST_FILES:
        fix = "`ulimit -n 65536` before Ray is started (LimitNOFILE= of a service)"
        return warn("open files", f"a process may open {facts.open_files:,} files, and large searches need more", fix)
    return ok("open files", f"a process may open {facts.open_files:,}")
