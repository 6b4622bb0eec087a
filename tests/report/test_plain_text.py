"""What models, judges, data and servers write is shown, and obeyed by no terminal and no Markdown."""

import io

import pytest
from rich.table import Table
from rich.text import Text

from orchestrator.errors import DataFormatError
from orchestrator.preferences.pairs import PreferencePair
from orchestrator.report.mistakes import explain
from orchestrator.report.plain_text import plain, visible
from orchestrator.report.selections import _shown
from orchestrator.report.terminal import Screen
from tests.conftest import make_pairs

# Clears the screen, sets the clipboard, begins a sequence in one character, and turns what follows around.
COMMANDS = ("\x1b[2J", "\x1b]52;c;bWFsaWNl\x1b\\", "\x9b31m", "\u202e", "\x07", "\r")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_terminal_obeys_no_text_wherever_it_stands(command: str) -> None:
    table = Table("cell", title=f"title {command}")
    table.add_row(f"cell {command} and all that follows")
    screen = io.StringIO()
    console = Screen(file=screen, width=80)
    for what in (f"line {command} and all that follows", table, Text(f"text {command} and all that follows")):
        console.print(what)
    told = screen.getvalue()
    assert not set(told) & set("\x1b\x07\r\x9b\u202e")
    assert told.count("and all that") == 3


def test_what_the_project_itself_says_has_its_colours() -> None:
    screen = io.StringIO()
    console = Screen(file=screen, width=80, force_terminal=True, color_system="standard", highlight=False)
    console.print("[red]no[/red] \x1b[32m")
    assert screen.getvalue() == "\x1b[31mno\x1b[0m ␛[32m\n"


def test_an_error_and_its_log_hold_no_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    written.name = "daa-error.log"
    monkeypatch.setattr(written, "close", lambda: None)
    monkeypatch.setattr("tempfile.NamedTemporaryFile", lambda *given, **named: written)
    error = DataFormatError("there is no column \x1b[2J0 refusals", "\x9b1;1H")
    explain(error, error)
    for told in (capsys.readouterr().err, written.getvalue()):
        assert "␛[2J0 refusals" in told and not set(told) & set("\x1b\x9b")


def test_text_in_markdown_is_one_line_without_marks_and_commands() -> None:
    assert plain("a|b\n# c\r\x1b[2J ![x](y)") == "a\\|b \\# c ␛\\[2J !\\[x\\](y)"
    assert visible("one\n\ttwo, Grüße, 世界, שלום") == "one\n\ttwo, Grüße, 世界, שלום"


def test_a_pair_in_a_page_stays_in_its_quotation() -> None:
    (good,) = make_pairs(1)
    lines = _shown(PreferencePair(good.prompt, "fine\r\r# all sound\r<img src=x>\n\n![x](https://x)", "\u2028# no"))
    text = "\n".join(lines)
    assert "\n> \n> \\# all sound\n> \\<img src=x\\>\n> \n> !\\[x\\](https://x)" in text
    assert all(line.startswith(">") for line in text.splitlines() if "sound" in line or "no" in line)
