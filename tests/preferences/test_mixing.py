"""Mixtures repeat and thin out sources the same way each time."""

import os
import shutil
from collections import Counter
from pathlib import Path

import pytest
from pydantic import ValidationError

from orchestrator.errors import DataFormatError
from orchestrator.preferences.mixing import mixed
from orchestrator.settings import DataSettings, MixtureSettings
from orchestrator.training.inputs import load_inputs, read_sources
from tests.conftest import make_pairs
from tests.preferences.files import write_lines
from tests.training.test_validation import distinct_pairs

PAIRS = distinct_pairs(40)


def test_a_weight_repeats_and_a_fraction_takes_its_share() -> None:
    counts = Counter(pair.chosen for pair in mixed([(PAIRS, 2.5)], seed=0))
    assert len(counts) == 40
    assert sorted(counts.values()) == [2] * 20 + [3] * 20


def test_the_same_seed_takes_the_same_pairs_in_whatever_order_they_lie_and_another_takes_others() -> None:
    first, turned = (set(mixed([(pairs, 0.5)], seed=1)) for pairs in (PAIRS, PAIRS[::-1]))
    assert len(first) == 20
    assert first == turned != set(mixed([(PAIRS, 0.5)], seed=2))


def test_a_larger_share_takes_what_a_smaller_one_does_and_more() -> None:
    assert set(mixed([(PAIRS, 0.25)], seed=0)) < set(mixed([(PAIRS, 0.5)], seed=0))


def test_sources_follow_each_other_in_the_order_of_their_rows() -> None:
    assert mixed([(PAIRS[:3], 1), (PAIRS[3:5], 2)], seed=0) == [*PAIRS[:5], *PAIRS[3:5]]


def test_a_mixture_takes_the_place_of_one_source() -> None:
    part = MixtureSettings(source="b.jsonl", weight=0.5)
    assert DataSettings(train="a.jsonl", limit=3).sources == (MixtureSettings(source="a.jsonl", limit=3),)
    assert DataSettings(mixture=(part,)).sources == (part,)
    for other in ({"train": "a.jsonl"}, {"limit": 3}, {"split": "test"}):
        with pytest.raises(ValidationError, match=r"data\.mixture takes the place"):
            DataSettings.model_validate({"mixture": [part], **other})


def test_training_reads_the_mixture_with_all_pairs_of_a_prompt_on_one_side(tiny_model: Path, tmp_path: Path) -> None:
    for name, pairs in (("a.jsonl", PAIRS), ("b.jsonl", make_pairs(60))):
        write_lines(
            tmp_path / name, [{"prompt": pair.prompt[0].content, "chosen": pair.chosen, "rejected": pair.rejected} for pair in pairs]
        )
    parts = (MixtureSettings(source=str(tmp_path / "a.jsonl"), weight=2), MixtureSettings(source=str(tmp_path / "b.jsonl"), limit=10))
    inputs = load_inputs(str(tiny_model), DataSettings(mixture=parts, context=64, validation_pairs=4))
    assert (len(inputs.pairs), len(inputs.validation)) == (86, 4)
    assert not {pair.prompt for pair in inputs.pairs} & {pair.prompt for pair in inputs.validation}
    assert [line.partition(":")[0] for line in inputs.kinds] == ["a.jsonl", "b.jsonl"]


def test_weights_that_take_no_pair_are_refused(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.jsonl", [{"prompt": "say fox", "chosen": "fox", "rejected": "dog"}])
    with pytest.raises(DataFormatError, match="take no pair") as refused:
        read_sources(DataSettings(mixture=(MixtureSettings(source=str(tmp_path / "a.jsonl"), weight=0.01),)))
    assert (refused.value.code, refused.value.where) == ("DAA-0210", "data.mixture")


def test_bad_rows_are_left_out_of_training_and_named_when_they_are_quarantined(tiny_model: Path, tmp_path: Path) -> None:
    good = {"prompt": "say fox", "chosen": "fox", "rejected": "dog"}
    write_lines(tmp_path / "a.jsonl", [good, {"prompt": "say fox", "chosen": "fox"}, {**good, "prompt": "fox " * 100}])
    data = DataSettings(train=str(tmp_path / "a.jsonl"), context=64, bad_rows="quarantine")
    inputs = load_inputs(str(tiny_model), data)
    assert len(inputs.pairs) == 1
    unused = list(inputs.unused)
    assert [row.origin for row in unused] == [f"{tmp_path / 'a.jsonl'}:{line}" for line in (2, 3)]
    assert "leaves no room" in unused[1].reason


def test_pairs_are_read_once_and_again_when_their_file_or_the_tokenizer_has_changed(tiny_model: Path, tmp_path: Path) -> None:
    model, row = shutil.copytree(tiny_model, tmp_path / "model"), {"prompt": "say fox", "chosen": "fox", "rejected": "dog"}
    write_lines(tmp_path / "a.jsonl", [row])
    data = DataSettings(train=str(tmp_path / "a.jsonl"), context=64)
    first = load_inputs(str(model), data)
    assert load_inputs(str(model), data) is first
    write_lines(tmp_path / "a.jsonl", [row, {**row, "prompt": "say ox"}])
    second = load_inputs(str(model), data)
    assert (len(first.pairs), len(second.pairs)) == (1, 2)
    os.utime(model / "tokenizer_config.json", ns=(0, 0))
    assert load_inputs(str(model), data) is not second


def test_sources_name_their_columns_alone_and_in_a_mixture(tiny_model: Path, tmp_path: Path) -> None:
    write_lines(tmp_path / "a.jsonl", [{"query": "say fox", "chosen": "fox", "rejected": "dog"}])
    given = {"columns": {"prompt": "query"}, "limit": 1}
    alone = DataSettings.model_validate({"train": str(tmp_path / "a.jsonl"), "context": 64, **given})
    mixture = DataSettings.model_validate({"mixture": [{"source": str(tmp_path / "a.jsonl"), **given}], "context": 64})
    first, second = (load_inputs(str(tiny_model), data) for data in (alone, mixture))
    assert len(first.pairs) == 1 and first.pairs == second.pairs
    with pytest.raises(ValueError, match=r"takes the place of data.train, data.split, data.config, data.columns, data.limit"):
        DataSettings.model_validate({"mixture": [{"source": "a.jsonl"}], "columns": {"prompt": "query"}})
