"""Marks around a text that a judge reads, and what in the text would be read as one, in whatever letters it is written."""

import re
import unicodedata

# Seen by nobody, and no letters of format: variation selectors and joiners.
_UNSEEN = {*range(0xFE00, 0xFE10), *range(0x180B, 0x180E), 0x034F}


def without_marks(text: str, marks: re.Pattern[str], sign: str) -> str:
    """The text with `sign` in place of the first letter of all that `marks` finds, written in letters that look the same, too.

    `marks` finds a first letter by what follows it. Full-width letters count as what they stand for (NFKC), unseen ones not at all.
    """
    text = marks.sub(sign, text)
    if text.isascii() or not marks.search(plain := text.translate(_PLAIN)):
        return text
    places = [place for place, letter in enumerate(text) for _ in letter.translate(_PLAIN)]
    firsts = {places[found.start()] for found in marks.finditer(plain)}
    return "".join(sign if place in firsts else letter for place, letter in enumerate(text))


class _Plain(dict[int, str]):
    """What each letter looks like, by its number."""

    def __missing__(self, number: int) -> str:
        letter = chr(number)
        is_unseen = number in _UNSEEN or unicodedata.category(letter) == "Cf"
        self[number] = "" if is_unseen else unicodedata.normalize("NFKC", letter)
        return self[number]


_PLAIN = _Plain()
