"""`daa doctor`."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from orchestrator.doctor.findings import Finding
    from orchestrator.doctor.machine import Limits
    from orchestrator.doctor.steps import Step


def doctor(  # noqa: PLR0913 (the options of the command)
    settings_file: Annotated[
        Path | None, typer.Argument(help="A run's TOML file: its model, judge, data, cache and cluster are checked too.")
    ] = None,
    cluster: Annotated[bool, typer.Option("--cluster", help="Check every node of the cluster that a run would use.")] = False,
    address: Annotated[str | None, typer.Option(help="The cluster's address. Default: RAY_ADDRESS, or a local one for the check.")] = None,
    directory: Annotated[Path | None, typer.Option("--dir", help="Where the run will write, on a disk that all nodes share.")] = None,
    free_gb: Annotated[float, typer.Option(help="Free space that each disk must have, in GB.")] = 20.0,
    quickly: Annotated[bool, typer.Option("--quick", help="Leave out what loads for long: libraries, a judge's model, an engine.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Look for what would make a run fail: versions, disks, GPUs, network, hub, judge and engine. Changes nothing; 1 when something fails.

    Example: daa doctor jobs/examples/llama3_8b.toml --cluster --dir /shared/runs/first
    """
    from orchestrator.doctor.findings import Status, count
    from orchestrator.doctor.machine import Limits
    from orchestrator.doctor.steps import quick
    from orchestrator.doctor.telling import as_json as in_json
    from orchestrator.doctor.telling import followed

    steps = _steps(settings_file, directory, Limits(free_gb), (address or "") if cluster or address else None)
    findings = followed(quick(steps) if quickly else steps, quiet=as_json)
    if as_json:
        print(in_json(findings))
    raise typer.Exit(1 if count(findings, Status.FAIL) else 0)


def _steps(file: Path | None, directory: Path | None, limits: "Limits", address: str | None) -> "Iterator[Step]":
    """The checks of the cluster at an address ("": where a search would run), or for None of this machine."""
    from orchestrator.doctor.steps import Asked, Step, local_steps
    from orchestrator.doctor.subject import read_subject

    subject, found = read_subject(file)
    yield Step("settings", lambda: found)
    paths = {"the cache": str(subject.cache)} if subject.cache else {}
    paths |= {"the run": str(directory.expanduser().absolute())} if directory else {}
    asked = Asked(subject, paths, limits)
    if address is None:
        yield from local_steps(asked, ask_judge)
        return
    from orchestrator.cluster.checks.doctor import cluster_steps

    yield from cluster_steps(asked, address)


def ask_judge(*arguments: Any) -> "list[Finding]":
    """The judge's check, which loads Ray's room in the process that it runs in."""
    from orchestrator.cluster.engines.judge_check import check_judge

    return check_judge(*arguments)
