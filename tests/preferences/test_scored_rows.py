"""Rows with several scored responses become pairs of the best and the worst; what cannot be ranked is refused with line and cure."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from evals.prompts import Message
from orchestrator.errors import DataFormatError
from orchestrator.preferences.pairs import ScoredResponse
from orchestrator.preferences.reading import load_pairs
from orchestrator.settings import DataSettings
from orchestrator.training.inputs import read_sources
from tests.preferences.files import write_gzip, write_lines, write_parquet

SPELLINGS = [("responses", "rewards"), ("all_generated_responses", "all_rm_scores")]
FORMATS = [("rows.jsonl", write_lines), ("rows.jsonl.gz", write_gzip), ("rows.parquet", write_parquet)]
GOOD = {"prompt": "say fox", "responses": ["cat", "fox", "dog", "ox"], "rewards": [0.5, 3, -1.0, 2.5]}
Write = Callable[[Path, Sequence[Mapping[str, Any]]], None]


def spelled(names: tuple[str, str], row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with other names for the responses and rewards."""
    return {dict(zip(SPELLINGS[0], names, strict=True)).get(key, key): value for key, value in row.items()}


def refusal(file: Path, row: Mapping[str, Any]) -> DataFormatError:
    """The error that this row raises, after a good one."""
    file.write_text(f"{json.dumps(GOOD)}\n{json.dumps(row)}\n")
    with pytest.raises(DataFormatError) as refused:
        load_pairs(file)
    return refused.value


@pytest.mark.parametrize("names", SPELLINGS, ids=lambda names: names[0])
@pytest.mark.parametrize(("name", "write"), FORMATS)
def test_the_best_response_is_chosen_the_worst_rejected_and_the_rest_follow_from_good_to_bad(
    name: str, write: Write, names: tuple[str, str], tmp_path: Path
) -> None:
    write(tmp_path / name, [spelled(names, GOOD), spelled(names, {**GOOD, "responses": ["a", "b"], "rewards": [1.0, 2.0]})])
    first, second = load_pairs(tmp_path / name)
    assert first.prompt == (Message("user", "say fox"),)
    assert (first.chosen, first.chosen_reward, first.rejected, first.rejected_reward) == ("fox", 3.0, "dog", -1.0)
    assert first.others == (ScoredResponse("ox", 2.5), ScoredResponse("cat", 0.5))
    assert (second.chosen, second.rejected, second.others) == ("b", "a", ())


def test_responses_of_equal_reward_keep_their_order(tmp_path: Path) -> None:
    write_lines(tmp_path / "rows.jsonl", [{"prompt": "?", "responses": ["a", "b", "c", "d"], "rewards": [2, 2, 2, 1]}])
    (pair,) = load_pairs(tmp_path / "rows.jsonl")
    assert (pair.chosen, [other.text for other in pair.others], pair.rejected) == ("a", ["b", "c"], "d")


@pytest.mark.parametrize(("name", "write"), FORMATS)
def test_conversations_may_stand_for_the_prompt_and_the_responses(name: str, write: Write, tmp_path: Path) -> None:
    turns = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "say fox"}]
    answers = [[{"role": "assistant", "content": text}] for text in ("dog", "fox", "cat")]
    write(tmp_path / name, [{"prompt": turns, "responses": answers, "rewards": [0.0, 2.0, 1.0]}])
    (pair,) = load_pairs(tmp_path / name)
    assert pair.prompt == (Message("system", "be brief"), Message("user", "say fox"))
    assert (pair.chosen, pair.rejected, pair.others) == ("fox", "dog", (ScoredResponse("cat", 1.0),))


def test_a_row_that_has_a_pair_too_is_read_for_all_its_responses(tmp_path: Path) -> None:
    write_lines(tmp_path / "rows.jsonl", [{**spelled(SPELLINGS[1], GOOD), "chosen": "cat", "rejected": "dog"}])
    (pair,) = load_pairs(tmp_path / "rows.jsonl")
    assert (pair.chosen, pair.rejected, len(pair.others)) == ("fox", "dog", 2)


@pytest.mark.parametrize(("name", "write"), FORMATS)
def test_rows_of_both_kinds_may_lie_in_one_file_and_each_tells_its_line(name: str, write: Write, tmp_path: Path) -> None:
    write(tmp_path / name, [{"prompt": "say fox", "chosen": "fox", "rejected": "dog"}, GOOD])
    plain, scored = load_pairs(tmp_path / name)
    assert (plain.chosen, plain.rejected, plain.chosen_reward, plain.others) == ("fox", "dog", None, ())
    assert (scored.chosen, scored.rejected, scored.chosen_reward, len(scored.others)) == ("fox", "dog", 3.0, 2)
    mark = ", row " if name.endswith("parquet") else ":"
    assert [pair.origin for pair in (plain, scored)] == [f"{tmp_path / name}{mark}{number}" for number in (1, 2)]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"rewards": [1, 2, 3]}, "4 responses and 3 rewards"),
        ({"responses": ["a", "b"]}, "2 responses and 4 rewards"),
        ({"responses": ["a"], "rewards": [1]}, "1 responses and 1 rewards"),
        ({"responses": [], "rewards": []}, "0 responses and 0 rewards"),
        ({"prompt": None}, "no `prompt`"),
        ({"prompt": ""}, "no `prompt`"),
        ({"rewards": [1, 2, float("nan"), 3]}, "a reward is nan"),
        ({"rewards": [1, 2, float("inf"), 3]}, "a reward is inf"),
        ({"rewards": [1, 2, None, 3]}, "cannot be read"),
        ({"rewards": [1, 2, "high", 3]}, "cannot be read"),
        ({"responses": ["a", "b", 5, "d"]}, "cannot be read"),
        ({"responses": ["a", "b", None, "d"]}, "cannot be read"),
        ({"responses": ["a", "b", [{"role": "assistant", "content": ""}], "d"]}, "a response has no text"),
        ({"responses": ["a", "b", [], "d"]}, "cannot be read"),
        ({"responses": 4}, "cannot be read"),
    ],
)
@pytest.mark.parametrize("names", SPELLINGS, ids=lambda names: names[0])
def test_a_row_that_cannot_be_ranked_is_refused_with_its_line_and_what_such_a_row_needs(
    change: Mapping[str, Any], what: str, names: tuple[str, str], tmp_path: Path
) -> None:
    error = refusal(tmp_path / "rows.jsonl", spelled(names, GOOD | dict(change)))
    assert what in error.what
    assert error.where == f"{tmp_path / 'rows.jsonl'}:2"
    assert error.cure.startswith('each row needs "prompt", "responses"') and '"rewards"' in error.cure


def test_the_letters_of_one_text_are_not_taken_for_responses(tmp_path: Path) -> None:
    assert refusal(tmp_path / "rows.jsonl", GOOD | {"responses": "abcd"}).where == f"{tmp_path / 'rows.jsonl'}:2"


@pytest.mark.parametrize("missing", ["responses", "rewards"])
def test_a_row_with_responses_or_rewards_alone_is_no_row(missing: str, tmp_path: Path) -> None:
    error = refusal(tmp_path / "rows.jsonl", {key: value for key, value in GOOD.items() if key != missing})
    assert "no `chosen`" in error.what
    assert error.where == f"{tmp_path / 'rows.jsonl'}:2"


def test_a_parquet_row_that_cannot_be_ranked_is_named(tmp_path: Path) -> None:
    write_parquet(tmp_path / "rows.parquet", [GOOD, {**GOOD, "rewards": [1.0]}])
    with pytest.raises(DataFormatError, match="4 responses and 1 rewards") as refused:
        load_pairs(tmp_path / "rows.parquet")
    assert refused.value.where == f"{tmp_path / 'rows.parquet'}, row 2"


def test_a_row_whose_rewards_are_all_equal_prefers_nothing_and_is_set_aside(tmp_path: Path) -> None:
    row = {"prompt": "say fox", "responses": ["cat", "fox"], "rewards": [1, 1.0]}
    write_lines(tmp_path / "rows.jsonl", [GOOD, row])
    read = read_sources(DataSettings(train=str(tmp_path / "rows.jsonl")))
    assert len(read.pairs) == 1
    assert [(each.origin, each.reason) for each in read.set_aside] == [
        (f"{tmp_path / 'rows.jsonl'}:2", "all responses have the same reward")
    ]
