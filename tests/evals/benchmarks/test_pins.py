"""The official prompts are known again, and what is wrong with others is said."""

from collections.abc import Sequence

import pytest

from evals.benchmarks import pins
from evals.benchmarks.files import read_rows
from evals.benchmarks.pins import PROMPT_SETS, PromptSet, check_prompts, prompt_set_sha256
from evals.errors import DataFormatError, UserError
from tests.evals.benchmarks.official import DATA, needs_data

Prompts = list[tuple[str, Sequence[str]]]
SMALL: Prompts = [("0123456789", ["Hello?"]), ("abcdefghij", ["Ça va ?", "And\nthen?"]), ("7", ["Why?"])]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A benchmark of three prompts."""
    pinned = PromptSet(prompt_set_sha256(SMALL), ("012345", "abcdef", "7"))
    monkeypatch.setattr(pins, "PROMPT_SETS", {"small": pinned})


def official(benchmark: str) -> Prompts:
    """The prompts in the real files."""
    if benchmark == "alpaca_eval2":
        return [(str(row["index"]), [row["instruction"]]) for row in read_rows(DATA / "alpaca_eval2" / "instructions.jsonl.gz")]
    if benchmark == "mt_bench":
        return [(str(row["question_id"]), row["turns"]) for row in read_rows(DATA / "mt_bench" / "question.jsonl")]
    version = benchmark.removeprefix("arena_hard_")
    return [(row["uid"], [row["prompt"]]) for row in read_rows(DATA / "arena_hard" / f"question_{version}.jsonl.gz")]


@needs_data
@pytest.mark.parametrize("benchmark", PROMPT_SETS)
def test_the_real_prompts_are_those_that_are_pinned(benchmark: str) -> None:
    prompts = official(benchmark)
    check_prompts(benchmark, prompts)
    assert tuple(name[:6] for name, _ in prompts) == PROMPT_SETS[benchmark].starts


@needs_data
@pytest.mark.parametrize("benchmark", PROMPT_SETS)
def test_of_the_real_prompts_one_that_is_missing_is_named(benchmark: str) -> None:
    prompts = official(benchmark)
    with pytest.raises(DataFormatError, match=f"of {len(prompts)}, 1 is missing: {prompts[17][0][:6]}"):
        check_prompts(benchmark, prompts[:17] + prompts[18:])


def test_ids_are_known_again_by_their_beginnings() -> None:
    assert {name: len(set(pinned.starts)) for name, pinned in PROMPT_SETS.items()} == {
        "alpaca_eval2": 805,
        "arena_hard_v0.1": 500,
        "arena_hard_v2.0": 750,
        "mt_bench": 80,
    }


def test_the_hash_is_that_of_compact_json_in_utf8() -> None:
    assert prompt_set_sha256([("1", ("ç",))]) == "bb43c806464906b95fa0dd6a3ec61bfa9b64d51ae3e3581bef1439fe418013b7"


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("prompts", "what"),
    [
        (SMALL[1:], "of 3, 1 is missing: 012345…$"),
        (SMALL[:1], "of 3, 2 are missing: abcdef…, 7$"),
        ([*SMALL, ("8", ["x"]), ("zzzzzzzzzz", ["y"])], "of 3, 2 are not among them: 8, zzzzzzzzzz$"),
        ([*SMALL[:2], ("8", ["x"])], "1 is missing: 7; 1 is not among them: 8$"),
        ([*SMALL, SMALL[2]], "1 is given twice: 7$"),
        ([SMALL[1], SMALL[0], SMALL[2]], "their order differs$"),
        ([*SMALL[:2], ("7", ["Why ?"])], "the ids are the same, and a text differs$"),
        ([("8", ["x"]) for _ in range(12)], "3 are missing: .*; 12 are not among them: (8, ){9}8 and 2 more; 1 is given twice"),
    ],
)
def test_what_is_wrong_with_prompts_is_said(prompts: Prompts, what: str) -> None:
    with pytest.raises(DataFormatError) as refused:
        check_prompts("small", prompts)
    assert refused.match(f"these are not the prompts of small: .*{what.removesuffix('$')}")
    assert refused.value.cure


@pytest.mark.usefixtures("small")
def test_the_official_prompts_pass_whatever_sequence_holds_the_turns() -> None:
    check_prompts("small", ((name, tuple(turns)) for name, turns in SMALL))


def test_a_benchmark_without_pins_is_refused() -> None:
    with pytest.raises(UserError, match="no pinned prompts of 'mmlu'"):
        check_prompts("mmlu", [])
