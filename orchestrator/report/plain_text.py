"""Texts of models, judges, data and servers as nothing but text: on a terminal, whose commands they may hold, and in Markdown."""

from typing import Any

# Control characters but for the line feed and the tab, those that turn the direction of what follows, and halves that no encoding has.
_CONTROLS = {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\n\t"} | {0x7F: "␡"}
_CONTROLS |= dict.fromkeys(
    [*range(0x80, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A), *range(0xD800, 0xE000)], "\N{REPLACEMENT CHARACTER}"
)
_MARKS = {ord(mark): f"\\{mark}" for mark in "\\`*[]<>|#~&"}


def visible(text: str) -> str:
    """The text with a sign in place of each character that a terminal would obey and not show."""
    return text.translate(_CONTROLS)


def plain(text: Any) -> str:
    """A text that is nothing but text in Markdown, on one line."""
    return visible(" ".join(str(text).split())).translate(_MARKS)
