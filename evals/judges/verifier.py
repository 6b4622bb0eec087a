"""A judge for prompts with one right answer."""

from collections.abc import Sequence
from dataclasses import dataclass

import regex

from evals.errors import UserError
from evals.judging import Match, Verdict
from evals.prompts import EvaluationPrompt

# Seconds for one pattern and one text: nested repetitions try more ways through a text than anybody can wait for.
_LONGEST = 1.0


@dataclass(frozen=True)
class VerifierJudge:
    """A right response beats a wrong one; two right or two wrong ones tie. A pattern that finds no end makes its match unreadable."""

    @property
    def name(self) -> str:
        return "verifier"

    def judge(self, matches: Sequence[Match]) -> list[Verdict]:
        return [_verdict(match) for match in matches]


def check_verifiable(prompt: EvaluationPrompt, where: str = "") -> None:
    """Raise UserError for a prompt with neither `answer` nor `pattern`, or with a pattern that is no regular expression."""
    where = where or f"prompt {prompt.id}"
    if prompt.answer is None and prompt.pattern is None:
        raise UserError("the prompt has neither `answer` nor `pattern`", where, "add one, or choose another judge")
    try:
        regex.compile(prompt.pattern or "")
    except (regex.error, OverflowError, RecursionError) as error:
        raise UserError(f"the pattern is no regular expression: {error}", where, "correct `pattern`") from error


def is_right(prompt: EvaluationPrompt, text: str) -> bool:
    """Tell whether the response is the prompt's `answer` (up to white space) and all of it matches `pattern`, where given.

    Raises UserError for a prompt that cannot be verified, TimeoutError when the pattern took more than a second.
    """
    check_verifiable(prompt)
    if prompt.answer is not None and text.split() != prompt.answer.split():
        return False
    return prompt.pattern is None or regex.fullmatch(prompt.pattern, text.strip(), timeout=_LONGEST) is not None


def _verdict(match: Match) -> Verdict:
    try:
        score = (1 + is_right(match.prompt, match.candidate) - is_right(match.prompt, match.baseline)) / 2
    except TimeoutError:
        return Verdict(match.prompt.id, None, reason=f"the pattern {match.prompt.pattern} found no end in {_LONGEST:g} s: simplify it")
    return Verdict(match.prompt.id, score)
