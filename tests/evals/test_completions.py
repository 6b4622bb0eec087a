"""What a server sends as a completion is read, retried or paid for as dear as it may have been, whatever its parts are."""

import gzip
import json
from copy import deepcopy
from typing import Any

import pytest

from evals.asking import Question, Reply
from evals.chat_models.completions import LARGEST_ANSWER, LONGEST_TOKEN
from evals.chat_models.openai_model import OpenAIModel, OpenAIModelSettings
from evals.errors import JudgeUnavailableError
from evals.generation import Decoding
from evals.prompts import Message
from tests.evals.fake_server import Answer, FakeServer, completion, failure

QUESTION = Question("q", (Message("user", "?"),), Decoding(max_tokens=4))
LABELS = Question("q", (Message("user", "?"),), labels=("m", "M"))
CHOICE = ("choices", 0)
GOOD = json.loads(completion("m", {"m": -0.1, "M": -2.4}).body)


def model_at(server: FakeServer, attempts: int = 2) -> OpenAIModel:
    return OpenAIModel(
        OpenAIModelSettings("fake", server.url, max_attempts=attempts, first_wait_s=0.01, input_price=1.0, output_price=1.0, max_cost=1.0)
    )


def changed(path: tuple[str | int, ...], value: Any) -> Answer:
    """A good answer with another value at a path."""
    content = deepcopy(GOOD)
    here: Any = content
    for part in path[:-1]:
        here = here[part]
    here[path[-1]] = value
    return Answer(json.dumps(content).encode())


def counted(count: Any) -> Answer:
    return changed(("usage",), {"prompt_tokens": 10, "completion_tokens": count})


@pytest.mark.parametrize("count", [float("nan"), -(10**9), True, "12", pytest.param(10**400, id="huge"), 2**53, None, [1]])
def test_what_is_no_count_of_tokens_may_have_cost_the_most(server: FakeServer, count: Any) -> None:
    server.answer = lambda body, number: counted(count)
    model = model_at(server)
    (reply,) = model.ask([QUESTION])
    assert reply.cost == model.budget.spent == model.budget.prices.at_most(QUESTION) > 0
    assert reply.tokens == 0


def test_a_count_of_tokens_is_what_is_paid_for(server: FakeServer) -> None:
    server.answer = lambda body, number: counted(2)
    assert model_at(server).ask([QUESTION])[0].cost == 12e-6


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("choices",), 7),
        (("choices",), {"a": 1}),
        (CHOICE, None),
        ((*CHOICE, "message"), []),
        ((*CHOICE, "message", "content"), 5),
        ((*CHOICE, "message", "content"), [{"type": "text", "text": 5}]),
        ((*CHOICE, "logprobs"), "x"),
        ((*CHOICE, "logprobs"), {"content": 5}),
        ((*CHOICE, "logprobs"), {"content": [{"token": None, "logprob": -1}]}),
        ((*CHOICE, "logprobs"), {"content": [{"token": "m", "logprob": 10**400}]}),
        (("model",), ["fake"]),
    ],
)
def test_an_answer_whose_parts_are_of_another_type_is_asked_for_again(server: FakeServer, path: tuple[str | int, ...], value: Any) -> None:
    server.answer = lambda body, number: Answer(json.dumps(GOOD).encode()) if number else changed(path, value)
    (reply,) = model_at(server).ask([LABELS])
    assert reply.logprobs == {"m": -0.1, "M": -2.4}
    assert len(server.asked) == 2


@pytest.mark.parametrize("bad", [b"[1]", b"5", b'{"choices": ' + b"[" * 50_000, b"\xff\xfe\x00"])
def test_what_is_no_table_is_told_as_an_answer_that_is_none(server: FakeServer, bad: bytes) -> None:
    server.answer = lambda body, number: Answer(bad)
    with pytest.raises(JudgeUnavailableError, match="the answer is no"):
        model_at(server).ask([QUESTION])


@pytest.mark.parametrize("packed", [False, True])
def test_an_answer_that_is_too_large_is_not_read_to_its_end(server: FakeServer, packed: bool) -> None:
    body = completion("a" * (LARGEST_ANSWER + 1)).body
    large = Answer(gzip.compress(body), headers={"content-encoding": "gzip"}) if packed else Answer(body)
    server.answer = lambda body, number: large
    with pytest.raises(JudgeUnavailableError, match="larger than 8 MiB"):
        model_at(server, attempts=1).ask([QUESTION])


def test_an_answer_that_breaks_off_is_asked_for_again(server: FakeServer) -> None:
    server.answer = lambda body, number: completion("m") if number else Answer(b"no gzip", headers={"content-encoding": "gzip"})
    assert model_at(server).ask([QUESTION])[0].text == "m"


def test_of_an_answer_no_more_is_kept_than_the_tokens_allowed_can_be(server: FakeServer) -> None:
    longest = 4 * LONGEST_TOKEN
    texts = ("a" * longest, "a" * (longest + 1))
    server.answer = lambda body, number: completion(texts[number])
    model = model_at(server)
    kept = [model.ask([QUESTION])[0] for _ in texts]
    assert kept == [Reply("a" * longest, model="fake", cost=kept[0].cost, finished=finished) for finished in (True, False)]


def test_of_log_probabilities_no_more_are_kept_than_were_asked_for(server: FakeServer) -> None:
    server.answer = lambda body, number: completion("m", {"m": -0.1} | {str(n): -9.0 for n in range(100)})
    assert len(model_at(server).ask([LABELS])[0].logprobs) == 20


def test_of_a_refusal_the_beginning_is_told(server: FakeServer) -> None:
    server.answer = lambda body, number: Answer(failure(401).body.replace(b"failure", b"failure " + b"://:" * 100_000), 401)
    with pytest.raises(Exception, match="failure ://:") as refused:
        model_at(server).ask([QUESTION])
    assert len(str(refused.value)) < 1000
