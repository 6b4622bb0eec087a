"""A full disk, little shared memory and few open files are told apart, with what to do about each."""

from orchestrator.doctor.facts import Disk, Facts
from orchestrator.doctor.findings import Status
from orchestrator.doctor.machine import Limits, check_machine
from tests.doctor.machines import GB, SOUND, machine

USUAL = Limits()


def by_name(facts: Facts, limits: Limits = USUAL) -> dict[str, tuple[Status, str, str]]:
    return {each.name: (each.status, each.found, each.fix) for each in check_machine(facts, limits)}


def test_a_sound_machine_has_enough_of_everything() -> None:
    assert {status for status, _, _ in by_name(SOUND).values()} == {Status.OK}


def test_a_disk_with_less_than_runs_want_fails_and_is_named() -> None:
    status, found, fix = by_name(SOUND, Limits(free_gb=501))["disk"]
    assert status is Status.FAIL
    assert "500.0 of 1,000.0 GB free" in found and "/tmp" in found
    assert fix


def test_a_disk_that_ray_takes_for_full_fails_however_much_is_free() -> None:
    status, found, fix = by_name(machine(disks=[Disk("Ray's temporary files", "/tmp", 40 * GB, 1000 * GB)]))["disk"]
    assert status is Status.FAIL
    assert "95%" in found and "RAY_TMPDIR" in fix


def test_little_shared_memory_fails_where_gpus_need_it_and_is_a_warning_elsewhere() -> None:
    little = Disk("shared memory", "/dev/shm", 64 * 10**6, 64 * 10**6)
    assert by_name(machine(shared_memory=little))["shared memory"][0] is Status.FAIL
    status, _, fix = by_name(machine(shared_memory=little, gpus=0))["shared memory"]
    assert status is Status.WARN
    assert "--shm-size" in fix


def test_few_open_files_are_a_warning_with_the_command() -> None:
    status, found, fix = by_name(machine(open_files=1024))["open files"]
    assert status is Status.WARN
    assert "1,024" in found and "ulimit -n" in fix
