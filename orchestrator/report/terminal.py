"""Printing to a terminal in its width, and to anything else in a width that breaks few lines."""

import os
import sys
from typing import TextIO

from rich.console import Console, RenderableType

_WIDTH_OF_A_TABLE = 200


def console(screen: TextIO, width_of_a_pipe: int) -> Console:
    """A console on `screen`; `width_of_a_pipe` counts characters where it is no terminal."""
    return Console(file=screen, width=None if screen.isatty() else width_of_a_pipe, highlight=False)


def show(what: RenderableType) -> None:
    """Print a table or a card; where there is no terminal, COLUMNS sets the width."""
    columns = os.environ.get("COLUMNS", "")
    console(sys.stdout, int(columns) if columns.isdigit() else _WIDTH_OF_A_TABLE).print(what, crop=False)
