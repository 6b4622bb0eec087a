"""`daa submit`, `daa status` and `daa stop` against a local head with a job server."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from orchestrator.cluster.submit.job_client import connected
from orchestrator.cluster.submit.sending import LARGEST_ARCHIVE
from tests.cluster.job_server import daa, local_head, ray_job_submit, started_daa
from tests.cluster.small_search import read_events, wait_until, write_small_search

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A head for all tests of this file."""
    with local_head(tmp_path_factory.mktemp("head")) as address:
        yield address


@pytest.fixture
def project(tmp_path: Path, tiny_model: Path) -> Path:
    """A user's directory with a small search whose data lie beside its settings, named by relative paths."""
    project = tmp_path / "project"
    settings = write_small_search(project, tiny_model, trials=2, steps=8)
    changes = {f"{project}/": "", 'cache = "cache"': f'cache = "{tmp_path}/cache"', "seeds = 2": "seeds = 1"}
    text = settings.read_text()
    for old, new in changes.items():
        text = text.replace(old, new)
    settings.write_text(text)
    return project


def jobs_of(project: Path, address: str) -> list[dict[str, Any]]:
    return json.loads(daa(project, "status", "--address", address, "--json").stdout)


def running(*kinds: str) -> list[str]:
    """Processes of Ray with one of these in their titles."""
    titles = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
    return [title for title in titles if title.startswith("ray::") and any(kind in title for kind in kinds)]


def last_words(head: str, job: str, directory: Path) -> str:
    """What Ray, a job and the libraries of its driver said."""
    client = connected(head)
    return f"{client.get_job_info(job)}\n{client.get_job_logs(job)}\n{(directory / 'logs' / 'driver.log').read_text()[-5000:]}"


def test_data_that_are_refused_on_the_cluster_end_the_command_as_they_do_here(head: str, project: Path, tmp_path: Path) -> None:
    train = project / "train.jsonl"
    train.write_text('{"unknown": 1}\n')
    refused = daa(project, "submit", "settings.toml", "--dir", str(tmp_path / "refused"), "--address", head)
    assert refused.returncode == 2, refused.stdout + refused.stderr
    assert "error DAA-" in refused.stdout
    told = [(job["kind"], job["status"], job["exit_code"]) for job in jobs_of(project, head)]
    assert told == [("search", "FAILED", 2)]


def test_rays_own_command_tells_of_a_refusal_and_fails(head: str, project: Path, tmp_path: Path) -> None:
    wrong = project / "settings.toml"
    wrong.write_text(wrong.read_text().replace("trials", "trails"))
    refused = ray_job_submit(head, "python", "-m", "jobs.search", str(wrong), "--dir", str(tmp_path / "refused"))
    assert refused.returncode != 0
    assert "did you mean 'trials'?" in refused.stdout
    assert "exit code 2" in refused.stdout + refused.stderr


def test_a_search_that_is_stopped_frees_everything_and_goes_on_from_a_whole_ledger(head: str, project: Path, tmp_path: Path) -> None:
    directory = tmp_path / "run"
    settings = project / "settings.toml"
    settings.write_text(settings.read_text().replace("steps = 8", "steps = 200").replace("trials = 2", "trials = 3"))
    watched = started_daa(project, "submit", "settings.toml", "--dir", str(directory), "--address", head)
    wait_until(lambda: bool(read_events(directory)), 400, "a ledger")
    watched.send_signal(signal.SIGINT)
    assert watched.wait(60) == 130
    said = watched.stderr.read() if watched.stderr else ""
    assert "sends 3 files" in said
    assert "runs on: follow it with `daa status" in said

    [job] = [each for each in jobs_of(project, head) if each["status"] == "RUNNING"]
    again = daa(project, "submit", "settings.toml", "--dir", str(directory), "--address", head)
    assert again.returncode == 2
    assert f"the job {job['name']} writes to this directory" in again.stderr

    # From here on the search has a few seconds left.
    wait_until(lambda: any(event["event"] == "score" for event in read_events(directory)), 400, "a score")
    assert running("RayTrainWorker")
    assert not running("PreemptionWatcher", "DatasetManager"), "a gang has no more processes than it needs"
    status = json.loads(daa(project, "status", job["name"], "--address", head, "--json").stdout)
    assert status["progress"]["best"]["low"] <= status["progress"]["best"]["win_rate"] <= status["progress"]["best"]["high"]
    assert status["progress"]["wanted"] == 3

    stopped = daa(project, "stop", job["name"], "--address", head)
    assert stopped.returncode == 0, stopped.stderr
    assert "nothing of it is left on the cluster" in stopped.stderr
    wait_until(lambda: not running("TrainController", "Cleaner"), 60, "who watched over the workers is gone, too")
    assert (directory / "ledger.jsonl").read_bytes().endswith(b"\n")
    assert (directory / "leaderboard.json").is_file(), f"no reports before the driver left\n{last_words(head, job['name'], directory)}"
    scored = [event["trial"] for event in read_events(directory) if event["event"] == "score"]

    resumed = daa(project, "submit", "settings.toml", "--resume", str(directory), "--address", head)
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert resumed.stdout.count("winner:") == 1, "the log is told once"
    assert (directory / "answer.json").is_file()
    assert [(job["kind"], job["status"]) for job in jobs_of(project, head)][:2] == [("search", "SUCCEEDED"), ("search", "STOPPED")]
    events = read_events(directory)
    assert [event["trial"] for event in events if event["event"] == "score"][: len(scored)] == scored
    assert sum(event["event"] == "baseline" for event in events) == 1


def test_the_cluster_tells_the_progress_of_a_directory_that_only_it_sees(head: str, tmp_path: Path) -> None:
    from orchestrator.cluster.submit.submission import progress_of
    from tests.search.events import began

    (tmp_path / "ledger.jsonl").write_text(json.dumps(began()) + "\n")
    found = progress_of(connected(head), str(tmp_path))
    assert found is not None
    assert found.spent.judgments == 0
    assert progress_of(connected(head), str(tmp_path / "nothing")) is None


def test_the_job_server_takes_an_archive_of_our_bound_and_no_larger_one(head: str) -> None:
    def status(size: int) -> int:
        package = f"{head}/api/packages/gcs/_ray_pkg_{size}.zip"
        return requests.put(package, data=bytes(size), timeout=120).status_code

    assert status(LARGEST_ARCHIVE) == 200
    assert status(LARGEST_ARCHIVE + 1) != 200
