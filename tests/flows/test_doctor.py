"""`daa doctor` as a user runs it, on this machine and on a cluster of two nodes; it finds what is wrong and leaves everything as it was."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
from ray.cluster_utils import Cluster

from tests.cluster.small_search import wait_until

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
# Nobody listens there.
CLOSED = "http://127.0.0.1:9"
Findings = Mapping[str, list[Mapping[str, Any]]]


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty home and an empty directory for temporary files, by short paths: Ray's sockets lie there."""
    with tempfile.TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True) as directory:
        root = Path(directory)
        for name, variable in (("h", "HOME"), ("t", "TMPDIR")):
            (root / name).mkdir()
            monkeypatch.setenv(variable, str(root / name))
        for variable in ("RAY_ADDRESS", "RAY_TMPDIR", "HF_HOME", "HF_TOKEN", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
            monkeypatch.delenv(variable, raising=False)
        monkeypatch.setenv("HF_ENDPOINT", CLOSED)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
        monkeypatch.setenv("PYTHONPATH", str(ROOT))
        yield root


@pytest.fixture
def cluster(home: Path) -> Iterator[Cluster]:
    """A head node that keeps its files outside what the tests look at."""
    with tempfile.TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True) as files:
        # Where it notes its address.
        (home / "t" / "ray").mkdir()
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False, "temp_dir": files})
        yield made
        made.shutdown()


def doctor(directory: Path, *arguments: str, **environment: str) -> tuple[int, Findings]:
    """The exit code, and the findings by name."""
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator.cli", "doctor", *arguments, "--json"],
        cwd=directory,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    told = json.loads(done.stdout)
    by_name: dict[str, list[Mapping[str, Any]]] = {}
    for each in told["findings"]:
        by_name.setdefault(each["name"], []).append(each)
    assert all(each["fix"] for each in told["findings"] if each["status"] != "OK")
    return done.returncode, by_name


def listing(*roots: Path) -> list[str]:
    """All files below some directories."""
    return sorted(str(file) for root in roots for file in root.rglob("*"))


def processes_of_doctor() -> list[str]:
    """Checks and ranks that still run."""
    commands = [" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
    return [command for command in commands if "orchestrator.doctor.apart" in command or "ray::_Rank" in command]


def settings_file(directory: Path, model: str, judge: str, cache: Path) -> Path:
    (directory / "prompts.jsonl").write_text('{"prompt": "say fox", "answer": "fox"}\n')
    (directory / "pairs.jsonl").write_text(json.dumps({"prompt": "say fox", "chosen": "fox", "rejected": "dog"}) + "\n")
    file = directory / "run.toml"
    file.write_text(
        f'cache = "{cache}"\n[model]\nbase = "{model}"\n[data]\ntrain = "{directory}/pairs.jsonl"\n'
        f'[evaluation]\nprompts = "{directory}/prompts.jsonl"\nmax_model_len = 64\n[judge]\n{judge}\n[cluster]\nworkers = 2\n'
    )
    return file


def statuses(found: Findings) -> dict[str, set[str]]:
    return {name: {each["status"] for each in several} for name, several in found.items()}


def all_are(status: str, found: Findings, names: Sequence[str]) -> bool:
    """Whether there are findings of all these names, and none of another status; shows them all where not."""
    told = {name: statuses(found)[name] for name in names}
    assert told == {name: {status} for name in names}, found
    return True


def only(found: Findings, name: str) -> Mapping[str, Any]:
    (each,) = found[name]
    return each


def test_a_machine_that_is_fit_for_a_run_is_said_to_be_and_is_left_as_it_was(home: Path, tmp_path: Path, tiny_model: Path) -> None:
    file = settings_file(tmp_path, str(tiny_model), 'kind = "verifier"', tmp_path / "cache")
    before = listing(home, tmp_path, tiny_model)
    code, found = doctor(tmp_path, str(file), "--dir", str(tmp_path / "runs" / "one"), "--free-gb", "0.001")
    assert listing(home, tmp_path, tiny_model) == before
    wait_until(lambda: not processes_of_doctor(), 20, "the checks' own processes are gone")
    assert code == 0, found
    fit = ("settings", "versions", "pins", "writable", "model", "data", "prompts", "libraries", "judge", "engine")
    assert all_are("OK", found, fit)
    # The hub is out of reach, and nothing wants it.
    assert only(found, "hub")["status"] == "WARN"
    assert str(tiny_model) in only(found, "engine")["found"]


def test_all_that_is_wrong_with_a_machine_is_found_in_one_go(home: Path, tmp_path: Path) -> None:
    judge = f'kind = "openai"\nmodel = "gone"\nbase_url = "{CLOSED}/v1"'
    file = settings_file(tmp_path, "somebody/gated-model", judge, Path("/proc/daa"))
    (tmp_path / "pairs.jsonl").write_text('{"prompt": "say fox"}\n')
    before = listing(home, tmp_path)
    code, found = doctor(tmp_path, str(file), "--free-gb", "1e9", "--quick")
    assert listing(home, tmp_path) == before
    assert code == 1
    failed = ("disk", "writable", "data", "hub", "judge")
    assert all_are("FAIL", found, failed)
    assert "gone did not answer after 2 attempts" in only(found, "judge")["found"]
    assert "server" in only(found, "judge")["fix"]
    assert only(found, "quick")["status"] == "WARN"
    assert not {"engine", "libraries"} & set(found)


@pytest.mark.long
def test_a_cluster_that_is_fit_shares_its_disk_and_tells_its_bandwidth_and_is_left_as_it_was(
    home: Path, cluster: Cluster, tmp_path: Path, tiny_model: Path
) -> None:
    cluster.add_node(num_cpus=1)
    file = settings_file(tmp_path, str(tiny_model), 'kind = "verifier"', tmp_path / "cache")
    before = listing(home, tmp_path, tiny_model)
    code, found = doctor(
        tmp_path, str(file), "--cluster", "--address", str(cluster.address), "--dir", str(tmp_path / "runs"), "--free-gb", "0.001"
    )
    assert listing(home, tmp_path, tiny_model) == before
    wait_until(lambda: not processes_of_doctor(), 20, "the checks' own processes are gone")
    assert code == 0, found
    fit = ("cluster", "room", "same versions", "shared path", "model", "data", "libraries", "GPUs", "judge", "engine")
    assert all_are("OK", found, fit)
    assert "2 nodes with 0 GPUs and 3 CPUs" in only(found, "cluster")["found"]
    assert [each["found"].startswith(("the cache", "the run")) for each in found["shared path"]] == [True, True]
    reduced = only(found, "all-reduce")
    assert reduced["status"] in {"OK", "WARN"}
    assert "gloo between 2 nodes: algorithm bandwidth" in reduced["found"]


def test_a_node_unlike_the_others_a_path_nobody_may_write_and_gpus_that_torch_does_not_see_fail(
    home: Path, cluster: Cluster, tmp_path: Path
) -> None:
    other = tmp_path / "other" / "transformers-4.0.0.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: transformers\nVersion: 4.0.0\n")
    cluster.add_node(num_cpus=1, num_gpus=1, env_vars={"PYTHONPATH": f"{other.parent}{os.pathsep}{ROOT}"})
    before = listing(home, tmp_path)
    code, found = doctor(tmp_path, "--cluster", "--dir", "/proc/daa", "--free-gb", "1e9", "--quick", RAY_ADDRESS=str(cluster.address))
    assert listing(home, tmp_path) == before
    wait_until(lambda: not processes_of_doctor(), 20, "the checks' own processes are gone")
    assert code == 1
    failed = ("same versions", "shared path", "disk", "GPUs")
    assert all_are("FAIL", found, failed)
    assert "transformers is " in only(found, "same versions")["found"]
    assert all(f"{version} on" in only(found, "same versions")["found"] for version in ("4.0.0", "5.19.0"))
    assert "there should be 1 GPUs and torch" in only(found, "GPUs")["found"]
    assert "transformers is 4.0.0 and must be ==5.19.0" in next(e["found"] for e in found["versions"] if e["status"] == "FAIL")


def test_a_cluster_that_is_not_there_and_settings_that_cannot_be_used_are_findings_side_by_side(home: Path, tmp_path: Path) -> None:
    file = settings_file(tmp_path, "some/model", 'kind = "verifyer"', tmp_path)
    code, found = doctor(tmp_path, str(file), "--address", "127.0.0.1:9")
    assert code == 1
    assert all_are("FAIL", found, ("settings", "cluster"))
    assert "judge" in only(found, "settings")["found"]
    assert "Ray cannot be joined: nobody answers at 127.0.0.1:9" in only(found, "cluster")["found"]
