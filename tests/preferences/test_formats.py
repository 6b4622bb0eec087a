"""Every format that people have is recognised by its columns, becomes the same pairs, and says what it set aside."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evals.prompts import Message
from orchestrator.errors import DataFormatError
from orchestrator.preferences.formats import FORMATS
from orchestrator.preferences.pairs import PreferencePair, ScoredResponse
from orchestrator.preferences.reading import Reading, load_pairs, read_pairs
from orchestrator.preferences.writing import row_of
from tests.preferences.files import write_lines

ASKED = {"role": "user", "content": "say fox"}
SYSTEM = {"role": "system", "content": "be brief"}
GOOD, BAD = ({"role": "assistant", "content": text} for text in ("fox", "dog"))
HUMAN = "\n\nHuman: say fox\n\nAssistant:"
TOOLS = [{"type": "function", "function": {"name": "find", "parameters": {}}}]
# The same pair in every spelling.
ROWS: dict[str, list[dict[str, Any]]] = {
    "plain": [{"prompt": "say fox", "chosen": "fox", "rejected": "dog"}],
    "conversational": [{"prompt": [ASKED], "chosen": [GOOD], "rejected": [BAD]}],
    "one message each": [{"prompt": [ASKED], "chosen": GOOD, "rejected": BAD}],
    "implicit": [{"chosen": [ASKED, GOOD], "rejected": [ASKED, BAD]}],
    "implicit transcript": [{"chosen": f"{HUMAN} fox", "rejected": f"{HUMAN} dog"}],
    "transcript prompt": [{"prompt": HUMAN, "chosen": "fox", "rejected": "dog"}],
    "ultrafeedback": [{"prompt": "say fox", "chosen": [ASKED, GOOD], "rejected": [ASKED, BAD], "messages": [ASKED, GOOD]}],
    "content parts": [{"prompt": [{"role": "user", "content": [{"type": "text", "text": "say fox"}]}], "chosen": "fox", "rejected": "dog"}],
    "scored": [{"prompt": "say fox", "responses": ["dog", "fox"], "rewards": [0, 1]}],
    "nectar": [{"prompt": HUMAN, "answers": [{"answer": "dog", "rank": 2.0}, {"answer": "fox", "rank": 1.0}]}],
    "helpsteer2": [{"prompt": "say fox", "response_1": "dog", "response_2": "fox", "preference_strength": 2}],
    "helpsteer2 rated": [{"prompt": "say fox", "response": text, "helpfulness": rated} for text, rated in (("dog", 1), ("fox", 4))],
    "helpsteer3": [{"context": [ASKED], "response1": "fox", "response2": "dog", "overall_preference": -3}],
    "kto": [{"prompt": "say fox", "completion": text, "label": liked} for text, liked in (("dog", False), ("fox", True))],
    "sharegpt": [
        {
            "conversations": [{"from": "human", "value": "say fox"}],
            "chosen": {"from": "gpt", "value": "fox"},
            "rejected": {"from": "gpt", "value": "dog"},
        }
    ],
    "openrlhf": [{"context_messages": [ASKED], "chosen": [GOOD], "rejected": [BAD]}],
    "axolotl": [{"messages": [ASKED], "chosen": GOOD, "rejected": BAD}],
    "orca": [{"question": "say fox", "chosen": "fox", "rejected": "dog"}],
    "rlhflow": [{"input": "say fox", "chosen": "fox", "rejected": "dog"}],
    "argilla": [{"instruction": "say fox", "chosen_response": "fox", "rejected_response": "dog"}],
    "openai": [{"input": {"messages": [ASKED], "tools": []}, "preferred_output": [GOOD], "non_preferred_output": [BAD]}],
    "alpaca": [{"instruction": "say fox", "input": "", "chosen": "fox", "rejected": "dog"}],
}


def read(directory: Path, rows: Sequence[Mapping[str, Any]], **how: Any) -> Reading:
    """What these rows give."""
    write_lines(directory / "rows.jsonl", rows)
    return read_pairs(directory / "rows.jsonl", **how)


def only(directory: Path, rows: Sequence[Mapping[str, Any]]) -> PreferencePair:
    """The one pair of these rows."""
    (pair,) = read(directory, rows, refuse=True).pairs
    return pair


@pytest.mark.parametrize("name", ["helpsteer2", "helpsteer2 rated"])
def test_a_conversation_in_nemos_marks_becomes_turns(name: str, tmp_path: Path) -> None:
    prompt = "say ox\n<extra_id_1>Assistant\nox,\n\nas told\n<extra_id_1>User\nsay fox"
    turns = (Message("user", "say ox"), Message("assistant", "ox,\n\nas told"), Message("user", "say fox"))
    assert only(tmp_path, [{**row, "prompt": prompt} for row in ROWS[name]]).prompt == turns


def test_a_question_about_a_transcript_is_one_turn_where_the_messages_say_so(tmp_path: Path) -> None:
    question = {"role": "user", "content": "Human: say fox\n\nAssistant: fox\n\nWho won?"}
    row = {"prompt": question["content"], "chosen": [question, GOOD], "rejected": [question, BAD]}
    assert only(tmp_path, [row]).prompt == (Message("user", question["content"]),)


@pytest.mark.parametrize("name", ROWS)
def test_every_spelling_of_a_pair_becomes_the_same_pair(name: str, tmp_path: Path) -> None:
    pair = only(tmp_path, ROWS[name])
    assert (pair.prompt, pair.chosen, pair.rejected) == ((Message("user", "say fox"),), "fox", "dog")
    assert pair.origin.startswith(f"{tmp_path / 'rows.jsonl'}:")


def test_every_format_of_the_table_is_read_by_one_of_these_rows() -> None:
    assert {known.name for known in FORMATS for rows in ROWS.values() if known.recognises(rows[0])} | {
        known.name for known in FORMATS if "all_rm_scores" in known.columns
    } == {known.name for known in FORMATS}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("plain", "rows.jsonl: prompt/chosen/rejected, plain text"),
        ("ultrafeedback", "rows.jsonl: prompt/chosen/rejected, conversational"),
        ("implicit", "rows.jsonl: chosen/rejected with an implicit prompt, conversational"),
        ("openrlhf", "rows.jsonl: context_messages/chosen/rejected, conversational"),
        ("kto", "rows.jsonl: prompt/completion/label, paired by prompt"),
    ],
)
def test_what_a_file_was_taken_for_is_said_once(name: str, said: str, tmp_path: Path) -> None:
    assert read(tmp_path, ROWS[name] * 2).kinds == (said,)


def test_a_file_of_two_formats_says_how_many_rows_each_has(tmp_path: Path) -> None:
    (said,) = read(tmp_path, [*ROWS["plain"], *ROWS["scored"], *ROWS["plain"]]).kinds
    assert said == "rows.jsonl: prompt/chosen/rejected, plain text (2 rows); prompt/responses/rewards (1 rows)"


@pytest.mark.parametrize("names", [("score_chosen", "score_rejected"), ("chosen_rating", "rejected_rating")])
def test_scores_beside_the_responses_are_their_rewards(names: tuple[str, str], tmp_path: Path) -> None:
    pair = only(tmp_path, [{**ROWS["plain"][0], names[0]: 8.5, names[1]: 3}])
    assert (pair.chosen_reward, pair.rejected_reward) == (8.5, 3.0)


def test_ranked_answers_keep_all_of_them_from_the_best_to_the_worst(tmp_path: Path) -> None:
    answers = [{"answer": text, "rank": rank} for text, rank in (("c", 3), ("a", 1), ("d", 4), ("b", 2))]
    pair = only(tmp_path, [{"prompt": HUMAN, "answers": answers}])
    assert (pair.chosen, [other.text for other in pair.others], pair.rejected) == ("a", ["b", "c"], "d")
    assert (pair.chosen_reward, pair.rejected_reward) == (-1.0, -4.0)


def test_the_sign_of_a_preference_says_which_response_is_better(tmp_path: Path) -> None:
    for strength, better in ((-1, "one"), (1, "two")):
        second = {"prompt": "?", "response_1": "one", "response_2": "two", "preference_strength": strength}
        third = {"context": [ASKED], "response1": "one", "response2": "two", "overall_preference": strength}
        assert [pair.chosen for pair in read(tmp_path, [second, third]).pairs] == [better] * 2


def test_labels_of_one_kind_to_each_prompt_are_refused_with_what_they_lack(tmp_path: Path) -> None:
    with pytest.raises(DataFormatError, match="no undesirable completion of this prompt") as refused:
        read(tmp_path, [{"prompt": f"{number}", "completion": "a", "label": number % 2 == 0} for number in range(4)])
    assert "of labelled ones, one of either kind" in refused.value.cure


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([{"prompt": "?", "response_1": "a", "response_2": "b", "preference_strength": 0}], "a tie"),
        ([{"context": [ASKED], "response1": "a", "response2": "b", "overall_preference": 0}], "a tie"),
        ([{"prompt": "?", "response": text, "helpfulness": 3} for text in "ab"], "a tie"),
        ([{"prompt": "?", "response": "a", "helpfulness": 3}], "no second response"),
        ([{"prompt": "?", "completion": "a", "label": True}], "no undesirable completion"),
        ([{"prompt": "?", "completion": "a", "label": False}], "no desirable completion"),
        ([{"prompt": "?", "answers": [{"answer": text, "rank": 1} for text in "ab"]}], "no two ranks"),
    ],
)
def test_rows_that_prefer_nothing_are_set_aside_with_the_reason(rows: list[dict[str, Any]], reason: str, tmp_path: Path) -> None:
    found = read(tmp_path, [*rows, *ROWS["plain"]])
    assert len(found.pairs) == 1
    (aside,) = found.set_aside
    assert reason in aside.reason
    assert aside.origin == f"{tmp_path / 'rows.jsonl'}:1"


def test_completions_are_paired_within_their_prompt_and_the_rest_is_counted(tmp_path: Path) -> None:
    labelled = [("p", "a", True), ("q", "x", True), ("p", "b", False), ("p", "c", True), ("q", "y", False), ("r", "z", False)]
    found = read(tmp_path, [{"prompt": prompt, "completion": text, "label": label} for prompt, text, label in labelled])
    assert [(pair.prompt[0].content, pair.chosen, pair.rejected) for pair in found.pairs] == [("p", "a", "b"), ("q", "x", "y")]
    assert [row.content["completion"] for row in found.set_aside] == ["c", "z"]


def test_system_turns_history_and_input_are_part_of_the_prompt(tmp_path: Path) -> None:
    row = {"system": "be brief", "history": [["hello", "hi"]], "instruction": "say", "input": "fox", "chosen": "fox", "rejected": "dog"}
    roles = [(turn.role, turn.content) for turn in only(tmp_path, [row]).prompt]
    assert roles == [("system", "be brief"), ("user", "hello"), ("assistant", "hi"), ("user", "say\nfox")]


def test_a_format_whose_tools_lie_in_its_input_keeps_them(tmp_path: Path) -> None:
    (row,) = ROWS["openai"]
    assert only(tmp_path, [{**row, "input": {"messages": [ASKED], "tools": TOOLS}}]).tools == tuple(TOOLS)


def test_whole_conversations_hold_their_prompt_whatever_stands_beside_them(tmp_path: Path) -> None:
    row = {"question": "another", "messages": [ASKED, GOOD], **ROWS["implicit"][0]}
    assert only(tmp_path, [row]).prompt == (Message("user", "say fox"),)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"chosen": [GOOD], "rejected": [BAD]}, "this row has no `prompt` (it has: chosen, rejected)"),
        ({"messages": [ASKED, GOOD], "chosen": GOOD, "rejected": BAD}, "no `prompt` (it has: chosen, messages, rejected)"),
        ({"prompt": 5, "chosen": "a", "rejected": "b"}, "a conversation is a list of messages"),
        ({"prompt": ["say fox"], "chosen": "a", "rejected": "b"}, "a message is no table"),
        ({"prompt": "?", "response_1": [], "response_2": "b", "preference_strength": -1}, "an empty list"),
        ({"prompt": "?", "responses": ["a", "b"], "rewards": [1, [2]]}, "a reward is [2], no number"),
        ({"prompt": "?", "responses": 5, "rewards": [1]}, "are lists"),
        ({"prompt": "?", "answers": [{"answer": "a"}, {"answer": "b"}]}, "a value is not what its format has there"),
    ],
)
def test_a_row_of_a_wrong_shape_is_told_in_words(row: dict[str, Any], reason: str, tmp_path: Path) -> None:
    (bad,) = read(tmp_path, [*ROWS["plain"], row]).bad
    assert reason in bad.reason and bad.cure


@pytest.mark.parametrize("name", ROWS)
def test_a_row_of_every_format_begins_with_its_system_unless_its_turns_do(name: str, tmp_path: Path) -> None:
    pair = only(tmp_path, [{**row, "system": "be brief"} for row in ROWS[name]])
    assert (pair.prompt, pair.chosen) == ((Message("system", "be brief"), Message("user", "say fox")), "fox")


@pytest.mark.parametrize("system", [None, "", " ", {"role": "system"}])
def test_a_system_that_is_no_text_adds_no_turn_and_one_in_the_turns_stays_the_only_one(system: Any, tmp_path: Path) -> None:
    assert only(tmp_path, [{**ROWS["plain"][0], "system": system}]).prompt == (Message("user", "say fox"),)
    turns = only(tmp_path, [{"system": "other", "prompt": [SYSTEM, ASKED], "chosen": [GOOD], "rejected": [BAD]}]).prompt
    assert turns == (Message("system", "be brief"), Message("user", "say fox"))


def test_a_named_prompt_that_is_one_of_the_conversations_turns_does_not_cut_it(tmp_path: Path) -> None:
    earlier = [SYSTEM, {"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"}, ASKED]
    for named in ("hello", "say fox", earlier):
        pair = only(tmp_path, [{"prompt": named, "chosen": [*earlier, GOOD], "rejected": [*earlier, BAD]}])
        assert [turn.content for turn in pair.prompt] == ["be brief", "hello", "hi", "say fox"]


@pytest.mark.parametrize(
    "row",
    [
        {"chosen": [ASKED, GOOD], "rejected": [{"role": "user", "content": "say dog"}, BAD]},
        {"chosen": f"{HUMAN} fox", "rejected": "\n\nHuman: say dog\n\nAssistant: dog"},
        {"chosen": [ASKED, BAD, ASKED, GOOD], "rejected": [ASKED, GOOD, ASKED, BAD]},
        {"prompt": "something else", "chosen": [ASKED, GOOD], "rejected": [ASKED, BAD]},
    ],
)
def test_conversations_that_part_before_their_last_turn_are_a_prompt_mismatch(row: dict[str, Any], tmp_path: Path) -> None:
    (bad,) = read(tmp_path, [*ROWS["plain"], row]).bad
    assert bad.kind == "prompt_mismatch"
    assert bad.origin == f"{tmp_path / 'rows.jsonl'}:2"


def test_tool_calls_tools_and_reasoning_are_kept_for_the_template(tmp_path: Path) -> None:
    call = [{"type": "function", "function": {"name": "find", "arguments": {"what": "fox"}}}]
    used = [ASKED, {"role": "assistant", "content": None, "tool_calls": call}, {"role": "tool", "content": "a fox", "tool_call_id": "1"}]
    thought = {**GOOD, "reasoning_content": "the animal"}
    pair = only(tmp_path, [{"prompt": used, "chosen": [thought], "rejected": [BAD], "tools": TOOLS}])
    assert pair.tools == tuple(TOOLS)
    assert pair.prompt[1] == Message("assistant", "", {"tool_calls": call})
    assert pair.prompt[2].as_dict() == used[2]
    assert (pair.chosen_extra, pair.rejected_extra) == ({"reasoning_content": "the animal"}, {})


@pytest.mark.parametrize("spelt", [TOOLS, json.dumps(TOOLS)], ids=["a list", "JSON"])
@pytest.mark.parametrize("name", ROWS)
def test_a_row_of_every_format_keeps_its_tools_whether_a_list_or_its_json(name: str, spelt: Any, tmp_path: Path) -> None:
    assert only(tmp_path, [{**row, "tools": spelt} for row in ROWS[name]]).tools == tuple(TOOLS)


@pytest.mark.parametrize("absent", [None, "", "null", "[]", []])
def test_a_row_without_tools_offers_none(absent: Any, tmp_path: Path) -> None:
    assert only(tmp_path, [{**ROWS["plain"][0], "tools": absent}]).tools == ()


@pytest.mark.parametrize("tools", ["find", '"find"', {"name": "find"}, ["find"], 3])
def test_tools_that_are_no_list_of_tables_make_a_bad_row(tools: Any, tmp_path: Path) -> None:
    (bad,) = read(tmp_path, [*ROWS["plain"], {**ROWS["scored"][0], "tools": tools}]).bad
    assert "`tools` is" in bad.reason


@pytest.mark.parametrize("other", [{"tools": TOOLS}, {"system": "be brief"}])
@pytest.mark.parametrize("name", ["kto", "helpsteer2 rated"])
def test_rows_with_other_tools_or_another_system_are_not_paired(name: str, other: dict[str, Any], tmp_path: Path) -> None:
    first, second = ROWS[name]
    found = read(tmp_path, [first, {**second, **other}, *ROWS["plain"]])
    assert (len(found.pairs), len(found.set_aside)) == (1, 2)


def test_a_message_that_holds_more_than_text_is_refused(tmp_path: Path) -> None:
    image = [{"role": "user", "content": [{"type": "image", "url": "x"}]}]
    (bad,) = read(tmp_path, [*ROWS["plain"], {"prompt": image, "chosen": "a", "rejected": "b"}]).bad
    assert "more than text" in bad.reason


def test_bad_rows_are_kept_with_their_place_content_and_reason_and_refused_by_default(tmp_path: Path) -> None:
    rows = [*ROWS["plain"], {"prompt": "?", "chosen": "a"}, {"prompt": "?", "chosen": "a", "rejected": ""}]
    found = read(tmp_path, rows)
    assert [(bad.origin.rpartition(":")[2], bad.kind) for bad in found.bad] == [("2", "unreadable"), ("3", "empty")]
    assert found.bad[0].content == rows[1]
    with pytest.raises(DataFormatError) as refused:
        load_pairs(tmp_path / "rows.jsonl")
    assert refused.value.where == f"{tmp_path / 'rows.jsonl'}:2"
    assert 'data.bad_rows = "quarantine"' in refused.value.cure and "quarantine" not in found.bad[0].cure


def test_a_line_that_is_no_json_is_kept_as_it_lies(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(f"{json.dumps(ROWS['plain'][0])}\n{{broken\n")
    (bad,) = read_pairs(tmp_path / "rows.jsonl").bad
    assert (bad.origin, bad.content.strip()) == (f"{tmp_path / 'rows.jsonl'}:2", "{broken")


def test_a_pair_that_is_written_is_read_as_it_was_with_its_tool_calls_and_reasoning(tmp_path: Path) -> None:
    calls = [{"type": "function", "function": {"name": "look", "arguments": {"word": "fox"}}}]
    pair = PreferencePair(
        (Message("user", "say fox"),),
        "",
        "no",
        tools=({"type": "function", "function": {"name": "look"}},),
        chosen_extra={"tool_calls": calls},
        rejected_extra={"reasoning_content": "I had rather not"},
    )
    write_lines(tmp_path / "rows.jsonl", [row_of(pair)])
    (found,) = load_pairs(tmp_path / "rows.jsonl")
    assert replace(found, origin="") == pair


def test_a_pair_of_many_responses_is_written_and_read_with_its_tools(tmp_path: Path) -> None:
    others = (ScoredResponse("wolf", 1.0),)
    pair = PreferencePair((Message("user", "say fox"),), "fox", "dog", 2.0, 0.0, others=others, tools=tuple(TOOLS))
    write_lines(tmp_path / "rows.jsonl", [row_of(pair)])
    assert [replace(found, origin="") for found in load_pairs(tmp_path / "rows.jsonl")] == [pair]
