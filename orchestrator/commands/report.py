"""`daa report`: a search's page, of one that runs too."""

import sys
from pathlib import Path
from typing import Annotated

import typer

FORMATS = ("html", "markdown", "json")


def report(
    directory: Annotated[Path, typer.Argument(help="The directory of a search, running or over.")],
    form: Annotated[
        str | None, typer.Option("--format", help="html, markdown or json: print the report in this form. Default: write all three.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write there instead: a file with --format, else a directory.")] = None,
    port: Annotated[
        int | None, typer.Option("--serve", help="Show the page at http://localhost:PORT, and keep it up to date while the search runs.")
    ] = None,
) -> None:
    """Make the report of a search from its ledger: one page that opens offline, and the same as Markdown and JSON.

    Example: daa report runs/demo --serve 8400
    """
    from orchestrator.errors import UserError
    from orchestrator.nearest import nearest

    form = "json" if as_json else form
    if form is not None and form not in FORMATS:
        raise UserError(f"there is no format {form!r}", "--format", f"{nearest(form, FORMATS)} Known: {', '.join(FORMATS)}")
    if port is not None:
        if form is not None or out is not None:
            raise UserError("a served page has one form and no file", "--serve", "leave out --format, --json and --out")
        from orchestrator.report.page.serving import serve

        serve(directory, port)
        return
    _make(directory, form, out)


def _make(directory: Path, form: str | None, out: Path | None) -> None:
    """Write all forms, or print one, or write it where the user wants it."""
    from orchestrator.report.files import FORMATS as MAKERS
    from orchestrator.report.files import write, write_report
    from orchestrator.report.page.run import Run

    run = Run.read(directory)
    if form is None:
        print(f"report: {write_report(run, out or directory)}")
    elif out is None:
        sys.stdout.write(MAKERS[form][1](run))
    else:
        write(out, MAKERS[form][1](run))
