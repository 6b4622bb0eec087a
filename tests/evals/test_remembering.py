"""Replies that are kept: paid for once, by whichever process, whatever ends it."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evals.asking import Keep, Question, Reply, forget, question_key
from evals.chat_models.openai_model import OpenAIModel, OpenAIModelSettings
from evals.chat_models.remembering import RememberingModel, ReplayedModel, remembered
from evals.chat_models.reply_file import ReplyFile
from evals.errors import JudgeUnavailableError, UserError
from evals.generation import Decoding
from evals.prompts import Message
from tests.evals.fake_server import Answer, FakeServer, completion, failure, wait_until

QUESTIONS = [Question(f"p{n}", (Message("user", f"question {n}"),)) for n in range(30)]
ASK = """
import sys
from pathlib import Path
from evals.chat_models.openai_model import OpenAIModel, OpenAIModelSettings
from evals.chat_models.remembering import remembered
from tests.evals.test_remembering import QUESTIONS
remembered(OpenAIModel(OpenAIModelSettings("fake", sys.argv[1], max_concurrency=4)), Path(sys.argv[2])).ask(QUESTIONS)
"""
APPEND = """
import sys
from pathlib import Path
from evals.asking import Question, Reply
from evals.chat_models.reply_file import ReplyFile
from evals.prompts import Message
from tests.evals.test_remembering import Fixed
replies = ReplyFile(Path(sys.argv[1]))
for number in range(200):
    replies.append(f"{sys.argv[2]}-{number}", Fixed(), Question("p", (Message("user", "?"),)), Reply("long " * 3000))
"""


class Fixed:
    """Replies with the question's own words, and counts."""

    name, identity = "fixed", "fixed 1"
    repeats_itself: bool = True

    def __init__(self, broken: Sequence[str] = ()) -> None:
        self.broken = broken
        self.asked: list[str] = []

    def ask(self, questions: Sequence[Question], keep: Keep = forget) -> list[Reply]:
        replies = [Reply(failure="no") if q.id in self.broken else Reply(q.messages[0].content) for q in questions]
        self.asked += [question.id for question in questions]
        for number, reply in enumerate(replies):
            keep(number, reply)
        return replies


def model(server: FakeServer, directory: Path, **changes: Any) -> RememberingModel:
    settings = OpenAIModelSettings("fake", server.url, timeout_s=5, max_attempts=3, first_wait_s=0.01)
    return remembered(OpenAIModel(replace(settings, **changes)), directory)


def test_after_a_kill_in_the_middle_no_reply_is_paid_for_twice(server: FakeServer, tmp_path: Path) -> None:
    paid: list[str] = []
    hang, lock = threading.Event(), threading.Lock()

    def answer(body: dict[str, Any], number: int) -> Answer:
        with lock:
            stuck = len(paid) >= 12 and not hang.is_set()
            if not stuck:
                paid.append(body["messages"][0]["content"])
        return replace(completion("fine"), delay_s=30) if stuck else completion("fine")

    server.answer = answer
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen([sys.executable, "-c", ASK, server.url, str(tmp_path)], env=environment)
    try:
        wait_until(lambda: sum(len(file.read_bytes().splitlines()) for file in tmp_path.glob("*.jsonl")) == 12)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    hang.set()
    resumed = model(server, tmp_path)
    assert [reply.text for reply in resumed.ask(QUESTIONS)] == ["fine"] * 30
    assert (resumed.remembered, resumed.asked) == (12, 18)
    assert set(Counter(paid).values()) == {1}
    assert len(paid) == 30


def test_two_processes_append_to_one_file_and_no_line_is_torn(tmp_path: Path) -> None:
    file = tmp_path / "replies.jsonl"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    both = [subprocess.Popen([sys.executable, "-c", APPEND, str(file), name], env=environment) for name in ("a", "b")]
    assert [process.wait() for process in both] == [0, 0]
    keys = [json.loads(line)["key"] for line in file.read_text().splitlines()]
    assert sorted(keys) == sorted(f"{name}-{number}" for name in "ab" for number in range(200))


def test_what_another_process_was_told_meanwhile_is_not_asked_again(tmp_path: Path) -> None:
    ours, theirs = Fixed(), Fixed()
    first, second = (RememberingModel(inner, ReplyFile(tmp_path / "r.jsonl")) for inner in (ours, theirs))
    first.ask(QUESTIONS[:3])
    second.ask(QUESTIONS[:5])
    first.ask(QUESTIONS[:6])
    assert (theirs.asked, ours.asked) == (["p3", "p4"], ["p0", "p1", "p2", "p5"])


def test_a_line_cut_off_by_a_kill_is_asked_again_and_spoils_no_other(tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    RememberingModel(Fixed(), ReplyFile(file)).ask(QUESTIONS[:3])
    file.write_bytes(file.read_bytes()[:-20])
    inner = Fixed()
    RememberingModel(inner, ReplyFile(file)).ask(QUESTIONS[:4])
    assert inner.asked == ["p2", "p3"]
    again = Fixed()
    RememberingModel(again, ReplyFile(file)).ask(QUESTIONS[:4])
    assert again.asked == []


def test_a_failure_is_never_remembered_and_equal_questions_are_asked_once(tmp_path: Path) -> None:
    inner = Fixed(broken=["p1"])
    remembering = RememberingModel(inner, ReplyFile(tmp_path / "r.jsonl"))
    twin = replace(QUESTIONS[0], id="twin")
    replies = remembering.ask([*QUESTIONS[:2], twin])
    assert [reply.text for reply in replies] == ["question 0", "", "question 0"]
    assert inner.asked == ["p0", "p1"]
    inner.broken = []
    assert remembering.ask(QUESTIONS[:2])[1].text == "question 1"
    assert inner.asked == ["p0", "p1", "p1"]


@pytest.mark.parametrize(
    "change",
    [
        {"messages": (Message("user", "another"),)},
        {"messages": (Message("system", "question 0"),)},
        {"decoding": Decoding(max_tokens=5)},
        {"labels": ("m", "M")},
        {"attempt": 1},
    ],
)
def test_whatever_a_reply_depends_on_is_in_its_key(change: dict[str, Any]) -> None:
    assert question_key("a", replace(QUESTIONS[0], **change)) != question_key("a", QUESTIONS[0]) != question_key("b", QUESTIONS[0])


def test_the_id_counts_only_where_a_reply_is_sampled() -> None:
    other = replace(QUESTIONS[0], id="other")
    assert question_key("a", other) == question_key("a", QUESTIONS[0])
    sampled, again = (replace(question, decoding=Decoding(temperature=1.0)) for question in (QUESTIONS[0], other))
    assert question_key("a", sampled) != question_key("a", again)


def test_what_was_paid_before_a_failure_is_kept(server: FakeServer, tmp_path: Path) -> None:
    server.answer = lambda body, number: failure(500) if "question 9" in body["messages"][0]["content"] else completion("fine")
    with pytest.raises(JudgeUnavailableError):
        model(server, tmp_path, max_concurrency=2).ask(QUESTIONS[:10])
    server.answer = lambda body, number: completion("fine")
    resumed = model(server, tmp_path)
    assert len(resumed.ask(QUESTIONS[:10])) == 10
    assert resumed.asked == 1


def test_replayed_replies_need_no_server_and_a_new_question_is_refused(server: FakeServer, tmp_path: Path) -> None:
    server.answer = lambda body, number: completion(f"reply {number}")
    told = model(server, tmp_path).ask(QUESTIONS[:4])
    (file,) = tmp_path.glob("*.jsonl")
    replayed = RememberingModel(ReplayedModel(file), ReplyFile(file))
    assert replayed.ask(QUESTIONS[:4]) == told
    assert replayed.name == "openai fake"
    with pytest.raises(UserError, match=r"1 questions were never asked of openai fake, the first about p4"):
        replayed.ask(QUESTIONS[:5])


def test_a_budget_of_money_is_never_exceeded_and_what_was_paid_is_told(server: FakeServer, tmp_path: Path) -> None:
    def priced(body: dict[str, Any], number: int) -> Answer:
        content = json.loads(completion("fine").body)
        content["usage"] = {"prompt_tokens": 10, "completion_tokens": 100, "total_tokens": 110}
        return Answer(json.dumps(content).encode())

    server.answer = priced
    questions = [replace(question, decoding=Decoding(max_tokens=100)) for question in QUESTIONS]
    # 100 tokens at 1000 a million: 0.1 a reply.
    budgeted = model(server, tmp_path, output_price=1000.0, max_cost=1.05, max_concurrency=8)
    with pytest.raises(UserError, match=r"1\.0000 of 1\.05 is spent") as refusal:
        budgeted.ask(questions)
    assert "remembered" in refusal.value.cure
    assert len(server.asked) == 10
    richer = model(server, tmp_path, output_price=1000.0, max_cost=2.05)
    assert [reply.cost for reply in richer.ask(questions[:30])[:1]] == [pytest.approx(0.1)]


def test_the_servers_rate_limit_is_waited_out_before_it_is_hit(server: FakeServer, tmp_path: Path) -> None:
    limit = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "400ms"}
    server.answer = lambda body, number: replace(completion("fine"), headers=limit)
    model(server, tmp_path, max_concurrency=1).ask(QUESTIONS[:3])
    assert all(later - earlier >= 0.39 for earlier, later in zip(server.times, server.times[1:], strict=False))


def test_a_refusal_is_asked_again_and_one_that_stays_is_a_failure_of_that_question_alone(server: FakeServer, tmp_path: Path) -> None:
    refused = json.loads(completion("").body)
    refused["choices"][0]["message"]["refusal"] = "I may not"
    no = Answer(json.dumps(refused).encode())
    server.answer = lambda body, number: no if "question 1" in body["messages"][0]["content"] or number == 0 else completion("fine")
    replies = model(server, tmp_path, max_concurrency=1).ask(QUESTIONS[:3])
    assert [reply.text for reply in replies] == ["fine", "", "fine"]
    assert "I may not" in replies[1].failure
    assert len(server.asked) == 2 + 3 + 1
