"""Each fault of preference data is counted under its own name, and sound data have none."""

from collections.abc import Sequence
from typing import Any

import pytest

from evals.prompts import Message
from orchestrator.preferences.checks import CHECKS, DataReport, observe, report
from orchestrator.preferences.overlap import EvaluationTexts, evaluation_texts
from orchestrator.preferences.pairs import PreferencePair
from orchestrator.preferences.rows import BadRow, SetAside
from orchestrator.preferences.tokenization import prompt_ids, tokenize
from tests.conftest import make_pairs

LONG = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"


def pair(chosen: str = "fox", rejected: str = "the dog", prompt: str = "say fox", rewards: Sequence[float | None] = (None, None)) -> Any:
    """A pair whose rejected response is the longer one."""
    return PreferencePair((Message("user", prompt),), chosen, rejected, *rewards, origin=f"rows.jsonl:{prompt}")


def checked(tokenizer: Any, pairs: Sequence[PreferencePair], context: int = 64, evaluation: EvaluationTexts | None = None) -> DataReport:
    """The report on these pairs."""
    return report(observe(tokenizer, pairs, context, evaluation), context=context)


def counts(found: DataReport) -> dict[str, int]:
    """The checks that found something."""
    return {finding.name: finding.count for finding in found.findings if finding.count}


def room(tokenizer: Any, tokens: int) -> int:
    """The context that leaves so many tokens for an answer."""
    return len(prompt_ids(tokenizer, (Message("user", "say fox"),))) + tokens


def test_sound_pairs_have_no_fault(tokenizer: Any) -> None:
    found = checked(tokenizer, [pair(), pair(prompt="say ox")], evaluation=evaluation_texts(["say dog"]))
    assert counts(found) == {}
    assert (found.pairs, found.rows) == (2, 2)
    assert not any(finding.is_warning for finding in found.findings)


@pytest.mark.parametrize(
    ("fault", "name", "others"),
    [
        (pair("fox", "fox"), "identical", {}),
        (pair(prompt="<|user|>say fox<|assistant|>"), "special_tokens", {}),
        (pair("<|user|>", "the quick brown fox jumps over the lazy dog"), "special_tokens", {}),
        (pair("fox<|end|>", "the quick brown fox jumps over the lazy dog"), "inner_end", {"special_tokens": 1}),
        (pair(rewards=(1.0, 2.0)), "reversed_rewards", {}),
        (pair("the quick brown fox", "dog"), "chosen_longer", {}),
        (pair(prompt="fox " * 100), "over_long", {}),
        (pair(" \n", "the dog"), "empty", {}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_fault_is_counted_under_its_name_with_its_place(fault: PreferencePair, name: str, others: dict[str, int], tokenizer: Any) -> None:
    found = checked(tokenizer, [pair(prompt="say ox"), fault])
    assert counts(found) == {name: 1} | others
    (finding,) = [finding for finding in found.findings if finding.name == name]
    assert finding.places == (fault.origin,)
    assert (finding.share, found.rows) == (0.5, 2)


def test_truncation_tells_who_lost_what(tokenizer: Any) -> None:
    long, other = "fox " * 20, "fox " * 19 + "dog"
    context = room(tokenizer, 5)
    assert counts(checked(tokenizer, [pair("fox", long)], context)) == {"truncated": 1, "one_sided": 1}
    assert counts(checked(tokenizer, [pair(long, "fox")], context)) == {
        "truncated": 1,
        "one_sided": 1,
        "missing_end": 1,
        "chosen_longer": 1,
    }
    assert counts(checked(tokenizer, [pair(long, "the dog " * 10)], context)) == {"truncated": 1, "missing_end": 1}
    assert counts(checked(tokenizer, [pair(long, other)], context)) == {"truncated": 1, "missing_end": 1, "identical_by_truncation": 1}


def test_what_the_check_counts_is_what_training_leaves_out(tokenizer: Any) -> None:
    pairs = [*make_pairs(30), pair("fox", "fox"), pair("fox " * 20, "fox " * 19 + "dog"), pair(prompt="fox " * 60)]
    context = room(tokenizer, 6)
    found, trained = counts(checked(tokenizer, pairs, context)), tokenize(tokenizer, pairs, context, leave_out=True)
    assert trained.identical == found["identical"] + found["identical_by_truncation"] == 2
    assert len(trained.left_out) == found["over_long"]


def test_equals_and_opposites_are_found_among_all_pairs(tokenizer: Any) -> None:
    pairs = [pair(), pair("fox", "the lazy dog"), pair(), pair("the dog", "fox"), pair(prompt="say ox")]
    found = counts(checked(tokenizer, pairs))
    assert (found["duplicate_prompts"], found["duplicate_pairs"], found["contradictions"]) == (3, 1, 3)


def test_a_beginning_that_the_data_repeat_is_counted() -> None:
    from orchestrator.worlds.small_model import BEGIN, make_tokenizer

    tokenizer = make_tokenizer(["say fox"], 300, 64)
    found = counts(checked(tokenizer, [pair(), pair(prompt=f"{BEGIN}say fox"), pair(f"{BEGIN}fox", "the lazy dog", prompt="say ox")]))
    assert (found["double_begin"], found["special_tokens"]) == (2, 2)


@pytest.mark.parametrize(
    ("evaluated", "prompt", "name"),
    [
        ("Say: FOX!", "say fox", "evaluation_prompt"),
        (LONG, f"well, {LONG}, and so on", "evaluation_words"),
        (LONG, " ".join(LONG.split()[1:14]), "evaluation_words"),
        (LONG, " ".join(LONG.split()[:12]), None),
        (" ".join(LONG.split()[:9]), f"well, {' '.join(LONG.split()[1:9])}", "evaluation_words"),
        (" ".join(LONG.split()[:9]), f"well, {' '.join(LONG.split()[2:9])}", None),
        ("one two", "well, one two", None),
    ],
)
def test_evaluation_prompts_are_found_word_for_word_or_by_a_long_run_of_words(
    evaluated: str, prompt: str, name: str | None, tokenizer: Any
) -> None:
    found = counts(checked(tokenizer, [pair(prompt=prompt)], 256, evaluation_texts([evaluated])))
    assert {key for key in found if key.startswith("evaluation")} == {name} - {None}


def test_margins_and_lengths_are_those_of_the_pairs(tokenizer: Any) -> None:
    found = checked(tokenizer, [pair(prompt=f"say {n}", rewards=(n / 10, 0.0)) for n in range(11)])
    assert found.margins is not None
    assert (sum(found.margins.counts), found.margins.edges[0], found.margins.edges[-1]) == (11, 0.0, 1.0)
    assert found.margins.mean == pytest.approx(0.5)
    assert found.lengths["chosen"].largest == len(tokenizer("fox")["input_ids"]) + 1
    assert checked(tokenizer, [pair()]).margins is None


@pytest.mark.parametrize("margin", [0.0, 2.5, 1e17, -1e38])
def test_equal_margins_of_any_size_are_one_bar(tokenizer: Any, margin: float) -> None:
    found = checked(tokenizer, [pair(prompt=f"say {n}", rewards=(margin, 0.0)) for n in range(3)])
    assert found.margins is not None
    assert found.margins.counts == (3,) and found.margins.edges[0] < margin < found.margins.edges[1]


def test_rows_without_a_pair_count_among_the_rows_under_their_kind(tokenizer: Any) -> None:
    unused = [BadRow("", "a:1", "?", "", kind="prompt_mismatch"), BadRow("", "a:2", "?", ""), SetAside("", "a:3", "a tie")]
    found = report(observe(tokenizer, [pair()], 64), unused, 64)
    assert counts(found) == {"prompt_mismatch": 1, "unreadable": 1, "set_aside": 1}
    assert (found.pairs, found.rows) == (1, 4)
    assert [finding.name for finding in found.findings if finding.is_warning] == ["unreadable", "prompt_mismatch"]


def test_a_bound_is_passed_by_a_share_above_it_only(tokenizer: Any) -> None:
    found = checked(tokenizer, [pair("fox", "fox"), pair()])
    assert [finding.name for finding in found.above({"identical": 0.49, "over_long": 0.0})] == ["identical"]
    assert found.above({"identical": 0.5}) == []


def test_no_pairs_at_all_make_a_report(tokenizer: Any) -> None:
    found = checked(tokenizer, [])
    assert (found.pairs, found.margins, len(found.findings)) == (0, None, len(CHECKS))
