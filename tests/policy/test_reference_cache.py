"""Reference scores are found by what they were computed from, computed once, and never read half-written."""

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import pytest
import torch

from orchestrator.policy import reference_cache
from orchestrator.policy.reference_cache import keep_reference, merge_shares, read_reference, reference_key
from orchestrator.policy.scoring import ReferenceScores
from orchestrator.preferences.pairs import TokenizedPair
from tests.evals.tiny_model import make_tiny_model

SCORES = ReferenceScores(torch.tensor([-1.5, -2.0]), torch.tensor([-3.0, -0.25]))
PAIRS = (TokenizedPair((1, 2), (3,), (4, 5)), TokenizedPair((6,), (7,), (8,)))


def key(model: Path, pairs: Sequence[TokenizedPair] = PAIRS, precision: torch.dtype = torch.float32) -> str:
    """The name of the scores."""
    return reference_key(str(model), pairs, precision)


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


def test_another_precision_has_another_key(tiny_model: Path) -> None:
    assert key(tiny_model, precision=torch.bfloat16) != key(tiny_model)


def test_other_weights_of_the_same_shape_have_another_key(tiny_model: Path, tmp_path: Path) -> None:
    assert key(make_tiny_model(tmp_path / "other", seed=1, scale=0.05)) != key(tiny_model)


def test_a_hub_identifier_stands_for_itself() -> None:
    assert reference_key("owner/one", PAIRS, torch.float32) == reference_key("owner/one", PAIRS, torch.float32)
    assert reference_key("owner/one", PAIRS, torch.float32) != reference_key("owner/two", PAIRS, torch.float32)


def test_what_was_kept_is_read_by_whoever_asks(tmp_path: Path) -> None:
    assert read_reference(tmp_path / "cache", "key") is None
    keep_reference(tmp_path / "cache", "key", SCORES)
    kept = read_reference(tmp_path / "cache", "key")
    assert kept is not None
    assert torch.equal(kept.chosen, SCORES.chosen) and torch.equal(kept.rejected, SCORES.rejected)
    assert read_reference(tmp_path / "cache", "other") is None


def test_a_half_written_file_is_never_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(tensors: object, file: Path) -> NoReturn:
        file.write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(reference_cache, "save_file", dies)
        with pytest.raises(KeyboardInterrupt):
            keep_reference(tmp_path, "key", SCORES)
    assert read_reference(tmp_path, "key") is None
    keep_reference(tmp_path, "key", SCORES)
    assert read_reference(tmp_path, "key") is not None


@pytest.mark.parametrize(("count", "ranks"), [(8, 2), (7, 3), (5, 1), (2, 4)])
def test_merged_shares_are_in_the_order_of_the_data(count: int, ranks: int) -> None:
    data = torch.arange(count, dtype=torch.float32)
    assert torch.equal(merge_shares([data[rank::ranks] for rank in range(ranks)]), data)
