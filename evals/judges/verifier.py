"""A judge for prompts with one right answer."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from evals.errors import UserError
from evals.judging import Match, Verdict
from evals.prompts import EvaluationPrompt


@dataclass(frozen=True)
class VerifierJudge:
    """A right response beats a wrong one; two right or two wrong ones tie."""

    @property
    def name(self) -> str:
        return "verifier"

    def judge(self, matches: Sequence[Match]) -> list[Verdict]:
        return [Verdict(match.prompt.id, _score(match)) for match in matches]


def check_verifiable(prompt: EvaluationPrompt, where: str = "") -> None:
    """Raise UserError for a prompt with neither `answer` nor `pattern`, or with a pattern that is no regular expression."""
    where = where or f"prompt {prompt.id}"
    if prompt.answer is None and prompt.pattern is None:
        raise UserError("the prompt has neither `answer` nor `pattern`", where, "add one, or choose another judge")
    try:
        re.compile(prompt.pattern or "")
    except (re.error, OverflowError, RecursionError) as error:
        raise UserError(f"the pattern is no regular expression: {error}", where, "correct `pattern`") from error


def is_right(prompt: EvaluationPrompt, text: str) -> bool:
    """Tell whether the response is the prompt's `answer` (up to white space) and all of it matches `pattern`, where given.

    Raises UserError for a prompt that cannot be verified.
    """
    check_verifiable(prompt)
    if prompt.answer is not None and text.split() != prompt.answer.split():
        return False
    return prompt.pattern is None or re.fullmatch(prompt.pattern, text.strip()) is not None


def _score(match: Match) -> float:
    return (1 + is_right(match.prompt, match.candidate) - is_right(match.prompt, match.baseline)) / 2
