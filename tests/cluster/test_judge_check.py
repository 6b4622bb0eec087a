"""The doctor's one question to each kind of judge."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from evals.chat_models.openai_model import OpenAIModel, OpenAIModelSettings
from evals.chat_models.remembering import remembered
from evals.errors import DataFormatError, JudgeUnavailableError, UserError
from evals.judges.pairwise import PairwiseJudge
from evals.judging import Match
from evals.prompts import EvaluationPrompt, Message
from orchestrator.cluster.engines.judge_check import check_judge
from orchestrator.doctor.findings import Status
from orchestrator.settings import OpenAISettings, ReferenceSettings, ReplaySettings, VerifierSettings, VllmJudgeSettings
from tests.evals.fake_server import FakeServer, completion, failure


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    """A judge's server that answers as it is told to."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with FakeServer() as running:
        yield running


def openai(server: FakeServer, **others: object) -> OpenAISettings:
    return OpenAISettings.model_validate({"kind": "openai", "model": "judge", "base_url": server.url, **others})


def test_a_language_model_is_asked_one_question_whatever_a_run_would_ask(server: FakeServer) -> None:
    (found,) = check_judge(openai(server, order="both", input_price=1.0), ())
    assert found.status is Status.OK
    assert len(server.asked) == 1
    assert "for 0.000" in found.found


def test_a_verdict_that_cannot_be_read_is_a_warning(server: FakeServer) -> None:
    server.answer = lambda body, number: completion("both are fine")
    (found,) = check_judge(openai(server, protocol="text"), ())
    assert found.status is Status.WARN
    assert "cannot be read" in found.found
    assert found.fix


def test_a_server_that_fails_is_given_up_after_two_attempts_and_one_that_refuses_at_once(server: FakeServer) -> None:
    server.answer = lambda body, number: failure(500)
    with pytest.raises(JudgeUnavailableError):
        check_judge(openai(server), ())
    assert len(server.asked) == 2
    server.answer = lambda body, number: failure(401)
    with pytest.raises(UserError) as refused:
        check_judge(openai(server, api_key_env="MY_KEY"), ())
    assert "MY_KEY" in refused.value.cure
    assert len(server.asked) == 3


def test_a_verifier_is_shown_the_runs_own_first_prompt(tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text('{"prompt": "say fox", "answer": "fox"}\n')
    (found,) = check_judge(VerifierSettings(kind="verifier"), [prompts])
    assert "a right answer 1.00 beside a wrong one" in found.found
    prompts.write_text('{"prompt": "say fox"}\n')
    for settings in (VerifierSettings(kind="verifier"), ReferenceSettings(kind="reference")):
        with pytest.raises((UserError, DataFormatError), match="the prompt has n"):
            check_judge(settings, [prompts])


def test_a_judge_whose_model_is_not_here_is_not_downloaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    (found,) = check_judge(VllmJudgeSettings(kind="vllm", model="owner/judge"), ())
    assert found.status is Status.WARN
    assert found.fix == "`hf download owner/judge`"
    assert list(tmp_path.iterdir()) == []


def test_replies_that_are_replayed_are_read_and_nothing_is_asked(server: FakeServer, tmp_path: Path) -> None:
    asked = remembered(OpenAIModel(OpenAIModelSettings("judge", server.url)), tmp_path)
    PairwiseJudge(asked).judge([Match(EvaluationPrompt("one", (Message("user", "which?"),)), "one", "two")])
    (file,) = tmp_path.iterdir()
    (found,) = check_judge(ReplaySettings(kind="replay", file=file), ())
    assert (found.status, len(server.asked)) == (Status.OK, 1)
