"""`daa methods`."""

from typing import Annotated

import typer


def methods(
    name: Annotated[
        str | None, typer.Argument(help='One method: its card. Also "dpo+sft", or "your_package.your_module:YourClass".')
    ] = None,
) -> None:
    """List the methods with needs, hyperparameters, ranges, papers and how far they were checked; or show one method's card.

    Example: daa methods simpo
    """
    from orchestrator.report.cards import method_card, methods_table
    from orchestrator.report.terminal import show

    show(methods_table() if name is None else method_card(name))
