"""Reference scores are found by what they were computed from, computed once, and never read half-written."""

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch
from torch import Tensor

from orchestrator.policy import reference_cache
from orchestrator.policy.reference_cache import keep_reference, merge_shares, read_reference, reference_key
from orchestrator.policy.scoring import ReferenceScores
from orchestrator.preferences.pairs import TokenizedPair
from tests.evals.tiny_model import make_tiny_model

SCORES = ReferenceScores(torch.tensor([[-1.5, -2.0, -4.0], [-3.0, -0.25, 0.0]]), torch.tensor([[-1.0, -2.0], [-3.0, -0.25]]))
PAIRS = (TokenizedPair((1, 2), (3,), (4, 5)), TokenizedPair((6,), (7,), (8,)))
FURTHER = (dataclasses.replace(PAIRS[0], others=((9,), (5, 6)), other_rewards=(0.5, 0.25), mismatched=(7,)), PAIRS[1])


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


def further_key(pairs: Sequence[TokenizedPair], others: bool, mismatched: bool) -> str:
    """The name of the scores of further responses too."""
    return reference_key("owner/one", pairs, torch.float32, others, mismatched)


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
    assert key(tiny_model, precision=torch.bfloat16) != key(tiny_model)


def test_other_weights_of_the_same_shape_have_another_key(tiny_model: Path, tmp_path: Path) -> None:
    assert key(make_tiny_model(tmp_path / "other", seed=1, scale=0.05)) != key(tiny_model)


def test_a_hub_identifier_stands_for_itself() -> None:
    assert reference_key("owner/one", PAIRS, torch.float32) == reference_key("owner/one", PAIRS, torch.float32)
    assert reference_key("owner/one", PAIRS, torch.float32) != reference_key("owner/two", PAIRS, torch.float32)


@pytest.mark.parametrize("mismatched", [None, torch.tensor([-7.0, -8.5])])
def test_what_was_kept_is_read_by_whoever_asks(mismatched: Tensor | None, tmp_path: Path) -> None:
    scores = dataclasses.replace(SCORES, mismatched_logp=mismatched)
    assert read_reference(tmp_path / "cache", "key") is None
    keep_reference(tmp_path / "cache", "key", scores)
    kept = read_reference(tmp_path / "cache", "key")
    assert kept is not None
    assert torch.equal(kept.logp, scores.logp) and torch.equal(kept.prefix_logp, scores.prefix_logp)
    if mismatched is None:
        assert kept.mismatched_logp is None
    else:
        assert kept.mismatched_logp is not None and torch.equal(kept.mismatched_logp, mismatched)
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
@pytest.mark.parametrize("columns", [(), (4,)], ids=["one number for each pair", "a row for each pair"])
def test_merged_shares_are_in_the_order_of_the_data(columns: tuple[int, ...], count: int, ranks: int) -> None:
    data = torch.randn(count, *columns, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert merge_shares([data[rank::ranks] for rank in range(ranks)]).dtype == data.dtype
    assert torch.equal(merge_shares([data[rank::ranks] for rank in range(ranks)]), data)
