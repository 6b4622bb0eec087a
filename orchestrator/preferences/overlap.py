"""Whether a training prompt is one of the evaluation prompts, word for word or by a long run of its words."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from evals.prompts import Message

# Runs of so many words are looked for; of prompts with fewer words than the first, runs of the second.
LONG_RUN, SHORT_RUN = 13, 8
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class EvaluationTexts:
    """The evaluation prompts' turns, normalised: whole, and as runs of words by their length."""

    whole: frozenset[str] = frozenset()
    long_runs: frozenset[str] = frozenset()
    short_runs: frozenset[str] = frozenset()

    def overlap(self, prompt: Sequence[Message]) -> str | None:
        """How a prompt's user turns overlap with them: "evaluation_prompt", "evaluation_words", or not at all (None)."""
        turns = [words(turn.content) for turn in prompt if turn.role == "user"]
        if any(" ".join(turn) in self.whole for turn in turns):
            return "evaluation_prompt"
        for length, known in ((LONG_RUN, self.long_runs), (SHORT_RUN, self.short_runs)):
            if known and any(run in known for turn in turns for run in runs(turn, length)):
                return "evaluation_words"
        return None


def evaluation_texts(texts: Iterable[str]) -> EvaluationTexts:
    """What the evaluation prompts' turns are looked up by."""
    turns = [turn for text in texts if (turn := words(text))]
    short = [turn for turn in turns if len(turn) < LONG_RUN]
    return EvaluationTexts(
        frozenset(" ".join(turn) for turn in turns),
        frozenset(run for turn in turns for run in runs(turn, LONG_RUN)),
        frozenset(run for turn in short for run in runs(turn, SHORT_RUN)),
    )


def words(text: str) -> list[str]:
    """The words of a text in small letters, without punctuation."""
    return _WORD.findall(text.lower())


def runs(turn: Sequence[str], length: int) -> Iterator[str]:
    """All runs of `length` words."""
    return (" ".join(turn[start : start + length]) for start in range(len(turn) - length + 1))
