"""A job of ours on a running cluster: sent, followed to its exit code, stopped without anything being left behind."""

import asyncio
import json
import os
import secrets
import shlex
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
from ray.job_submission import JobSubmissionClient
from ray.util.state import list_actors, list_placement_groups

from orchestrator.cluster.submit.job_client import DIRECTORY, KIND, answering, job_named, jobs_of
from orchestrator.cluster.submit.order import Order
from orchestrator.cluster.submit.sending import Sent
from orchestrator.errors import ClusterError, UserError
from orchestrator.report.jobs import Job
from orchestrator.search.progress import Progress

Say = Callable[[str], None]

# A driver that is stopped writes its reports first.
_STOP_WAIT_S = 60
_LOST_FOR_S = 120.0
_PAUSE_S = 0.5
# Of what Ray's job supervisor adds to a failed job's message, this begins what the log shows anyway.
_OF_THE_COMMAND = "Job entrypoint command failed with exit code"


def submit(client: JobSubmissionClient, order: Order, sent: Sent) -> str:
    """Send the files and start the job; returns its name. Raises UserError when another job writes to the same directory."""
    for job in jobs_of(client):
        if os.path.normpath(job.directory) == os.path.normpath(order.directory) and not job.is_over:
            cure = f"follow it with `daa status {job.name}`, end it with `daa stop {job.name}`, or choose another --dir"
            raise UserError(f"the job {job.name} writes to this directory", order.directory, cure)
    name = f"{order.name}-{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    with tempfile.TemporaryDirectory(prefix="daa-submit-") as place, answering(client.get_address()):
        archive = Path(place) / "working-directory.zip"
        sent.pack(archive)
        environment = {"RAY_JOB_STOP_WAIT_TIME_S": str(_STOP_WAIT_S), **order.environment}
        return client.submit_job(
            entrypoint=order.command,
            submission_id=name,
            runtime_env={"working_dir": str(archive), "env_vars": environment},
            metadata={KIND: order.kind, DIRECTORY: order.directory},
        )


def environment_named(names: Sequence[str]) -> dict[str, str]:
    """The values that these variables have here. Raises UserError for one that has none."""
    for name in names:
        if name not in os.environ:
            raise UserError(f"the environment has no {name}", "--env", f"export {name}=..., or leave --env out if the nodes have it")
    return {name: os.environ[name] for name in names}


def follow(client: JobSubmissionClient, name: str, write: Callable[[str], Any]) -> Job:
    """Write what a job prints until it is over. A connection that breaks is made again, and nothing is written twice."""
    log, lost_at = _Log(write), None
    while True:
        try:
            asyncio.run(log.read(client, name))
            job = job_named(client, name)
            lost_at = None
        except (aiohttp.ClientError, RuntimeError, ClusterError) as error:
            lost_at = lost_at or time.monotonic()
            if time.monotonic() - lost_at > _LOST_FOR_S:
                cure = f"`daa status {name} --follow` goes on, once the server answers again"
                raise ClusterError(f"the job server is out of reach; the job may still run ({error})", name, cure) from error
        else:
            if job.is_over:
                return job
        time.sleep(_PAUSE_S)


class _Log:
    """Writes a job's log, which the server tells from its beginning each time that it is asked."""

    def __init__(self, write: Callable[[str], Any]) -> None:
        self._write, self._written = write, 0

    async def read(self, client: JobSubmissionClient, name: str) -> None:
        """Write what was not written yet, until the server has no more."""
        told = 0
        async for lines in client.tail_job_logs(name):
            told += len(lines)
            if (fresh := told - self._written) > 0:
                self._write(lines[-fresh:])
                self._written = told


def exit_code_of(job: Job) -> int:
    """What the command returns for a job that is over: its own exit code; 1 where it has none, as when it was stopped."""
    return job.exit_code if job.exit_code is not None else 0 if job.status == "SUCCEEDED" else 1


def why_it_failed(job: Job) -> str:
    """What Ray says of a job that its own log does not show; empty where there is nothing of the kind."""
    return "" if job.message.startswith(_OF_THE_COMMAND) or job.status != "FAILED" else job.message


def stop(client: JobSubmissionClient, name: str, say: Say) -> Job:
    """Stop a job, and wait until none of its actors and placement groups is left. Raises ClusterError when some stay."""
    job = job_named(client, name)
    if not job.is_over:
        with answering(client.get_address()):
            client.stop_job(name)
        say("stopping: the driver writes what it knows and leaves")
        job = _until(lambda: job_named(client, name), lambda latest: latest.is_over, 2 * _STOP_WAIT_S, "the job did not end", name)
    if job.ray_job is not None:
        of_job = job.ray_job
        _until(lambda: left_of(client, of_job), lambda left: not left, _STOP_WAIT_S, "actors or placement groups stay", name)
    return job


def left_of(client: JobSubmissionClient, ray_job: str) -> list[str]:
    """The living actors and the placement groups of a job."""
    where = client.get_address()
    with answering(where):
        actors: list[Any] = list_actors(where, filters=[("job_id", "=", ray_job), ("state", "!=", "DEAD")], limit=1000)
        groups: list[Any] = list_placement_groups(where, filters=[("creator_job_id", "=", ray_job), ("state", "!=", "REMOVED")], limit=1000)
    # An actor whose class is Ray's own secret serves the whole cluster, whoever asked for it first.
    ours = [actor for actor in actors if not actor.class_name.startswith("_")]
    return [f"actor {actor.class_name}" for actor in ours] + [f"placement group {group.placement_group_id}" for group in groups]


def progress_of(client: JobSubmissionClient, directory: str) -> Progress | None:
    """The progress of a search whose directory only the cluster sees: a small job reads it there. None when there is none yet."""
    name = f"daa-status-{secrets.token_hex(4)}"
    command = shlex.join(["python", "-m", "jobs.status", directory])
    with answering(client.get_address()):
        client.submit_job(entrypoint=command, submission_id=name)
        while not (status := client.get_job_status(name)).is_terminal():
            time.sleep(_PAUSE_S)
        told = [line for line in client.get_job_logs(name).splitlines() if line.startswith("{")]
        client.delete_job(name)
    return Progress.from_dict(json.loads(told[-1])) if str(status) == "SUCCEEDED" and told else None


def _until(look: Callable[[], Any], is_so: Callable[[Any], bool], deadline_s: float, otherwise: str, where: str) -> Any:
    end = time.monotonic() + deadline_s
    while not is_so(found := look()):
        if time.monotonic() > end:
            left = f": {', '.join(found)}" if isinstance(found, list) else ""
            raise ClusterError(f"{otherwise} in {deadline_s:g} s{left}", where, "look at the job in Ray's dashboard")
        time.sleep(_PAUSE_S)
    return found
