"""The commands of a running cluster: `daa submit`, `daa status` and `daa stop`."""

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from orchestrator.cluster.submit.order import KINDS
from orchestrator.commands.orders import order_of
from orchestrator.run_files import RunFiles

# Where a page is served.
_PORT = 8400
# Files from this size on, in bytes, are named.
_LARGE = 5 * 1024**2

Address = Annotated[
    str | None,
    typer.Option(help="The cluster's dashboard. Default: RAY_API_SERVER_ADDRESS, RAY_ADDRESS, or http://localhost:8265."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one line.")]
InWorkingDirectory = Annotated[Path | None, typer.Argument(help="A TOML settings file in the working directory.")]
OfTheCommand = Annotated[list[str] | None, typer.Argument(help="Further arguments of the job's command; options among them after --.")]
OnTheCluster = Annotated[
    str | None, typer.Option("--dir", help="Where the run writes: an absolute path that all nodes of the cluster share.")
]
Passed = Annotated[
    list[str] | None,
    typer.Option(
        help="Pass this variable of the environment on, by its name; repeatable. Ray keeps its value in the job's runtime_env, which the "
        "dashboard's address tells to everyone who may ask it, though not to a browser: set API keys on the nodes where you can; jobs "
        "find them there without --env."
    ),
]


def submit(  # noqa: PLR0913 (the options of the command)
    settings_file: InWorkingDirectory = None,
    arguments: OfTheCommand = None,
    directory: OnTheCluster = None,
    job: Annotated[str, typer.Option(help=f"Which command runs there: {', '.join(KINDS)}.")] = "search",
    resume: Annotated[str | None, typer.Option(help="Go on with the run in this directory of the cluster.")] = None,
    env: Passed = None,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Show the job's output and return its exit code, or return at once.")
    ] = True,
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """Run a search, or another job, on a Ray cluster: send the working directory, show what the job prints, return its exit code.

    Not sent: what .gitignore and .rayignore name, .git, caches, virtual environments, and, at the top, runs, data, models and the like.
    Files that the settings name are sent all the same. Ctrl-C leaves the job running.

    Example: daa submit jobs/examples/demo.toml --dir /shared/runs/demo
    """
    order, named = order_of(job, settings_file, arguments or [], (directory, resume))
    from orchestrator.cluster.submit import submission
    from orchestrator.cluster.submit.job_client import connected
    from orchestrator.cluster.submit.sending import to_send

    sent = to_send(Path.cwd(), named)
    order = replace(order, environment=submission.environment_named(env or []))
    _tell(sent, order.keys)
    client = connected(address)
    name = submission.submit(client, order, sent)
    _say(f"job {name}: {order.command}")
    if as_json:
        told = {"job": name, "command": order.command, "directory": order.directory, "files": len(sent.sizes), "bytes": sent.size}
        print(json.dumps(told), flush=True)
    if wait:
        _follow(client, name, to_errors=as_json)
    _say(f"follow it with `daa status {name} --follow`, end it with `daa stop {name}`")


def status(
    what: Annotated[
        str | None, typer.Argument(help="A job's name, or the directory of a search. Default: all jobs.", metavar="[JOB|DIR]")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Show the job's output until it is over, and return its exit code.")] = False,
    web: Annotated[bool, typer.Option("--web", help=f"Serve the search's page at http://localhost:{_PORT}, kept up to date.")] = False,
    address: Address = None,
    as_json: AsJson = False,
) -> None:
    """Show the cluster's jobs, or how far one has come: its trials, the best so far, what is spent.

    Example: daa status runs/demo --web
    """
    _check_what(what, follow)
    if web:
        _serve(what)
        return
    if what is not None and Path(what).is_dir():
        from orchestrator.search.progress import progress_in

        _show_progress(progress_in(Path(what).resolve()), as_json)
        return
    from orchestrator.cluster.submit.job_client import connected, jobs_of
    from orchestrator.report.jobs import jobs_table
    from orchestrator.report.terminal import show

    client = connected(address)
    if what is None:
        jobs = jobs_of(client)
        print(json.dumps([job.as_dict() for job in jobs])) if as_json else show(jobs_table(jobs))
        return
    _show_one(client, what, follow, as_json)


def stop(
    job: Annotated[str, typer.Argument(help="The job's name, as `daa status` shows it.")],
    address: Address = None,
) -> None:
    """Stop a job: its driver writes what it knows, its workers are free afterwards, and `daa submit --resume DIR` goes on.

    Example: daa stop demo-20260101-120000-3f2a
    """
    from orchestrator.cluster.submit import submission
    from orchestrator.cluster.submit.job_client import connected

    ended = submission.stop(connected(address), job, _say)
    _say(f"{ended.name} is {ended.status.lower()}; nothing of it is left on the cluster")
    if ended.kind == "search":
        _say(f"go on with `daa submit --resume {ended.directory}`")


def _check_what(what: str | None, follow: bool) -> None:
    """Refuse a directory that is not there, and to follow anything but a job. An absolute path may be the cluster's."""
    from orchestrator.errors import UserError

    is_directory = what is not None and Path(what).is_dir()
    if what is not None and "/" in what and not what.startswith("/") and not is_directory:
        cure = "give the directory of a search, or a job that `daa status` lists"
        raise UserError(f"there is no directory {what}", f"the working directory {Path.cwd()}", cure)
    if follow and (what is None or "/" in what or is_directory):
        cure = "daa status JOB --follow; of a directory, daa status DIR --web keeps a page up to date"
        raise UserError("what is followed is a job's output, and no job is named", "daa status --follow", cure)


def _show_one(client: Any, what: str, follow: bool, as_json: bool) -> None:
    """Show a job, or a directory of the cluster."""
    from orchestrator.cluster.submit.job_client import job_named
    from orchestrator.report.jobs import jobs_table
    from orchestrator.report.terminal import show

    if what.startswith("/"):
        _show_progress(_on_the_cluster(client, what), as_json)
        return
    job = job_named(client, what)
    if follow:
        _follow(client, job.name)
    found = _progress(client, job)
    if as_json:
        print(json.dumps({**job.as_dict(), "progress": found.as_dict() if found is not None else None}))
        return
    show(jobs_table([job]))
    if found is not None:
        _show_progress(found, as_json=False)


def _serve(directory: str | None) -> None:
    from orchestrator.errors import UserError
    from orchestrator.report.page.serving import serve

    if directory is None or not Path(directory).is_dir():
        where = "daa status --web"
        raise UserError("a page is made of a search's directory that this machine can read", where, "give it: daa status DIR --web")
    serve(Path(directory), _PORT)


def _follow(client: Any, name: str, to_errors: bool = False) -> NoReturn:
    """Show a job's output, and end this process with its exit code."""
    from orchestrator.cluster.submit import submission

    screen = sys.stderr if to_errors else sys.stdout

    def write(lines: str) -> None:
        screen.write(lines)
        screen.flush()

    try:
        job = submission.follow(client, name, write)
    except KeyboardInterrupt:
        _say(f"\n{name} runs on: follow it with `daa status {name} --follow`, end it with `daa stop {name}`")
        sys.exit(130)
    if reason := submission.why_it_failed(job):
        _say(reason)
    if job.status == "STOPPED":
        _say(f"{name} was stopped" + (f"; `daa submit --resume {job.directory}` goes on" if job.kind == "search" else ""))
    sys.exit(submission.exit_code_of(job))


def _progress(client: Any, job: Any) -> Any:
    """How far a job's search has come, read here where its directory is, and else on the cluster."""
    from orchestrator.cluster.submit.submission import progress_of
    from orchestrator.search.progress import progress_in

    if job.kind != "search":
        return None
    here = Path(job.directory)
    return progress_in(here) if RunFiles(here).ledger.is_file() else progress_of(client, job.directory)


def _on_the_cluster(client: Any, directory: str) -> Any:
    """The progress in a directory that only the cluster sees."""
    from orchestrator.cluster.submit.submission import progress_of
    from orchestrator.errors import UserError

    if (found := progress_of(client, directory)) is None:
        raise UserError("the cluster has no search there", directory, "give the directory of a search, or a job that `daa status` lists")
    return found


def _show_progress(found: Any, as_json: bool) -> None:
    if as_json:
        print(json.dumps(found.as_dict()))
        return
    from orchestrator.report.jobs import progress_told

    for line in progress_told(found):
        print(line)


def _tell(sent: Any, keys: Sequence[str]) -> None:
    """Say what goes to the cluster, what must be there, and which keys it will send on."""
    from orchestrator.report.plain_text import visible

    large = ", ".join(f"{file} ({size / 1024**2:.1f} MiB)" for file, size in sent.biggest if size > _LARGE)
    _say(f"sends {sent.told()} of {sent.directory}" + (f", with {large}" if large else ""))
    for place, path in sent.on_the_cluster.items():
        _say(f"read on the cluster: {path} ({place})")
    if sent.withheld:
        _say(visible(f"not sent, for its name is like that of what holds keys: {', '.join(map(str, sent.withheld))}"))
    for line in keys:
        _say(visible(line))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
