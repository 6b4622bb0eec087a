"""Training, generation and judging see the same tokens, and an answer ends once, with what generation stops at."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

import pytest

from evals.model_files import stop_tokens
from evals.prompts import Message
from evals.rendering import encode_conversation, encode_texts
from orchestrator.errors import ModelError, UserError
from orchestrator.preferences.pairs import PreferencePair, ScoredResponse
from orchestrator.preferences.templates import answer_template
from orchestrator.preferences.tokenization import encoded, prompt_ids, tokenize
from tests.preferences.templates import BEGIN, END, KINDS, LINED, TURN_END, Kind

CONVERSATIONS = {
    "one turn": (Message("user", "say fox"),),
    "system": (Message("system", "be brief"), Message("user", "say fox")),
    "several turns": (Message("user", "say ox"), Message("assistant", "ox"), Message("user", "  say fox\n")),
}
Make = Callable[[str], Any]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """The tokenizer of a kind."""
    made: dict[str, Any] = {}

    def of(kind: str) -> Any:
        return made.setdefault(kind, KINDS[kind].tokenizer(tmp_path_factory.mktemp("tokenizer")))

    return of


def one(tokenizer: Any, pair: PreferencePair) -> Any:
    """The only pair, whole."""
    (made,) = encoded(tokenizer, [pair])
    return made


@pytest.mark.parametrize("turns", CONVERSATIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_prompt_of_training_is_the_engines_and_the_templates_own(kind: str, turns: str, make: Make) -> None:
    tokenizer, conversation = make(kind), CONVERSATIONS[turns]
    trained = one(tokenizer, PreferencePair(conversation, "fox", "dog")).prompt
    whole = tokenizer.apply_chat_template([turn.as_dict() for turn in conversation], add_generation_prompt=True, return_dict=False)
    assert list(trained) == encode_conversation(tokenizer, conversation, 1000, "here") == whole
    assert prompt_ids(tokenizer, conversation) == trained


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_begins_once_where_the_template_begins_it_and_never_where_it_does_not(kind: str, make: Make) -> None:
    tokenizer = make(kind)
    made = one(tokenizer, PreferencePair(CONVERSATIONS["several turns"], "fox", "dog"))
    assert (made.prompt + made.chosen).count(tokenizer.convert_tokens_to_ids(BEGIN)) == KINDS[kind].template.count("bos_token")


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_is_the_templates_up_to_the_first_token_that_generation_stops_at(kind: str, make: Make) -> None:
    tokenizer = make(kind)
    made = one(tokenizer, PreferencePair(CONVERSATIONS["one turn"], "fox", "dog"))
    assert tokenizer.decode(made.chosen, skip_special_tokens=False) == KINDS[kind].answer
    stops = {tokenizer.eos_token_id, *stop_tokens(tokenizer.name_or_path)}
    assert [token in stops for token in made.chosen] == [False] * (len(made.chosen) - 1) + [True]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "neither" not in kind])
def test_prompt_and_answer_begin_the_whole_conversation_as_the_template_writes_it(kind: str, make: Make) -> None:
    tokenizer, conversation = make(kind), CONVERSATIONS["system"]
    made = one(tokenizer, PreferencePair(conversation, "fox", "dog"))
    turns = [turn.as_dict() for turn in (*conversation, Message("assistant", "fox"))]
    text = tokenizer.apply_chat_template(turns, tokenize=False)
    assert text.startswith(tokenizer.decode(made.prompt + made.chosen, skip_special_tokens=False))


def test_a_template_that_strips_answers_has_them_stripped_and_others_not(make: Make) -> None:
    stripped, kept = (
        one(make(kind), PreferencePair(CONVERSATIONS["one turn"], " fox\n", "dog")).chosen
        for kind in ("headed, begins by itself", "lined, ends its turns with the end token")
    )
    assert make("headed, begins by itself").decode(stripped, skip_special_tokens=False) == f"fox{TURN_END}"
    assert make("lined, ends its turns with the end token").decode(kept, skip_special_tokens=False) == f" fox\n{TURN_END}"


def test_a_template_whose_end_generation_does_not_stop_at_is_told(make: Make) -> None:
    (note,) = answer_template(make("lined, generation stops at neither")).notes()
    assert TURN_END in note and END in note
    assert all(answer_template(make(kind)).notes() == () for kind in KINDS if "neither" not in kind)


def test_further_responses_end_like_the_pairs_own(make: Make) -> None:
    tokenizer = make("headed, begins by itself")
    made = one(tokenizer, PreferencePair(CONVERSATIONS["one turn"], "fox", "dog", 2, 0, others=(ScoredResponse("ox", 1.0),)))
    assert tokenizer.decode(made.others[0], skip_special_tokens=False) == f"ox{TURN_END}"


def test_an_answer_with_more_than_text_is_what_the_template_makes_of_it(tmp_path: Path) -> None:
    shown = "{% if turn['reasoning_content'] %}<think>{{ turn['reasoning_content'] }}</think>{% endif %}"
    shown += "{% for call in turn['tool_calls'] or [] %}CALL {{ call['name'] }}{% endfor %}"
    template = KINDS["lined, ends its turns with the end token"].template.replace("{{ turn['content'] }}", shown + "{{ turn['content'] }}")
    tools = "{% for tool in tools or [] %}TOOL {{ tool['name'] }}\n{% endfor %}"
    tokenizer = Kind(tools + template, "", end=TURN_END).tokenizer(tmp_path)
    pair = PreferencePair(
        CONVERSATIONS["one turn"],
        "fox",
        "",
        tools=({"name": "find"},),
        chosen_extra={"reasoning_content": "an animal"},
        rejected_extra={"tool_calls": [{"name": "find"}]},
    )
    made = one(tokenizer, pair)
    assert tokenizer.decode(made.prompt, skip_special_tokens=False).startswith("TOOL find\n<|head|>user\n")
    assert tokenizer.decode(made.chosen, skip_special_tokens=False) == f"<think>an animal</think>fox{TURN_END}"
    assert tokenizer.decode(made.rejected, skip_special_tokens=False) == f"CALL find{TURN_END}"


THINKING = LINED.replace(
    "{{ turn['content'] }}",
    "{% if turn['role'] == 'assistant' and '</think>' not in turn['content'] %}<think>\n\n</think>\n\n{% endif %}{{ turn['content'] }}",
)


@pytest.mark.parametrize(
    ("answer", "written"),
    [("fox", "<think>\n\n</think>\n\nfox"), ("<think>\nit barks\n</think>\n\nfox", "<think>\nit barks\n</think>\n\nfox")],
)
def test_empty_thoughts_come_before_an_answer_that_has_none_of_its_own_and_are_told(answer: str, written: str, tmp_path: Path) -> None:
    tokenizer = Kind(THINKING, "", end=TURN_END).tokenizer(tmp_path)
    made = one(tokenizer, PreferencePair(CONVERSATIONS["one turn"], answer, "dog"))
    assert tokenizer.decode(made.chosen, skip_special_tokens=False) == f"{written}{TURN_END}"
    turns = [turn.as_dict() for turn in (*CONVERSATIONS["one turn"], Message("assistant", answer))]
    assert tokenizer.apply_chat_template(turns, tokenize=False).endswith(f"assistant\n{written}{TURN_END}\n")
    (note,) = answer_template(tokenizer).notes()
    assert "begins answers with '<think>" in note


def test_a_template_that_asks_for_the_day_writes_the_same_tokens_on_every_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = Kind("{{ strftime_now('%d %b %Y') }} " + LINED, "", end=TURN_END).tokenizer(tmp_path)

    class Tomorrow(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> "Tomorrow":
            return cls(2031, 5, 7, tzinfo=tz)

    pair = PreferencePair(CONVERSATIONS["one turn"], "fox", "dog")
    today = one(tokenizer, pair)
    monkeypatch.setattr("transformers.utils.chat_template_utils.datetime", Tomorrow)
    assert "07 May 2031" in tokenizer.apply_chat_template([CONVERSATIONS["one turn"][0].as_dict()], tokenize=False)
    assert one(tokenizer, pair) == today
    assert encode_conversation(tokenizer, CONVERSATIONS["one turn"], 1000, "here") == list(today.prompt)


@pytest.mark.parametrize("joins", [False, True])
@pytest.mark.parametrize("scheme", ["first", "always", "legacy"])
def test_an_answer_behind_its_prompt_begins_with_no_space_that_the_tokenizer_puts_before_texts(
    scheme: str, joins: bool, tmp_path: Path
) -> None:
    tokenizer = putting_space(scheme, "\nSure" if joins else "Sure").tokenizer(tmp_path)
    pieces = tokenizer.convert_ids_to_tokens(tokenizer("Sure, the fox", add_special_tokens=False)["input_ids"])
    assert pieces[0].startswith("▁"), "the tokenizer puts no space"
    made = one(tokenizer, PreferencePair(CONVERSATIONS["one turn"], "Sure, the fox", " Sure"))
    chosen, rejected = (tokenizer.convert_ids_to_tokens(answer) for answer in (made.chosen, made.rejected))
    assert "".join(chosen) == f"Sure,▁the▁fox{TURN_END}"
    assert "".join(rejected) == f"▁Sure{TURN_END}"


@pytest.mark.parametrize("scheme", ["first", "always", "legacy"])
def test_an_answer_behind_a_special_token_is_encoded_as_in_the_whole_conversation(scheme: str, tmp_path: Path) -> None:
    tokenizer = replace(putting_space(scheme, "Sure"), template=LINED.replace("assistant\n", "<|head_end|>")).tokenizer(tmp_path)
    tokenizer.chat_template = tokenizer.chat_template.replace("{{ turn['role'] }}\n", "<|head_end|>")
    made = one(tokenizer, PreferencePair(CONVERSATIONS["one turn"], "Sure, the fox", "Sure"))
    turns = [turn.as_dict() for turn in (*CONVERSATIONS["one turn"], Message("assistant", "Sure, the fox"))]
    whole = tokenizer.apply_chat_template(turns, return_dict=False)
    assert whole[: len(made.prompt + made.chosen)] == [*made.prompt, *made.chosen]


def putting_space(scheme: str, word: str) -> Kind:
    """A tokenizer as SentencePiece makes them, that knows a word."""
    return replace(KINDS["lined, ends its turns with the end token"], space=scheme, corpus=(word, "\n", "|", "the fox, the ox") * 20)


def test_a_template_that_writes_no_answers_is_refused(tmp_path: Path) -> None:
    only_questions = "{% if messages[-1]['role'] == 'assistant' %}{{ raise_exception('no answers') }}{% endif %}"
    with pytest.raises(ModelError, match="no answers"):
        answer_template(Kind(only_questions, "").tokenizer(tmp_path))


def test_a_conversation_that_the_template_refuses_is_named_or_left_out(tmp_path: Path) -> None:
    strict = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system turns') }}{% endif %}"
    tokenizer = Kind(strict + KINDS["headed, begins by itself"].template, "", stops=(TURN_END,)).tokenizer(tmp_path)
    good, bad = (PreferencePair(CONVERSATIONS[turns], "fox", "dog", origin=turns) for turns in ("one turn", "system"))
    with pytest.raises(UserError, match="no system turns") as refused:
        tokenize(tokenizer, [good, bad], 64)
    assert refused.value.where == "system" and 'data.bad_rows = "quarantine"' in refused.value.cure
    data = tokenize(tokenizer, [bad, good, bad], 64, leave_out=True)
    assert (len(data.pairs), [error.where for error in data.left_out]) == (1, ["system", "system"])


@pytest.mark.parametrize("count", [1, 1023, 1024, 1025])
def test_pairs_encoded_together_are_those_encoded_one_by_one(count: int, tokenizer: Any) -> None:
    pairs = [PreferencePair((Message("user", f"say {n % 97}"),), f"fox {n}", f"dog {n % 7}", origin=str(n)) for n in range(count)]
    made = list(encoded(tokenizer, pairs))
    assert len(made) == count
    for number in {0, count // 2, count - 1}:
        assert made[number] == one(tokenizer, pairs[number])


def test_the_quick_way_to_encode_gives_the_tokenizers_own_tokens(make: Make) -> None:
    texts = ["fox", "", " the quick\n\nfox ", f"a{TURN_END}b", "Größe 狐"]
    for kind in KINDS:
        tokenizer = make(kind)
        assert encode_texts(tokenizer, texts) == [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
