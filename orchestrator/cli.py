"""The `daa` command. Heavy imports wait until the work starts."""

import gc
import sys

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
    from orchestrator.errors import DaaError, MachineError
    from orchestrator.report.mistakes import explain

    try:
        app(arguments)
    except DaaError as error:
        explain(error, error)
        sys.exit(error.exit_code)
    except Exception as error:
        explain(
            MachineError(f"unexpected: {error!r}"[:600], cure="this is a fault of daa or of a library: the log has its place"),
            error,
        )
        sys.exit(1)


if __name__ == "__main__":
    main()
