"""Token shards and the sets made of them, without a cluster: the pairs of data in memory, read when they are looked at."""

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evals.errors import ModelError
from evals.prompts import Message
from orchestrator.preferences.pairs import PreferencePair, TokenizedPair, collate, tokens_of
from orchestrator.preferences.rows import Row
from orchestrator.preferences.sequences import rewards_of
from orchestrator.preferences.set_planning import ShardedSource, plan_set
from orchestrator.preferences.sharding import Recipe, chunks, fingerprint, make_shard
from orchestrator.preferences.streamed_set import StreamedPairs, StreamedSet, is_complete
from orchestrator.preferences.token_shards import MappedTokens, Shard, shard_file
from orchestrator.preferences.tokenization import tokenize
from orchestrator.preferences.writing import row_of
from orchestrator.training.inputs import open_inputs
from tests.conftest import make_pairs
from tests.power_loss import Power
from tests.preferences.templates import KINDS

CONTEXT = 64


def shards_of(pairs: Sequence[PreferencePair], tokenizer: Any, root: Path, rows: int = 20) -> list[str]:
    """The pairs in shards of so many rows."""
    recipe = Recipe(fingerprint(tokenizer), CONTEXT)
    found = [Row("a.jsonl", f"a.jsonl:{number}", row_of(pair)) for number, pair in enumerate(pairs, 1)]
    parts = [chunk for start in range(0, len(found), rows) for chunk in chunks(found[start : start + rows])]
    return [make_shard(tokenizer, recipe, part, root / "shards")[0] for part in parts]


def streamed(pairs: Sequence[PreferencePair], tokenizer: Any, root: Path, held_out: int = 0) -> StreamedSet:
    """The pairs as a streamed set."""
    plan_set(root / "set", root / "shards", [ShardedSource("a", shards_of(pairs, tokenizer, root))], CONTEXT, held_out)
    return StreamedSet(root / "set", root / "shards")


def test_pairs_come_out_as_they_are_tokenised_with_their_mismatched_responses(tokenizer: Any, tmp_path: Path) -> None:
    pairs = [replace(pair, prompt=(Message("user", f"say {pair.chosen} {number}"),)) for number, pair in enumerate(make_pairs(70))]
    found, expected = streamed(pairs, tokenizer, tmp_path, 3), tokenize(tokenizer, pairs, CONTEXT, 3)
    assert list(found.pairs) == list(expected.pairs) and list(found.validation) == list(expected.validation)
    assert found.pairs[-1] == expected.pairs[-1] and found.pairs[2:4] == list(expected.pairs[2:4])
    assert len(found.validation) == 3 and any(pair.others for pair in found.pairs)


@pytest.mark.parametrize("prompts", ["aaabbcca", "aaaa", "abcabc"])
def test_mismatched_responses_of_prompts_with_several_pairs_are_those_of_data_in_memory(
    prompts: str, tokenizer: Any, tmp_path: Path
) -> None:
    pairs = [replace(pair, prompt=(Message("user", f"say {prompt}"),)) for pair, prompt in zip(make_pairs(8), prompts, strict=False)]
    assert list(streamed(pairs, tokenizer, tmp_path).pairs) == list(tokenize(tokenizer, pairs, CONTEXT).pairs)


def test_batches_of_both_are_the_same_tensors(tokenizer: Any, tmp_path: Path) -> None:
    pairs = make_pairs(70)
    both = streamed(pairs, tokenizer, tmp_path).pairs, tokenize(tokenizer, pairs, CONTEXT).pairs
    found, expected = (collate(each, [40, 3, 69], others=True, mismatched=True) for each in both)
    assert found.responses.tokens.equal(expected.responses.tokens) and found.responses.units == expected.responses.units
    assert found.rewards.equal(expected.rewards)
    assert found.mismatched is not None and expected.mismatched is not None
    assert found.mismatched.tokens.equal(expected.mismatched.tokens)


def test_batches_are_planned_without_reading_a_token(tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = make_pairs(50)
    expected = [tokens_of(pair, others=True, mismatched=True) for pair in tokenize(tokenizer, pairs, CONTEXT).pairs]
    found = streamed(pairs, tokenizer, tmp_path).pairs
    monkeypatch.setattr(MappedTokens, "__iter__", lambda tokens: pytest.fail("tokens were read"))
    assert [tokens_of(pair, others=True, mismatched=True) for pair in found] == expected


def test_rewards_are_known_without_reading_pairs(tokenizer: Any, tmp_path: Path) -> None:
    pairs = [*make_pairs(30), *(replace(pair, chosen_reward=None, rejected_reward=None, others=()) for pair in make_pairs(30, 1))]
    found, expected = streamed(pairs, tokenizer, tmp_path, 2), tokenize(tokenizer, pairs, CONTEXT, 2)
    for side in ("pairs", "validation"):
        np.testing.assert_array_equal(getattr(found, side).rewards, rewards_of(getattr(expected, side)))


def test_tokens_are_views_of_the_file(tokenizer: Any, tmp_path: Path) -> None:
    (name,) = shards_of(make_pairs(20), tokenizer, tmp_path)
    shard = Shard(shard_file(tmp_path / "shards", name))
    values = shard.side("chosen", 3)._values
    assert isinstance(values, np.ndarray) and not values.flags.owndata and not values.flags.writeable


def test_mapped_tokens_pass_for_a_tuple() -> None:
    tokens = MappedTokens(np.array([5, 6, 7], dtype=np.int32))
    assert tokens == (5, 6, 7) and tokens == (5, 6, 7) and hash(tokens) == hash((5, 6, 7))
    assert tokens != (5, 6) and tokens[1:] == (6, 7) and tokens[-1] == 7 and [*tokens] == [5, 6, 7]
    assert TokenizedPair(tokens, tokens, tokens) == TokenizedPair((5, 6, 7), (5, 6, 7), (5, 6, 7))


def test_what_decides_the_tokens_decides_the_name_of_a_shard(tokenizer: Any, tmp_path: Path) -> None:
    (chunk,) = chunks([Row("a", "a:1", row_of(make_pairs(1)[0]))])
    (other,) = chunks([Row("a", "a:1", row_of(make_pairs(2)[1]))])
    own = fingerprint(tokenizer)
    another = fingerprint(next(iter(KINDS.values())).tokenizer(tmp_path / "another"))
    recipes = [Recipe(own, CONTEXT), Recipe(own, CONTEXT - 1), Recipe(another, CONTEXT), Recipe(own, CONTEXT, 0), Recipe(own, CONTEXT, 1)]
    made = [make_shard(tokenizer, recipe, chunk, tmp_path) for recipe in recipes]
    made.append(make_shard(tokenizer, recipes[0], other, tmp_path))
    assert len({name for name, _ in made}) == len(made)
    assert make_shard(tokenizer, recipes[0], chunk, tmp_path) == (made[0][0], True)


def test_other_pairs_and_another_order_have_another_digest(tokenizer: Any, tmp_path: Path) -> None:
    pairs = make_pairs(40)
    sets = [streamed(each, tokenizer, tmp_path / str(number)) for number, each in enumerate((pairs, pairs[:-1], pairs[::-1], pairs))]
    assert len({each.pairs.digest for each in sets}) == 3


def test_a_shard_whose_writing_fails_is_not_there(tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise OSError("no room")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="no room"):
        shards_of(make_pairs(3), tokenizer, tmp_path)
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []


def test_shards_and_sets_outlive_a_loss_of_power(tokenizer: Any, tmp_path: Path, power: Power) -> None:
    expected = list(tokenize(tokenizer, make_pairs(30), CONTEXT).pairs)
    found = streamed(make_pairs(30), tokenizer, tmp_path)
    power.fails(tmp_path)
    assert is_complete(tmp_path / "set", tmp_path / "shards") and list(found.pairs) == expected


@pytest.mark.parametrize("left", [0.0, 0.5, 0.99])
def test_a_shard_that_a_fault_cut_short_is_made_again(left: float, tokenizer: Any, tmp_path: Path) -> None:
    expected = list(tokenize(tokenizer, make_pairs(30), CONTEXT).pairs)
    streamed(make_pairs(30), tokenizer, tmp_path)
    cut = next(tmp_path.rglob("*.arrow"))
    os.truncate(cut, int(cut.stat().st_size * left))
    assert not is_complete(tmp_path / "set", tmp_path / "shards")
    assert list(streamed(make_pairs(30), tokenizer, tmp_path).pairs) == expected
    assert is_complete(tmp_path / "set", tmp_path / "shards")


def test_a_sequence_of_streamed_pairs_counts_like_any_other(tokenizer: Any, tmp_path: Path) -> None:
    found: StreamedPairs = streamed(make_pairs(30), tokenizer, tmp_path).pairs
    with pytest.raises(IndexError):
        found[len(found)]


def test_rows_are_cut_into_chunks_at_the_same_places_each_time() -> None:
    few, long = {"prompt": "a", "chosen": "b", "rejected": "c"}, {"prompt": "a" * (5 << 20), "chosen": "b", "rejected": "c"}
    rows = [Row("a", f"a:{number}", long if number == 10 else few) for number in range(9000)]
    counts = [len(json.loads(chunk)) for chunk in chunks(rows)]
    assert counts == [11, 4096, 4096, 9000 - 11 - 2 * 4096]


def test_a_streamed_set_for_which_the_model_has_too_few_embeddings_is_refused(
    tiny_model: Path, tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    streamed(make_pairs(20), tokenizer, tmp_path)
    monkeypatch.setattr("orchestrator.training.inputs.vocabulary_size", lambda directory: 5)
    with pytest.raises(ModelError, match="the model has embeddings for 5"):
        open_inputs(str(tiny_model), tmp_path / "set", tmp_path / "shards")
