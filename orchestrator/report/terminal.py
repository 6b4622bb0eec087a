"""Printing to a terminal in its width, and to anything else in a width that breaks few lines."""

import os
import sys
from collections.abc import Iterable
from typing import TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from orchestrator.report.plain_text import visible

_WIDTH_OF_A_TABLE = 200


class Screen(Console):
    """A console that obeys its own styles and no character of a text."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """What rich makes of it, the texts made visible."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else visible(text), style, control)


def console(screen: TextIO, width_of_a_pipe: int) -> Console:
    """A console on `screen`; `width_of_a_pipe` counts characters where it is no terminal."""
    return Screen(file=screen, width=None if screen.isatty() else width_of_a_pipe, highlight=False)


def show(what: RenderableType) -> None:
    """Print a table or a card; where there is no terminal, COLUMNS sets the width."""
    columns = os.environ.get("COLUMNS", "")
    console(sys.stdout, int(columns) if columns.isdigit() else _WIDTH_OF_A_TABLE).print(what, crop=False)
