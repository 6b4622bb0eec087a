"""The job server of a Ray cluster: what it is asked, with its refusals in our words."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ray.exceptions import AuthenticationError
from ray.job_submission import JobSubmissionClient

from evals.errors import first_line
from orchestrator.errors import ClusterError, UserError
from orchestrator.report.jobs import Job

DEFAULT_ADDRESS = "http://localhost:8265"
# Under these names a job's record says what of ours it is.
KIND, DIRECTORY = "daa.job", "daa.directory"
_ADDRESS_VARIABLE = "RAY_API_SERVER_ADDRESS"


def connected(address: str | None) -> JobSubmissionClient:
    """The job server at an address, by default the one that the environment names or this machine's.

    Raises ClusterError when nothing answers there, or refuses for want of a token.
    """
    if address is not None:
        # Ray lets the environment overrule what its client is given.
        os.environ[_ADDRESS_VARIABLE] = address
    elif _ADDRESS_VARIABLE not in os.environ and "RAY_ADDRESS" not in os.environ:
        os.environ[_ADDRESS_VARIABLE] = DEFAULT_ADDRESS
    where = os.environ.get(_ADDRESS_VARIABLE) or os.environ["RAY_ADDRESS"]
    with answering(where):
        return JobSubmissionClient(where)


@contextmanager
def answering(where: str) -> Iterator[None]:
    """Turn what the client raises into our errors."""
    try:
        yield
    except AuthenticationError as error:
        reason = first_line(error)
        cure = "export RAY_AUTH_MODE=token and the cluster's token (RAY_AUTH_TOKEN or ~/.ray/auth_token); docs/clusters.md has the steps"
        raise ClusterError(f"the cluster wants a token: {reason}", where, cure) from error
    except (ConnectionError, OSError) as error:
        cure = "start the cluster, forward its port 8265 (`ray dashboard cluster.yaml`), or give --address"
        raise ClusterError("no job server answers", where, cure) from error
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise ClusterError(f"the job server refused: {reason}", where, "read the head node's dashboard log") from error


def jobs_of(client: JobSubmissionClient) -> list[Job]:
    """Our jobs, the latest first."""
    with answering(client.get_address()):
        found = [_job(details) for details in client.list_jobs() if KIND in (details.metadata or {})]
    return sorted(found, key=lambda job: -(job.started or 0.0))


def job_named(client: JobSubmissionClient, name: str) -> Job:
    """One job. Raises UserError when the server does not know it."""
    for job in (found := jobs_of(client)):
        if job.name == name:
            return job
    known = ", ".join(job.name for job in found[:5]) or "none"
    raise UserError(f"there is no job {name}", client.get_address(), f"give one of the jobs that `daa status` lists (the latest: {known})")


def _job(details: Any) -> Job:
    metadata = details.metadata or {}
    return Job(
        name=details.submission_id or "",
        status=str(details.status),
        kind=metadata.get(KIND, ""),
        directory=metadata.get(DIRECTORY, ""),
        command=details.entrypoint,
        message=details.message or "",
        started=_seconds(details.start_time),
        ended=_seconds(details.end_time),
        exit_code=details.driver_exit_code,
        ray_job=details.job_id,
    )


def _seconds(milliseconds: int | None) -> float | None:
    return milliseconds / 1000 if milliseconds else None
