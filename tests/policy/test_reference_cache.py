"""Reference scores are found by what they were computed from, computed once, and never read half-written."""

import dataclasses
import errno
import fcntl
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from orchestrator.policy.reference_cache import complete, keep_share, read_reference, reference_key, writing_alone
from orchestrator.policy.scoring import ReferenceScores
from orchestrator.policy.scoring_model import LAYOUTS
from orchestrator.preferences.pairs import TokenizedPair
from tests.evals.tiny_model import make_tiny_model
from tests.power_loss import Power

SCORES = {0: ReferenceScores(torch.tensor([-1.5, -2.0, -4.0])), 2: ReferenceScores(torch.tensor([-0.25]))}
OTHER_SCORES = {1: ReferenceScores(torch.tensor([-3.0, -0.125]))}
PAIRS = (TokenizedPair((1, 2), (3,), (4, 5)), TokenizedPair((6,), (7,), (8,)))
FURTHER = (dataclasses.replace(PAIRS[0], others=((9,), (5, 6)), other_rewards=(0.5, 0.25), mismatched=(7,)), PAIRS[1])


def key(model: Path, pairs: Sequence[TokenizedPair] = PAIRS, precision: str = "torch.float32") -> str:
    """The name of the scores."""
    return reference_key(str(model), pairs, precision, "shared")


def test_equal_content_elsewhere_has_the_same_key(tiny_model: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny_model, tmp_path / "copy")
    assert key(copy, [dataclasses.replace(pair, chosen_reward=1.0) for pair in PAIRS]) == key(tiny_model)


@pytest.mark.parametrize(
    "pairs",
    [
        PAIRS[:1],
        PAIRS[::-1],
        (dataclasses.replace(PAIRS[0], chosen=(9,)), PAIRS[1]),
        (dataclasses.replace(PAIRS[0], rejected=(4, 6)), PAIRS[1]),
        (dataclasses.replace(PAIRS[0], prompt=(1,), chosen=(2, 3)), PAIRS[1]),
        (dataclasses.replace(PAIRS[0], chosen=PAIRS[0].rejected, rejected=PAIRS[0].chosen), PAIRS[1]),
    ],
    ids=["fewer", "other order", "other chosen", "other rejected", "other boundary", "sides swapped"],
)
def test_other_tokens_have_another_key(pairs: Sequence[TokenizedPair], tiny_model: Path) -> None:
    assert key(tiny_model, pairs) != key(tiny_model)


def further_key(pairs: Sequence[TokenizedPair], others: bool, mismatched: bool) -> str:
    """The name of the scores of further responses too."""
    return reference_key("owner/one", pairs, "torch.float32", "shared", others, mismatched)


def test_further_responses_have_another_key_only_where_they_are_asked_for() -> None:
    asked = [(others, mismatched) for others in (False, True) for mismatched in (False, True)]
    assert len({further_key(FURTHER, *which) for which in asked}) == 4
    assert further_key(FURTHER, False, False) == further_key(PAIRS, False, False)


def test_pairs_without_further_responses_have_the_same_key_whatever_is_asked_for() -> None:
    asked = [(others, mismatched) for others in (False, True) for mismatched in (False, True)]
    assert len({further_key(PAIRS, *which) for which in asked}) == 1


@pytest.mark.parametrize(
    "change",
    [{"others": ((9,), (5, 7))}, {"others": ((5, 6), (9,))}, {"others": ((9,),)}, {"others": ((9, 5), (6,))}, {"mismatched": (8,)}],
    ids=["other tokens", "other order", "fewer", "other boundary", "another mismatched"],
)
def test_other_further_responses_have_another_key(change: dict[str, Any]) -> None:
    changed = (dataclasses.replace(FURTHER[0], **change), FURTHER[1])
    assert further_key(changed, True, True) != further_key(FURTHER, True, True)
    assert further_key(changed, False, False) == further_key(FURTHER, False, False)


def test_a_response_that_is_an_other_does_not_pass_for_a_mismatched_one() -> None:
    other = (dataclasses.replace(PAIRS[0], others=((7,),), other_rewards=(0.5,)), PAIRS[1])
    mismatched = (dataclasses.replace(PAIRS[0], mismatched=(7,)), PAIRS[1])
    assert further_key(other, True, True) != further_key(mismatched, True, True)


def test_rewards_of_others_do_not_change_the_key() -> None:
    changed = (dataclasses.replace(FURTHER[0], other_rewards=(1.0, 2.0)), FURTHER[1])
    assert further_key(changed, True, True) == further_key(FURTHER, True, True)


def test_another_precision_has_another_key(tiny_model: Path) -> None:
    assert key(tiny_model, precision="torch.bfloat16") != key(tiny_model)


def test_other_weights_of_the_same_shape_have_another_key(tiny_model: Path, tmp_path: Path) -> None:
    assert key(make_tiny_model(tmp_path / "other", seed=1, scale=0.05)) != key(tiny_model)


def test_another_layout_has_another_key() -> None:
    assert len({reference_key("owner/one", PAIRS, "torch.float32", layout) for layout in LAYOUTS}) == 3


def test_a_hub_identifier_stands_for_itself() -> None:
    one, again, two = (reference_key(f"owner/{name}", PAIRS, "torch.float32", "shared") for name in ("one", "one", "two"))
    assert one == again != two


def keep(cache: str, *shares: Mapping[int, ReferenceScores]) -> None:
    """What the ranks of a run do."""
    complete(cache, "key", [keep_share(cache, "key", share) for share in shares])


@pytest.fixture(params=["a path", "a URL"])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path) if request.param == "a path" else f"memory://{tmp_path.name}"


def test_what_was_kept_is_read_by_whoever_asks(cache: str) -> None:
    assert read_reference(cache, "key") is None
    keep(cache, SCORES, OTHER_SCORES)
    kept = read_reference(cache, "key")
    assert kept is not None and kept.mismatched is None
    assert kept.tokens.tolist() == [-1.5, -2.0, -4.0, -3.0, -0.125, -0.25]
    assert kept.of([2, 0]).tokens.tolist() == [-0.25, -1.5, -2.0, -4.0]
    assert read_reference(cache, "other") is None


def test_scores_of_mismatched_responses_are_kept_beside(tmp_path: Path) -> None:
    keep(str(tmp_path), {n: replace(scores, mismatched=torch.tensor(-7.0 - n)) for n, scores in {**SCORES, **OTHER_SCORES}.items()})
    kept = read_reference(str(tmp_path), "key")
    assert kept is not None and kept.mismatched is not None
    assert kept.mismatched.tolist() == [-7, -8, -9]


def test_shares_that_are_not_complete_are_never_taken_and_who_comes_later_completes_his_own(tmp_path: Path) -> None:
    keep_share(str(tmp_path), "key", SCORES)
    assert read_reference(str(tmp_path), "key") is None
    keep(str(tmp_path), OTHER_SCORES, {n: replace(scores, tokens=scores.tokens - 1) for n, scores in SCORES.items()})
    kept = read_reference(str(tmp_path), "key")
    assert kept is not None
    assert kept.tokens.tolist() == [-2.5, -3.0, -5.0, -3.0, -0.125, -1.25]


@pytest.mark.parametrize("left", [0.0, 0.5, 0.99])
@pytest.mark.parametrize("name", ["tokens.npy", "ends.npy", "mismatched.npy"])
def test_arrays_that_a_fault_cut_short_are_laid_out_again(tmp_path: Path, name: str, left: float) -> None:
    keep(str(tmp_path), {n: replace(scores, mismatched=torch.tensor(-7.0)) for n, scores in {**SCORES, **OTHER_SCORES}.items()})
    assert read_reference(str(tmp_path), "key") is not None
    [array] = tmp_path.rglob(name)
    os.truncate(array, int(array.stat().st_size * left))
    kept = read_reference(str(tmp_path), "key")
    assert kept is not None and kept.mismatched is not None
    assert kept.tokens.tolist() == [-1.5, -2.0, -4.0, -3.0, -0.125, -0.25] and kept.mismatched.tolist() == [-7, -7, -7]


@pytest.mark.parametrize("left", [0.0, 0.5, 0.99])
@pytest.mark.parametrize("pattern", ["*.parquet", "complete.json"])
def test_scores_that_a_fault_cut_short_are_not_there_until_they_are_kept_again(tmp_path: Path, pattern: str, left: float) -> None:
    keep(str(tmp_path), SCORES, OTHER_SCORES)
    cut = next(tmp_path.rglob(pattern))
    os.truncate(cut, int(cut.stat().st_size * left))
    assert read_reference(str(tmp_path), "key") is None
    keep(str(tmp_path), SCORES, OTHER_SCORES)
    kept = read_reference(str(tmp_path), "key")
    assert kept is not None and kept.tokens.tolist() == [-1.5, -2.0, -4.0, -3.0, -0.125, -0.25]


def test_scores_and_the_arrays_laid_out_of_them_outlive_a_loss_of_power(tmp_path: Path, power: Power) -> None:
    keep(str(tmp_path), {n: replace(scores, mismatched=torch.tensor(-7.0)) for n, scores in {**SCORES, **OTHER_SCORES}.items()})
    for _ in ("laid out before it", "read after it"):
        power.fails(tmp_path)
        kept = read_reference(str(tmp_path), "key")
        assert kept is not None and kept.mismatched is not None
        assert kept.tokens.tolist() == [-1.5, -2.0, -4.0, -3.0, -0.125, -0.25] and kept.mismatched.tolist() == [-7, -7, -7]


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
def test_scores_with_zeros_in_their_middle_are_never_read_as_log_probabilities(tmp_path: Path, place: float) -> None:
    torch.manual_seed(0)
    keep(str(tmp_path), {number: ReferenceScores(-torch.rand(500)) for number in range(200)})
    [share] = tmp_path.rglob("*.parquet")
    with share.open("r+b") as content:
        content.seek(int(share.stat().st_size * place))
        content.write(bytes(4096))
    assert read_reference(str(tmp_path), "key") is None


ON_A_SMALL_DISK = """
import sys, torch
from orchestrator.policy.reference_cache import complete, keep_share, read_reference
from orchestrator.policy.scoring import ReferenceScores
complete(sys.argv[1], "key", [keep_share(sys.argv[1], "key", {0: ReferenceScores(torch.full((1000000,), -1.5))})])
try:
    read_reference(sys.argv[1], "key")
except OSError as error:
    print(error.errno)
"""


def test_a_disk_that_is_full_while_arrays_are_laid_out_is_told(tmp_path: Path) -> None:
    """Parquet of equal numbers is small, and fits; the arrays do not."""
    mounted = ["unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o size=1m tmpfs "$0" && exec "$@"', str(tmp_path)]
    if shutil.which("unshare") is None or subprocess.run([*mounted, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this user may not mount a small disk")
    found = subprocess.run([*mounted, sys.executable, "-c", ON_A_SMALL_DISK, str(tmp_path)], check=False, capture_output=True, text=True)
    assert (found.returncode, found.stdout.strip()) == (0, str(errno.ENOSPC)), found.stderr


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_file_systems_without_locks_keep_nobody_waiting(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    # As another process's that was killed on such a file system.
    (tmp_path / "key.lock").write_text("4242 node-7")
    assert compute_once(str(tmp_path)) == 1 and compute_once(str(tmp_path)) == 0


def compute_once(cache: str) -> int:
    """Compute unless somebody has; says whether it computed."""
    with writing_alone(cache, "key"):
        if read_reference(cache, "key") is not None:
            return 0
        time.sleep(0.2)
        keep(cache, SCORES, OTHER_SCORES)
        return 1


def test_of_several_processes_that_ask_at_the_same_time_one_computes(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("spawn")) as processes:
        assert sum(processes.map(compute_once, [str(tmp_path)] * 4)) == 1


def test_a_model_written_anew_has_another_fingerprint(tmp_path: Path) -> None:
    model = make_tiny_model(tmp_path / "model", seed=1, scale=0.05)
    before = key(model)
    make_tiny_model(model, seed=2, scale=0.05)
    assert key(model) != before


def test_weights_in_torchs_own_format_count_too(tmp_path: Path) -> None:
    fingerprints = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
        (tmp_path / name / "pytorch_model.bin").write_text(name)
        fingerprints.append(key(tmp_path / name))
    assert len(set(fingerprints)) == 2


def test_a_repository_of_the_hub_has_another_key_at_another_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for commit in ("aa", "bb", "bb"):
        monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda model, name, c=commit: f"/hub/{model}/snapshots/{c}/{name}")
        found.append(reference_key("owner/one", PAIRS, "torch.float32", "shared"))
    assert found[0] != found[1] == found[2]
