"""What the job server refuses is told in our words, and a job's log and end are read as they are."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from ray.exceptions import AuthenticationError

from orchestrator.cluster.submit import submission
from orchestrator.cluster.submit.job_client import answering, connected
from orchestrator.cluster.submit.order import Order
from orchestrator.cluster.submit.submission import _Log, environment_named, exit_code_of, why_it_failed
from orchestrator.errors import ClusterError, UserError
from orchestrator.report.jobs import Job, duration
from tests.cluster.job_server import free_ports

JOB = Job("one", "SUCCEEDED", "search", "/shared/run", "python -m jobs.search", "", 1.0, 2.0, 0, "02000000")


class TailedFromTheStart:
    """A server's answer to being asked for a log: always from its beginning, in pieces."""

    def __init__(self, *pieces: str) -> None:
        self.pieces = pieces

    async def tail_job_logs(self, name: str) -> AsyncIterator[str]:
        for piece in self.pieces:
            yield piece


def test_a_log_that_is_asked_for_again_is_written_once() -> None:
    written: list[str] = []
    log = _Log(written.append)
    servers: list[Any] = [TailedFromTheStart("one\n", "tw"), TailedFromTheStart("one\ntwo\nth", "ree\n"), TailedFromTheStart("one\ntwo\n")]
    for server in servers:
        asyncio.run(log.read(server, "job"))
    assert "".join(written) == "one\ntwo\nthree\n"


@pytest.mark.parametrize(("status", "own", "code"), [("SUCCEEDED", 0, 0), ("FAILED", 2, 2), ("FAILED", None, 1), ("STOPPED", None, 1)])
def test_the_exit_code_is_the_jobs_own_and_one_where_it_has_none(status: str, own: int | None, code: int) -> None:
    assert exit_code_of(replace(JOB, status=status, exit_code=own)) == code


def test_what_ray_says_of_a_job_that_never_began_is_told_and_what_its_log_shows_is_not() -> None:
    never = replace(JOB, status="FAILED", exit_code=None, message="runtime_env setup failed")
    assert why_it_failed(never) == "runtime_env setup failed"
    assert why_it_failed(replace(JOB, status="FAILED", exit_code=2, message="Job entrypoint command failed with exit code 2, ...")) == ""


def test_a_server_that_does_not_answer_is_named_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"http://127.0.0.1:{free_ports(1)[0]}"
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://elsewhere:1")
    with pytest.raises(ClusterError, match="no job server answers") as refusal:
        connected(address)
    assert refusal.value.where == address, "an address that is given counts more than the environment's"
    assert "--address" in refusal.value.cure


def test_a_cluster_that_wants_a_token_says_how_to_give_it() -> None:
    with pytest.raises(ClusterError, match="wants a token") as refusal, answering("http://head:8265"):
        raise AuthenticationError("Unauthenticated")
    assert "RAY_AUTH_MODE=token" in refusal.value.cure


def test_variables_are_passed_by_name_and_one_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "secret")
    assert environment_named(["MY_KEY"]) == {"MY_KEY": "secret"}
    monkeypatch.delenv("MY_KEY")
    with pytest.raises(UserError, match="no MY_KEY"):
        environment_named(["MY_KEY"])


@pytest.mark.parametrize("directory", ["/shared/run", "/shared/run/", "/shared/other/../run"])
def test_a_directory_to_which_a_job_writes_is_refused_to_another_however_it_is_written(
    directory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = replace(JOB, status="RUNNING", ended=None, directory=directory)
    monkeypatch.setattr(submission, "jobs_of", lambda client: [running])
    order: Any = Order("search", "mine", [], "/shared/run", {})
    nothing: Any = None
    with pytest.raises(UserError, match="the job one writes to this directory"):
        submission.submit(nothing, order, nothing)


@pytest.mark.parametrize(("seconds", "told"), [(0.4, "0 s"), (119, "119 s"), (600, "10 minutes"), (7200, "2.0 hours")])
def test_a_duration_is_told_in_words_of_one_size(seconds: float, told: str) -> None:
    assert duration(seconds) == told
