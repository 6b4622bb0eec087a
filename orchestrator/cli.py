"""The `daa` command. Heavy imports wait until the work starts."""

import atexit
import gc
import logging
import os
import sys
from contextlib import suppress

import typer

from orchestrator.commands import data, doctor, evaluating, export, jobs, methods, planning, report, rounds, scores, searching, training

app = typer.Typer(
    name="daa",
    help="Which direct alignment method, with which hyperparameters, wins for your model and your data?",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

# In the order of the work.
for command in (
    searching.demo,
    doctor.doctor,
    methods.methods,
    planning.plan,
    searching.search,
    jobs.submit,
    jobs.status,
    jobs.stop,
    report.report,
    searching.replay,
    export.export,
    training.train,
    training.reward,
    rounds.rounds,
    rounds.generate,
    evaluating.evaluate,
    scores.score,
    scores.compare,
    scores.leaderboard,
):
    app.command("eval" if command is evaluating.evaluate else None)(command)
app.add_typer(data.app)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line, or `arguments`: mistakes of the user end with code 2, failures of the machine with 1.

    Either is a few lines on the screen, and a traceback in the log that they name.
    """
    # A command imports half a million objects that stay; at Python's own pace it would look for others among them all the time.
    gc.set_threshold(50_000, 20, 50)
    from orchestrator.report.mistakes import as_told, explain

    try:
        app(arguments)
    except Exception as error:
        message = as_told(error)
        explain(message, error)
        sys.exit(message.exit_code)


def as_process(arguments: list[str] | None = None) -> None:
    """`main` in a process of its own, which does not end by taking apart a million objects one by one."""
    code = 0

    def leave() -> None:
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)

    # What is registered first comes last: threads are joined and whatever libraries do at the end is done by then.
    atexit.register(leave)
    try:
        main(arguments)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        raise
    except BaseException:
        atexit.unregister(leave)
        raise


if __name__ == "__main__":
    as_process()
