"""The processes that other tests train in."""

import os
from pathlib import Path

import pytest

from tests.training.ranks import on_ranks


def leave_a_note(rank: int, place: Path) -> None:
    (place / f"{rank}-{os.getpid()}").touch()


def fail_on_the_second(rank: int, place: Path) -> None:
    import torch.distributed as dist

    if not dist.is_initialized():
        dist.init_process_group("gloo")
    if rank == 1:
        raise ValueError("the second rank fails")
    dist.barrier()


def test_two_ranks_are_kept_until_one_fails_which_is_told_though_the_other_waits_for_it(tmp_path: Path) -> None:
    on_ranks(2, leave_a_note, tmp_path)
    on_ranks(2, leave_a_note, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    with pytest.raises(RuntimeError, match="the second rank fails"):
        on_ranks(2, fail_on_the_second, tmp_path)
    on_ranks(2, leave_a_note, tmp_path)
    assert sorted(note.name[0] for note in tmp_path.iterdir()) == ["0", "0", "1", "1"]
