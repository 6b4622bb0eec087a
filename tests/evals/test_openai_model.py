"""A model behind an endpoint, as a judge: what it makes of good answers, bad answers and none."""

import asyncio
import json
import math
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evals.asking import Question, Reply
from evals.chat_models.openai_model import OpenAIModel, OpenAIModelSettings
from evals.chat_models.remembering import remembered
from evals.errors import JudgeUnavailableError, SettingsError, UserError
from evals.generation import Decoding
from evals.judges.pairwise import TEXT_TOKENS, PairwiseJudge
from evals.judges.pairwise_prompt import candidate_is_first
from evals.judging import Match
from evals.prompts import EvaluationPrompt, Message
from tests.evals.fake_server import Answer, FakeServer, completion, failure, wait_until


def settings(server: FakeServer, **changes: Any) -> OpenAIModelSettings:
    quick = OpenAIModelSettings("fake", server.url, timeout_s=5, max_attempts=3, first_wait_s=0.01)
    return replace(quick, **changes)


def judge_at(server: FakeServer, protocol: Any = "logprobs", **changes: Any) -> PairwiseJudge:
    return PairwiseJudge(OpenAIModel(settings(server, **changes)), protocol)


def matches(count: int) -> list[Match]:
    return [Match(EvaluationPrompt(f"p{n}", (Message("user", f"question {n}"),)), f"GOOD {n}", f"BAD {n}") for n in range(count)]


def fair_tokens(body: dict[str, Any], number: int) -> Answer:
    """Find the good answer with probability 0.9, wherever it stands."""
    good, bad = ("m", " M") if good_is_first(body) else ("M", " m")
    return completion(good, {good: math.log(0.9), bad: math.log(0.1), "x": -9.0})


def fair_text(body: dict[str, Any], number: int) -> Answer:
    return completion(f"It is better. [[{'A' if good_is_first(body) else 'B'}]]")


def good_is_first(body: dict[str, Any]) -> bool:
    text = body["messages"][0]["content"]
    return text.index("GOOD") < text.index("BAD")


@pytest.mark.parametrize(("protocol", "answer", "score"), [("logprobs", fair_tokens, 0.9), ("text", fair_text, 1.0)])
def test_the_better_candidate_wins_in_either_order(
    server: FakeServer, protocol: str, answer: Callable[[dict[str, Any], int], Answer], score: float
) -> None:
    server.answer = answer
    asked = matches(12)
    verdicts = judge_at(server, protocol=protocol).judge(asked)
    assert [verdict.prompt_id for verdict in verdicts] == [match.prompt.id for match in asked]
    assert [verdict.candidate_score for verdict in verdicts] == pytest.approx([score] * 12)
    assert [verdict.candidate_shown_first for verdict in verdicts] == [candidate_is_first(match.prompt, 0) for match in asked]
    assert {verdict.candidate_shown_first for verdict in verdicts} == {True, False}


def test_equal_texts_tie_and_are_not_asked_about(server: FakeServer) -> None:
    (verdict,) = judge_at(server).judge([replace(matches(1)[0], candidate="same", baseline="same")])
    assert verdict.candidate_score == 0.5
    assert server.asked == []


@pytest.mark.parametrize(
    ("protocol", "answer"),
    [
        ("logprobs", completion("x", {"x": -0.1})),
        ("logprobs", completion("m")),
        ("text", completion("I cannot say.")),
        ("text", completion("")),
    ],
)
def test_an_answer_without_a_verdict_is_unreadable_and_no_loss(server: FakeServer, protocol: str, answer: Answer) -> None:
    server.answer = lambda body, number: answer
    (verdict,) = judge_at(server, protocol=protocol).judge(matches(1))
    assert verdict.candidate_score is None
    assert len(server.asked) == 1


HTML = Answer(b"<html>starting</html>", headers={"content-type": "text/html"})


@pytest.mark.parametrize(
    "bad",
    [
        failure(429),
        failure(500),
        failure(503),
        Answer(b"{cut off"),
        Answer(b'{"choices": []}'),
        HTML,
        replace(failure(500), delay_s=4),
    ],
)
def test_a_failure_that_passes_is_retried(server: FakeServer, bad: Answer) -> None:
    server.answer = lambda body, number: fair_tokens(body, number) if number else bad
    (verdict,) = judge_at(server, timeout_s=2).judge(matches(1))
    assert verdict.candidate_score == pytest.approx(0.9)
    assert len(server.asked) == 2


def test_the_server_decides_how_long_to_wait(server: FakeServer) -> None:
    server.answer = lambda body, number: fair_tokens(body, number) if number else failure(429, retry_after="0.3")
    judge_at(server).judge(matches(1))
    assert server.times[1] - server.times[0] >= 0.3


@pytest.mark.parametrize("bad", [failure(500), HTML, Answer(b"", delay_s=3)])
def test_a_failure_that_stays_is_an_unavailable_judge(server: FakeServer, bad: Answer) -> None:
    server.answer = lambda body, number: bad
    with pytest.raises(JudgeUnavailableError, match="3 attempts") as gone:
        judge_at(server, timeout_s=1).judge(matches(1))
    assert gone.value.code == "DAA-0400"
    assert gone.value.where == server.url
    assert "is the server up? is the model name right?" in gone.value.cure
    assert len(server.asked) == 3


def test_a_server_that_is_down_is_an_unavailable_judge(server: FakeServer) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        start = time.monotonic()
        with pytest.raises(JudgeUnavailableError) as gone:
            judge_at(server, base_url=url).judge(matches(40))
    assert gone.value.where == url
    assert time.monotonic() - start < 15


@pytest.mark.parametrize(("status", "cure"), [(400, "protocol"), (401, "OPENAI_API_KEY"), (403, "access"), (404, "model name")])
def test_a_refusal_is_the_users_to_cure_and_is_not_retried(server: FakeServer, status: int, cure: str) -> None:
    server.answer = lambda body, number: failure(status)
    with pytest.raises(UserError, match=f"failure {status}") as refusal:
        judge_at(server).judge(matches(1))
    assert cure in refusal.value.cure
    assert len(server.asked) == 1


@pytest.mark.parametrize("code", ["content_filter", "invalid_api_key"])
def test_a_key_that_the_server_repeats_is_told_nowhere(server: FakeServer, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGES_WORD", "canary-of-a-judge")
    message = f"{code}: you sent Bearer canary-of-a-judge to https://me:canary@host/v1"
    server.answer = lambda body, number: Answer(json.dumps({"error": {"message": message, "code": code}}).encode(), 400)
    try:
        told = str(judge_at(server, api_key_env="JUDGES_WORD").judge(matches(1)))
    except UserError as error:
        told = str(error)
    assert "$JUDGES_WORD" in told and "canary" not in told


def test_half_of_a_letter_in_an_answer_is_kept_as_a_sign(server: FakeServer, tmp_path: Path) -> None:
    server.answer = lambda body, number: completion("\ud83d [[A]]", {"\udc00": -0.1})
    model = remembered(OpenAIModel(settings(server)), tmp_path)
    questions = [Question(str(n), (Message("user", f"{n}"),), Decoding(), labels=("m", "M")) for n in range(3)]
    assert [reply.text for reply in model.ask(questions)] == ["? [[A]]"] * 3
    assert model.ask(questions)[0].logprobs == {"?": -0.1}
    assert len(server.asked) == 3


def test_when_a_reply_cannot_be_kept_nothing_more_is_asked_and_those_on_their_way_are_kept(server: FakeServer) -> None:
    failed = threading.Event()
    kept: list[int] = []

    def answer(body: dict[str, Any], number: int) -> Answer:
        if body["messages"][0]["content"] != "0":
            failed.wait(20)
        wait_until(lambda: len(server.asked) == 4)
        return completion("fine")

    def keep(number: int, reply: Reply) -> None:
        if number == 0:
            failed.set()
            raise OSError(28, "No space left on device")
        kept.append(number)

    server.answer = answer
    questions = [Question(str(n), (Message("user", f"{n}"),), Decoding()) for n in range(40)]
    with pytest.raises(OSError, match="No space"):
        OpenAIModel(settings(server, max_concurrency=4)).ask(questions, keep)
    assert sorted(kept) == [1, 2, 3]
    assert len(server.asked) == 4


def test_no_more_requests_are_under_way_than_allowed(server: FakeServer) -> None:
    def answer(body: dict[str, Any], number: int) -> Answer:
        wait_until(lambda: len(server.asked) >= 3)
        return replace(fair_tokens(body, number), delay_s=0.03)

    server.answer = answer
    judge_at(server, max_concurrency=3).judge(matches(15))
    assert server.busiest == 3


def test_a_budget_that_cannot_suffice_is_refused_before_anything_is_spent(server: FakeServer) -> None:
    judge = judge_at(server, max_requests=5)
    judge.judge(matches(4))
    with pytest.raises(UserError, match="4 requests are spent and 2 more are wanted"):
        judge.judge(matches(2))
    assert len(server.asked) == 4


def test_retries_are_paid_from_the_budget(server: FakeServer) -> None:
    server.answer = lambda body, number: failure(500)
    with pytest.raises(UserError, match="`max_requests` is 2"):
        judge_at(server, max_requests=2).judge(matches(1))
    assert len(server.asked) == 2


def test_a_judge_works_inside_a_running_loop(server: FakeServer) -> None:
    async def inside() -> float | None:
        return judge_at(server).judge(matches(1))[0].candidate_score

    assert asyncio.run(inside()) is not None


def test_the_hosted_judge_without_a_key_is_refused_before_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(UserError, match="no API key") as refusal:
        PairwiseJudge(OpenAIModel(OpenAIModelSettings("gpt-4.1"))).judge(matches(1))
    assert refusal.value.code == "DAA-0403"
    assert "OPENAI_API_KEY" in refusal.value.where


@pytest.mark.parametrize("wrong", [{"max_concurrency": 0}, {"timeout_s": -1.0}, {"max_attempts": 0}, {"max_cost": 1.0}])
def test_impossible_settings_are_refused(server: FakeServer, wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        settings(server, **wrong)


def test_a_judge_with_an_unknown_protocol_is_refused(server: FakeServer) -> None:
    with pytest.raises(SettingsError, match="vote"):
        judge_at(server, protocol="vote")


@pytest.mark.parametrize("protocol", ["logprobs", "text"])
def test_a_verdict_costs_what_both_orders_cost(server: FakeServer, protocol: str) -> None:
    server.answer = fair_tokens if protocol == "logprobs" else fair_text
    judge = judge_at(server, protocol=protocol, input_price=2.0, output_price=8.0)
    (once,) = judge.judge(matches(1))
    (twice,) = replace(judge, swap_sample=None).judge(matches(1))
    assert once.in_both_orders is None and twice.in_both_orders is not None
    assert twice.cost == pytest.approx(2 * once.cost) and once.cost > 0


def told(usage: dict[str, Any] | None = None, **changes: Any) -> Answer:
    """Say [[A]], for a dollar where a million tokens cost that, with the message changed."""
    content = json.loads(completion("[[A]]").body)
    content["usage"] = usage or {"prompt_tokens": 900_000, "completion_tokens": 100_000, "total_tokens": 1_000_000}
    content["choices"][0]["message"] |= changes
    return Answer(json.dumps(content).encode())


@pytest.mark.parametrize("bad", [told(refusal="no"), replace(told(), body=told().body.replace(b"choices", b"choises")), failure(500)])
@pytest.mark.parametrize("times", [1, 2])
def test_every_attempt_that_was_answered_is_paid_for_in_the_verdict_and_in_the_budget(server: FakeServer, bad: Answer, times: int) -> None:
    server.answer = lambda body, number: bad if number < times else told()
    model = OpenAIModel(settings(server, input_price=1.0, output_price=1.0, max_cost=2.01))
    (verdict,) = PairwiseJudge(model, "text").judge(matches(1))
    assert verdict.candidate_score is not None
    assert verdict.cost == model.budget.spent == (1.0 if bad.status == 500 else times + 1.0)


def test_an_answer_that_came_too_late_may_have_cost_the_most_and_one_that_was_never_asked_for_costs_nothing(server: FakeServer) -> None:
    server.answer = lambda body, number: replace(told(), delay_s=0.6 if number == 0 else 0.0)
    question = Question("q", (Message("user", "?"),), Decoding(max_tokens=50))
    priced = {"input_price": 1.0, "output_price": 1.0}
    model = OpenAIModel(settings(server, timeout_s=0.3, **priced))
    most = model.budget.prices.at_most(question)
    (reply,) = model.ask([question])
    assert reply.cost == model.budget.spent == pytest.approx(most + 1.0)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        gone = OpenAIModel(settings(server, base_url=f"http://127.0.0.1:{unused.getsockname()[1]}/v1", **priced))
        with pytest.raises(JudgeUnavailableError):
            gone.ask([question])
    assert gone.budget.spent == 0.0


def test_a_refusal_that_stays_was_paid_for_as_often_as_it_was_asked_for(server: FakeServer) -> None:
    server.answer = lambda body, number: told(refusal="no")
    model = OpenAIModel(settings(server, input_price=1.0, output_price=1.0))
    (verdict,) = PairwiseJudge(model, "text").judge(matches(1))
    assert (verdict.candidate_score, verdict.cost, model.budget.spent) == (None, 3.0, 3.0)


def test_what_was_paid_before_a_filter_stops_a_question_is_told(server: FakeServer) -> None:
    stopped = Answer(json.dumps({"error": {"message": "content_filter"}}).encode(), 400)
    server.answer = lambda body, number: stopped if number else told(refusal="no")
    (reply,) = OpenAIModel(settings(server, input_price=1.0, output_price=1.0)).ask([Question("q", (Message("user", "?"),))])
    assert "content_filter" in reply.failure
    assert reply.cost == 1.0


@pytest.mark.parametrize("usage", [{"prompt_tokens": 10}, {"prompt_tokens": 10, "completion_tokens": None, "total_tokens": 10}])
def test_what_a_server_does_not_count_may_have_cost_the_most(server: FakeServer, usage: dict[str, Any]) -> None:
    server.answer = lambda body, number: told(usage)
    model = OpenAIModel(settings(server, input_price=1.0, output_price=1.0))
    question = Question("q", (Message("user", "?"),), Decoding(max_tokens=50))
    (reply,) = model.ask([question])
    assert (reply.text, reply.prompt_tokens, reply.tokens) == ("[[A]]", 10, 0)
    assert reply.cost == model.budget.spent == model.budget.prices.at_most(question) > 0


@pytest.mark.parametrize("tops", [{}, {"top_logprobs": None}])
def test_a_token_without_others_beside_it_is_read_alone(server: FakeServer, tops: dict[str, Any]) -> None:
    content = json.loads(completion("m").body)
    content["choices"][0]["logprobs"] = {"content": [{"token": "m", "logprob": -0.1, **tops}]}
    server.answer = lambda body, number: Answer(json.dumps(content).encode())
    (reply,) = OpenAIModel(settings(server)).ask([Question("q", (Message("user", "?"),), labels=("m", "M"))])
    assert (reply.text, reply.logprobs) == ("m", {"m": -0.1})


def test_a_text_in_parts_is_read_whole(server: FakeServer) -> None:
    parts = [{"type": "text", "text": "It is better. "}, {"type": "image"}, {"type": "text", "text": "[[A]]"}]
    server.answer = lambda body, number: told(content=parts)
    (reply,) = OpenAIModel(settings(server)).ask([Question("q", (Message("user", "?"),))])
    assert reply.text == "It is better. [[A]]"


def test_a_reasoning_model_is_asked_in_its_own_words_and_its_room_is_paid_for(server: FakeServer) -> None:
    server.answer = fair_text
    reasoning = {"reasoning_effort": "low", "reasoning_tokens": 500}
    judge = judge_at(server, "text", **reasoning)
    assert [verdict.candidate_score for verdict in judge.judge(matches(2))] == [1.0, 1.0]
    sent = server.asked[0]
    assert (sent["reasoning_effort"], sent["max_completion_tokens"]) == ("low", TEXT_TOKENS + 500)
    assert not {"temperature", "top_p", "seed", "max_tokens", "logprobs"} & sent.keys()
    plain, deep = (OpenAIModel(settings(server, **given)) for given in ({}, reasoning))
    assert plain.identity != deep.identity
    costs = [OpenAIModel(settings(server, output_price=1e6, **given)).budget.prices.at_most(Question("1", ())) for given in ({}, reasoning)]
    assert costs[1] - costs[0] == pytest.approx(500)


def test_a_reasoning_model_is_not_asked_for_log_probabilities(server: FakeServer) -> None:
    with pytest.raises(UserError, match="tells no log-probabilities") as refused:
        judge_at(server, "logprobs", reasoning_effort="low").judge(matches(1))
    assert 'protocol = "text"' in refused.value.cure
    assert not server.asked


def test_a_server_that_wants_reasoning_names_the_setting(server: FakeServer) -> None:
    message = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
    server.answer = lambda body, number: Answer(json.dumps({"error": {"message": message}}).encode(), 400)
    with pytest.raises(UserError, match="max_completion_tokens") as refused:
        judge_at(server, "text").judge(matches(1))
    assert "`reasoning_effort`" in refused.value.cure
