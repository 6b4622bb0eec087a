"""`daa export`: a model leaves its run."""

from pathlib import Path
from typing import Annotated

import typer


def export(  # noqa: PLR0913 (the options of the command)
    trial: Annotated[str, typer.Argument(help="A trial of a search, a round, or `best`.")],
    run: Annotated[Path, typer.Option("--from", help="The directory of `daa search`, `daa train` or `daa rounds`.")],
    target: Annotated[Path, typer.Option("--to", help="Where the model goes; nothing may be there.")],
    merge_lora: Annotated[
        bool | None, typer.Option("--merge-lora/--no-merge-lora", help="Adapters become part of the weights (default), or stay adapters.")
    ] = None,
    licence: Annotated[str, typer.Option("--license", help="The base model's licence, for the card.")] = "unknown",
    data_licence: Annotated[str, typer.Option("--data-license", help="The data's licence, for the card.")] = "unknown",
    base_model: Annotated[str | None, typer.Option(help="The base model's name on the hub, where the run had a local copy.")] = None,
    card_only: Annotated[bool, typer.Option("--card-only", help="Write the card and the settings alone, without the model.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was written as JSON.")] = False,
) -> None:
    """Write a trained model as a Hugging Face directory with a card of how it was made and what it wins, and check that it loads.

    Example: daa export best --from runs/demo --to models/demo --license apache-2.0
    """
    from orchestrator.export.found import find_trained
    from orchestrator.export.writing import check_target, form_of
    from orchestrator.export.writing import export as write
    from orchestrator.report.model_cards import Publication

    check_target(target.expanduser())
    trained = find_trained(run, trial)
    how = Publication(form_of(trained, merge_lora), licence, data_licence, base_model)
    exported = write(trained, how, target, card_only)
    if as_json:
        import json

        print(json.dumps({**vars(exported), "directory": str(exported.directory), "source": trained.model}))
        return
    from rich.markup import escape

    from orchestrator.report.terminal import show

    show(f"{escape(exported.trial)} ({exported.form}) is in {escape(str(exported.directory))}")
    show(exported.checked)
