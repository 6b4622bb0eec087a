"""The files that start clusters are ones that Ray, KubeRay and the shell accept, as far as these can be asked without a cloud."""

import json
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from orchestrator.cluster.submit.order import arguments_of
from tests.cluster.job_server import PROJECT

CLUSTERS = PROJECT / "docs" / "clusters"
KUBERAY = json.loads((Path(__file__).parent / "kuberay_v1.json").read_text())
MANIFESTS = {"RayCluster": CLUSTERS / "kuberay-cluster.yaml", "RayJob": CLUSTERS / "kuberay-job.yaml"}


def read(file: Path) -> dict[str, Any]:
    return yaml.safe_load(file.read_text(encoding="utf-8"))


@pytest.fixture(params=[PROJECT / "cluster.yaml", CLUSTERS / "gcp.yaml"], ids=["aws", "gcp"])
def cluster(request: pytest.FixtureRequest) -> dict[str, Any]:
    """A cluster file of Ray's own launcher."""
    return read(request.param)


def test_rays_own_validator_accepts_the_cluster_file(cluster: dict[str, Any]) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(cluster))
    assert cluster["head_node_type"] in cluster["available_node_types"]


def test_rays_own_validator_refuses_a_key_that_it_does_not_know(cluster: dict[str, Any]) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    with pytest.raises(jsonschema.ValidationError, match="setup_command"):
        validate_config(prepare_config({**cluster, "setup_command": []}))


def test_a_launched_clusters_dashboard_listens_on_its_own_node_only_and_every_node_wants_a_token(cluster: dict[str, Any]) -> None:
    [head] = [line for line in cluster["head_start_ray_commands"] if "ray start --head" in line]
    [worker] = [line for line in cluster["worker_start_ray_commands"] if "ray start" in line]
    assert "--dashboard-host=127.0.0.1" in head
    assert all("RAY_AUTH_MODE=token" in line for line in (head, worker))
    assert "~/.ray/auth_token" in cluster["file_mounts"].values()


def test_spot_nodes_train_and_the_others_do_not_leave(cluster: dict[str, Any]) -> None:
    spot = {name for name, kind in cluster["available_node_types"].items() if "spot" in str(kind) or "preemptible" in str(kind)}
    assert spot == {"train"}


@pytest.mark.parametrize("kind", MANIFESTS)
def test_kuberays_schema_accepts_the_manifest_and_refuses_what_it_does_not_know(kind: str) -> None:
    manifest = read(MANIFESTS[kind])
    assert (manifest["apiVersion"], manifest["kind"]) == ("ray.io/v1", kind)
    schema = {**KUBERAY, "$ref": f"#/definitions/{kind}"}
    jsonschema.validate(manifest["spec"], schema)
    with pytest.raises(jsonschema.ValidationError, match="rayVersio"):
        jsonschema.validate({**manifest["spec"], "rayVersio": "2.60.0"}, schema)


@pytest.mark.parametrize("kind", MANIFESTS)
def test_every_pod_has_the_shared_file_system_and_ray_wants_a_token(kind: str) -> None:
    spec = read(MANIFESTS[kind])["spec"]
    cluster = spec.get("rayClusterSpec", spec)
    assert cluster["authOptions"] == {"mode": "token"}
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        volumes = {volume["name"] for volume in pod["volumes"]}
        mounts = {mount["mountPath"]: mount["name"] for container in pod["containers"] for mount in container["volumeMounts"]}
        assert set(mounts.values()) <= volumes
        assert {"/shared", "/dev/shm"} <= set(mounts)


def test_the_files_name_the_ray_that_is_installed() -> None:
    import ray

    for kind, file in MANIFESTS.items():
        spec = read(file)["spec"]
        assert spec.get("rayClusterSpec", spec)["rayVersion"] == ray.__version__, kind


def test_the_jobs_entry_point_begins_and_goes_on_as_our_commands_do(tmp_path: Path) -> None:
    run, said = tmp_path / "run", tmp_path / "said"
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\necho "$@" > {said}\n')
    python.chmod(0o755)
    line = read(MANIFESTS["RayJob"])["spec"]["entrypoint"].replace("/shared/runs/first", str(run)).replace("/project", str(tmp_path))
    environment = {"PATH": f"{python.parent}:/usr/bin:/bin"}
    subprocess.run(line, shell=True, check=True, env=environment)
    assert said.read_text().split()[2:] == arguments_of("search", "settings.toml", (), str(run), is_resumed=False)
    run.mkdir()
    (run / "settings.json").touch()
    subprocess.run(line, shell=True, check=True, env=environment)
    assert said.read_text().split()[2:] == arguments_of("search", None, (), str(run), is_resumed=True)


def test_the_shell_reads_the_slurm_script() -> None:
    subprocess.run(["bash", "-n", str(CLUSTERS / "slurm.sh")], check=True)


def test_the_image_is_made_of_files_that_are_there() -> None:
    text = (CLUSTERS / "Dockerfile").read_text()
    assert "requirements/$KIND.txt" in text
    for kind in ("cpu", "gpu"):
        assert (PROJECT / "requirements" / f"{kind}.txt").is_file()
    torch = next(line for line in (PROJECT / "requirements" / "cpu.txt").read_text().splitlines() if line.startswith("torch=="))
    assert torch.split("+")[0] in text
