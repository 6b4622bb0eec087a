"""The chat template is applied once, the prompt is never cut, and what cannot be learned from is left out and counted."""

import copy
from typing import Any

import pytest

from evals.prompts import Message
from orchestrator.errors import DataFormatError, ModelError
from orchestrator.preferences.pairs import PreferencePair
from orchestrator.preferences.tokenization import prompt_ids, tokenize

WIDE = 64


def pair(chosen: str, rejected: str, prompt: str = "say fox", origin: str = "pairs.jsonl:7") -> PreferencePair:
    """A pair with one user turn and rewards."""
    return PreferencePair((Message("user", prompt),), chosen, rejected, 2.0, 1.0, origin)


def test_the_template_opens_the_answer_once_and_the_response_is_plain_text(tokenizer: Any) -> None:
    (made,) = tokenize(tokenizer, [pair("quick fox", "dog")], WIDE).pairs
    whole = tokenizer.decode([*made.prompt, *made.chosen])
    assert whole == "<|user|>say fox<|end|><|assistant|>quick fox<|end|>"
    assert tokenizer.decode([*made.prompt, *made.rejected]) == "<|user|>say fox<|end|><|assistant|>dog<|end|>"


def test_prompt_and_response_are_the_tokens_of_the_whole_conversation(tokenizer: Any) -> None:
    (made,) = tokenize(tokenizer, [pair("quick fox", "dog")], WIDE).pairs
    turns = [{"role": "user", "content": "say fox"}, {"role": "assistant", "content": "quick fox"}]
    assert [*made.prompt, *made.chosen] == tokenizer.apply_chat_template(turns, return_dict=False)


def test_a_system_turn_comes_before_the_users(tokenizer: Any) -> None:
    turns = (Message("system", "be brief"), Message("user", "say fox"))
    assert tokenizer.decode(prompt_ids(tokenizer, turns)) == "<|system|>be brief<|end|><|user|>say fox<|end|><|assistant|>"


@pytest.mark.parametrize("text", ["fox", "quick brown fox", "fox ", "", "two\nlines"])
def test_a_whole_response_ends_with_exactly_one_end_token(text: str, tokenizer: Any) -> None:
    (made,) = tokenize(tokenizer, [pair(text, "another answer")], WIDE).pairs
    assert made.chosen[-1] == tokenizer.eos_token_id
    assert made.chosen.count(tokenizer.eos_token_id) == 1
    assert tokenizer.decode(made.chosen[:-1]) == text


def test_truncation_keeps_the_prompt_and_cuts_the_response_at_its_end(tokenizer: Any) -> None:
    (whole,) = tokenize(tokenizer, [pair("fox " * 20, "dog")], 512).pairs
    context = len(whole.prompt) + 5
    (cut,) = tokenize(tokenizer, [pair("fox " * 20, "dog")], context).pairs
    assert cut.prompt == whole.prompt
    assert cut.chosen == whole.chosen[:5]
    assert tokenizer.eos_token_id not in cut.chosen
    assert cut.rejected == whole.rejected


WAY_OUT = 'data.bad_rows = "quarantine"'


@pytest.mark.parametrize("spare", [0, -3])
def test_a_prompt_that_leaves_no_room_is_refused_with_its_row(spare: int, tokenizer: Any) -> None:
    length = len(prompt_ids(tokenizer, (Message("user", "say fox"),)))
    with pytest.raises(DataFormatError, match=f"a prompt of {length} tokens leaves no room") as refused:
        tokenize(tokenizer, [pair("fox", "dog")], length + spare)
    assert refused.value.where == "pairs.jsonl:7"
    assert "data.context" in refused.value.cure and refused.value.cure.count(WAY_OUT) == 1


def test_pairs_that_truncation_made_the_same_are_left_out_and_counted(tokenizer: Any) -> None:
    room = len(prompt_ids(tokenizer, (Message("user", "say fox"),))) + 3
    same, different = pair("fox fox fox fox", "fox fox fox dog"), pair("fox", "dog")
    data = tokenize(tokenizer, [same, different, same, pair("fox", "fox")], room)
    assert data.identical == 3
    assert len(data.pairs) == 1
    assert data.pairs[0].chosen == (*tokenizer("fox")["input_ids"], tokenizer.eos_token_id)[:3]


def test_data_in_which_every_pair_is_the_same_is_refused(tokenizer: Any) -> None:
    with pytest.raises(DataFormatError, match="the same in every pair") as refused:
        tokenize(tokenizer, [pair("fox", "fox")] * 2, WIDE)
    assert refused.value.code == "DAA-0211"
    assert refused.value.where == "pairs.jsonl:7"
    assert "data.context" in refused.value.cure


def test_rewards_travel_with_their_pair(tokenizer: Any) -> None:
    (made,) = tokenize(tokenizer, [pair("fox", "dog")], WIDE).pairs
    assert (made.chosen_reward, made.rejected_reward) == (2.0, 1.0)


@pytest.mark.parametrize(
    ("prompts", "after"),
    [("abcd", [1, 2, 3, 0]), ("aaabbc", [3, 3, 3, 5, 5, 0]), ("aaba", [2, 2, 3, 2]), ("aaa", [1, 2, 0]), ("a", [0])],
)
def test_a_mismatched_response_is_that_of_the_next_pair_with_another_prompt(prompts: str, after: list[int], tokenizer: Any) -> None:
    pairs = [pair(f"fox {number}", f"dog {number}", f"say {prompt}") for number, prompt in enumerate(prompts)]
    made = tokenize(tokenizer, pairs, WIDE).pairs
    found = [tokenizer.decode(each.mismatched[:-1]) for each in made]
    assert found == [f"{'dog' if place % 2 else 'fox'} {other}" for place, other in enumerate(after)]


def test_a_tokenizer_without_a_chat_template_is_refused_with_a_cure(tokenizer: Any) -> None:
    bare = copy.deepcopy(tokenizer)
    bare.chat_template = None
    with pytest.raises(ModelError, match="no chat template") as refused:
        tokenize(bare, [pair("fox", "dog")], WIDE)
    assert refused.value.where == str(tokenizer.name_or_path)
    assert "chat_template.jinja" in refused.value.cure
