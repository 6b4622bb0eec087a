"""Prompt files: read, written, and refused with the file and the line."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from evals.errors import DataFormatError
from evals.prompts import EvaluationPrompt, Message, load_prompts, save_prompts


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    prompts = (
        EvaluationPrompt("a", (Message("system", "Be brief."), Message("user", "Größe?")), reference="ja"),
        EvaluationPrompt("b", (Message("user", "2+2"),), answer="4", pattern=r"\d"),
    )
    save_prompts(tmp_path / "p.jsonl", prompts)
    assert load_prompts(tmp_path / "p.jsonl").prompts == prompts


def test_a_bare_prompt_is_one_user_turn_with_the_lines_number_as_id(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('{"prompt": "Hello"}\n')
    assert load_prompts(tmp_path / "p.jsonl").prompts == (EvaluationPrompt("0", (Message("user", "Hello"),)),)


SYSTEM, ASKED, GOLD = (
    {"role": role, "content": text} for role, text in (("system", "be brief"), ("user", "say fox"), ("assistant", "fox"))
)


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "say fox", "messages": [ASKED, GOLD], "chosen": [ASKED, GOLD]},
        {"prompt": "named", "messages": [ASKED]},
        {"prompt": "\n\nHuman: say fox\n\nAssistant:", "chosen": " fox"},
        {"prompt": [{"from": "human", "value": "say fox"}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "say fox"}]}]},
    ],
    ids=["preference data", "a name beside messages", "a transcript", "from and value", "content parts"],
)
def test_what_is_asked_is_the_question_in_every_spelling_and_never_what_follows_its_answer(tmp_path: Path, row: dict[str, Any]) -> None:
    (tmp_path / "p.jsonl").write_text(json.dumps(row) + "\n")
    assert load_prompts(tmp_path / "p.jsonl").prompts[0].messages == (Message("user", "say fox"),)


@pytest.mark.parametrize("row", [{"messages": [ASKED, GOLD]}, {"prompt": [ASKED, GOLD]}, {"prompt": "Human: say fox\n\nAssistant: fox"}])
def test_a_conversation_that_ends_with_its_answer_is_refused(tmp_path: Path, row: dict[str, Any]) -> None:
    (tmp_path / "p.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(DataFormatError, match="ends with an assistant's turn") as refusal:
        load_prompts(tmp_path / "p.jsonl")
    assert refusal.value.where.endswith("p.jsonl:1") and "remove the last turn" in refusal.value.cure


def test_a_rows_system_comes_first_unless_its_messages_have_one(tmp_path: Path) -> None:
    rows = [{"system": "be brief", "prompt": "say fox"}, {"system": "other", "messages": [SYSTEM, ASKED]}]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    turns = (Message("system", "be brief"), Message("user", "say fox"))
    assert [prompt.messages for prompt in load_prompts(tmp_path / "p.jsonl").prompts] == [turns, turns]


def test_the_hash_is_that_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('{"prompt": "Hello"}\n')
    assert load_prompts(tmp_path / "p.jsonl").sha256 == hashlib.sha256(b'{"prompt": "Hello"}\n').hexdigest()


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("{not json", "not JSON"),
        ('{"text": "x"}', "neither"),
        ('["x"]', "neither"),
        ('{"messages": [{"role": "user"}]}', "no `content`"),
        ('{"messages": []}', "no messages"),
        ('{"messages": "say fox"}', "no table"),
        ('{"messages": [{"role": "user", "content": [{"type": "image", "url": "x"}]}]}', "more than text"),
    ],
)
def test_a_row_that_cannot_be_read_is_refused_with_its_file_and_line(tmp_path: Path, line: str, what: str) -> None:
    file = tmp_path / "p.jsonl"
    file.write_text('{"prompt": "fine"}\n\n' + line + "\n")
    with pytest.raises(DataFormatError, match=what) as refusal:
        load_prompts(file)
    assert refusal.value.where == f"{file}:3"
    assert refusal.value.cure


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_an_empty_file_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "p.jsonl").write_text(content)
    with pytest.raises(DataFormatError, match="empty"):
        load_prompts(tmp_path / "p.jsonl")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataFormatError, match="no prompt file"):
        load_prompts(tmp_path / "absent.jsonl")


def test_two_prompts_of_one_id_are_refused(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('{"id": "a", "prompt": "x"}\n{"id": "a", "prompt": "y"}\n')
    with pytest.raises(DataFormatError, match="share an id"):
        load_prompts(tmp_path / "p.jsonl")


def test_a_prompt_knows_its_stratum_and_one_without_is_in_the_nameless_one(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('{"prompt": "2+2", "stratum": "arithmetic"}\n{"prompt": "Hello"}\n{"prompt": "?", "stratum": 3}\n')
    loaded = load_prompts(tmp_path / "p.jsonl").prompts
    assert [prompt.stratum for prompt in loaded] == ["arithmetic", "", "3"]
    save_prompts(tmp_path / "again.jsonl", loaded)
    assert load_prompts(tmp_path / "again.jsonl").prompts == loaded
