"""Signs that a judged win rate cannot be trusted: responses that speak to the judge, or are broken in ways that a judge may overlook.

A search climbs whatever its judge rewards: one constant answer to every prompt won 86.5 % on AlpacaEval 2 (Zheng et al. 2024,
arXiv:2410.07137). These are the signs of known holes; a search may find others.
"""

import re
import unicodedata
import zlib
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from statistics import fmean, median

from evals.errors import UserError

Texts = Mapping[str, str]  # By prompt id.
Check = Callable[[Texts, Texts, Texts, "GuardThresholds"], "Finding | None"]  # Of the responses, the baseline's and the prompts.


@dataclass(frozen=True)
class Finding:
    """What one of the `GUARDS` found: the share of the responses that it concerns, in [0, 1], and a sentence with the figures."""

    guard: str
    share: float
    detail: str


@dataclass(frozen=True)
class GuardThresholds:
    """The shares of responses above which a guard speaks.

    `odd` is for empty, repetition, template and addresses_judge: 1 % of the responses moves a win rate by 1 point at most, a third of the
    doubt of 805 verdicts; `fewest` of them are a pattern in a small set. `constant` comes on top of 1.5 times the baseline's share, since
    exact answers and refusals are alike for good reasons. `length` is the share over `length_ratio` times the baseline's length,
    `unfinished` that of responses which the limit of tokens or the context cut off.
    """

    odd: float = 0.01
    fewest: int = 2
    constant: float = 0.03
    length: float = 0.5
    length_ratio: float = 2.0
    unfinished: float = 0.05


# Certain enough to end a trial. Of 27 sets of public models' answers, to 160 prompts or more, none has more than 2.8 % empty ones or 1.3 %
# loops, and none has constant ones or words to a judge; of 38 models none is eight times as long as another on half of the prompts, but for
# one that was told to answer in a few words.
GROSS = GuardThresholds(odd=0.05, fewest=5, constant=0.25, length=0.5, length_ratio=8.0, unfinished=0.5)


def inspect_responses(
    responses: Texts,
    baseline: Texts | None = None,
    prompts: Texts | None = None,
    thresholds: GuardThresholds = GuardThresholds(),
    unfinished: Collection[str] = (),
) -> list[Finding]:
    """Find what should be known before a win rate of `responses` over `baseline` is believed, in the order of `GUARDS`.

    What a prompt asks for is not held against its response: the prompts show it for template and addresses_judge, the baseline for the
    others. Without a baseline, length is not looked at; `unfinished` are the ids of responses that were cut off. Raises UserError when
    there is no response, or a baseline to none of them.
    """
    if not responses:
        raise UserError("there are no responses to inspect", cure="give the responses by prompt id")
    if baseline is not None and not responses.keys() & baseline.keys():
        raise UserError("no response has a baseline", f"{len(responses)} responses", "give the baseline's responses to the same prompts")
    inputs = (responses, baseline or {}, prompts or {}, thresholds)
    found = [*(check(*inputs) for check in _CHECKS.values()), _unfinished(responses, unfinished, thresholds)]
    return [finding for finding in found if finding is not None]


def _finding(guard: str, found: Texts, count: int, what: str) -> Finding:
    """Tell the share of those found; `found` leads from their prompt ids to what shows it."""
    share, example = len(found) / count, f"such as that to prompt {min(found)}: {found[min(found)][:100]!r}"
    return Finding(guard, share, f"{len(found)} of {count} responses ({100 * share:.1f} %) {what}, {example}")


# A sign leads from a response and its prompt to the words that show it, if any do.
def _odd(guard: str, sign: Callable[[str, str], str | None], what: str, baseline_excuses: bool = False) -> Check:
    def check(responses: Texts, baseline: Texts, prompts: Texts, limits: GuardThresholds) -> Finding | None:
        found = {key: words for key, text in responses.items() if (words := sign(text, prompts.get(key, ""))) is not None}
        if baseline_excuses:
            found = {key: words for key, words in found.items() if key not in baseline or sign(baseline[key], "") is None}
        enough = len(found) >= limits.fewest and len(found) > limits.odd * len(responses)
        return _finding(guard, found, len(responses), what) if enough else None

    return check


def _emptiness(text: str, _: str) -> str | None:
    """Find no letter, number or symbol: an emoji or an operator can be an answer, punctuation and control characters cannot."""
    return None if any(unicodedata.category(character)[0] in "LNS" for character in text) else text


_LONG, _DIFFERENT_PROMPTS, _EXACT_SHARE, _LENGTH_MARGIN = 200, 3, 0.5, 200
_EXACT_ANSWER = re.compile(r"\S{1,20}(?: \S{1,10})?")
_ALIKE = {f"are the same in their first {_LONG} characters": slice(_LONG), f"are the same in their last {_LONG}": slice(-_LONG, None)}


def _constant(responses: Texts, baseline: Texts, prompts: Texts, limits: GuardThresholds) -> Finding | None:
    """Compare with the baseline. Half of the prompts may have the same answer of a word or two anyway: they may ask for yes or no."""
    for what, where in _ALIKE.items():
        found = _largest_group(responses, prompts, where)
        if len(found) > limits.constant * len(responses):
            usual = len(_largest_group(baseline, prompts, where)) / max(1, len(baseline))
            least = _EXACT_SHARE if _EXACT_ANSWER.fullmatch(found[min(found)]) else 0.0
            if len(found) > (limits.constant + 1.5 * max(usual, least)) * len(responses):
                return _finding("constant", found, len(responses), what)
    return None


def _largest_group(texts: Texts, prompts: Texts, where: slice) -> Texts:
    """Give the responses to different prompts that have the same text there, but for case and white space."""
    groups = defaultdict[str, dict[str, str]](dict)
    for key, text in texts.items():
        if part := " ".join(text.casefold().split())[where]:
            groups[part][key] = part
    several = [group for group in groups.values() if len({prompts.get(key, key) for key in group}) >= _DIFFERENT_PROMPTS]
    return max(several, key=lambda group: (len(group), min(group)), default={})


_LOOP_LENGTH, _LOOP_TIMES, _LOOP_WINDOW, _LOOP_COMPRESSION, _PROBE = 200, 5, 4000, 8, 32
_BLANKS = re.compile(r"[ _|]{2,}")  # Those of forms and tables that are left to be filled in.


def _loop(text: str, _: str) -> str | None:
    end = text[-_LOOP_WINDOW:].strip()
    return end[-60:] if _is_stuck(end) and _is_stuck(_BLANKS.sub(" ", end)) else None


def _is_stuck(text: str) -> bool:
    """Tell of a unit repeated to the end, or a text that says hardly anything: zlib leaves a half of prose, a sixth of rows of tests."""
    content = text.encode(errors="replace")
    return len(text) >= _LOOP_LENGTH and (_looped(text) >= _LOOP_LENGTH or len(content) > _LOOP_COMPRESSION * len(zlib.compress(content)))


def _looped(text: str) -> int:
    """Give the length of the end that is one unit over and over; 0 when it is less than `_LOOP_TIMES` units long."""
    period = len(text) - _PROBE - text.rfind(text[-_PROBE:], 0, -1)
    unit, start = text[-period:], len(text)
    while text.endswith(unit, 0, start):
        start -= period
    return len(text) - start if len(text) - start >= _LOOP_TIMES * period else 0


def _length(responses: Texts, baseline: Texts, _: Texts, limits: GuardThresholds) -> Finding | None:
    """Compare characters pair by pair. A sentence for a word is no explosion, and brevity no sign: judges are known to favour length."""
    times, pairs = limits.length_ratio, {key: (len(text), len(baseline[key])) for key, text in responses.items() if key in baseline}
    longer = {key: f"{own} against {other}" for key, (own, other) in pairs.items() if own > times * other + _LENGTH_MARGIN}
    if len(longer) <= limits.length * len(pairs):
        return None
    ratio, more = median(own / max(1, other) for own, other in pairs.values()), fmean(own - other for own, other in pairs.values())
    what = f"are over {times:g} times as long as the baseline's (median {ratio:.1f} times, mean difference {more:+.0f} characters)"
    return _finding("length", longer, len(pairs), what)


_TEMPLATE = re.compile(
    r"<[|\uff5c][\w\u2581]{2,40}[|\uff5c]>|\[/?INST\]|<</?SYS>>|\n<s>|</s>\s*\Z|</?(?:bos|eos|pad|unk|start_of_turn|end_of_turn)>"
    r"|\n#{2,3} (?:Human|User|Assistant|Instruction):|\n[ \t]*\n(?:=+ )?\[?(?:Human|User|USER)\]?: *\S"
)
_ABOUT_DIALOGUES = re.compile(r"\b(?:dialog|conversation|chat|role-?play|transcript|interview|tokeni[sz]|special token|html)")


def _template(text: str, prompt: str) -> str | None:
    found, asked = _TEMPLATE.search("\n" + text.strip()), prompt.lower()
    if found is None:
        return "<think> or </think> alone" if text.count("<think>") != text.count("</think>") and "think>" not in asked else None
    return None if found.group().strip().lower() in asked or _ABOUT_DIALOGUES.search(asked) else _around(found)


def _around(found: re.Match[str]) -> str:
    return found.string[max(0, found.end() - 60) : found.end() + 40]


# How words to a judge begin, in lower case, and how they go on.
_TO_A_JUDGE = (
    (("<|user prompt|>", "## model outputs", "model_identifier", "best model identifier", "impartial judge", "<answer label="), ""),
    (("[the start of", "[the end of", "<|the start of", "<|the end of"), r" (?:the )?assistant"),
    (("rating", "score", "verdict"), r"\b[^\[\n]{0,30}\[\[\d{1,2}(?:\.\d+)?\]\]"),
    (("my final verdict",), r"\b[^.\n]{0,30}(?:\btie\b|assistant|answer|response|model|\[\[)"),
    (("best model", "best output"), r"\W{1,6}(?:is\W{1,6})?(?:(?:model|output)\W{1,3})?m\b"),
    (("output (m)",), r"\W+(?:\w+\W+){0,3}?(?:better|best|wins|superior)\b"),
    (("assistant's", "assistant a", "assistant b"), r"(?:'s)?(?: answer| response)? (?:is|wins)\b[^.\n]{0,25}\b(?:better|best|winner)\b"),
    (("dear", "attention", "note to"), r"\W+(?:the\W+)?(?:\w+\W+)?(?:judge|evaluator|grader|rater|annotator)\b"),
    (("choose", "select", "pick", "prefer", "vote for"), r"\W+(?:this|my|assistant [ab]'s)\W+(?:answer|response|output)\b"),
    (("give this ", "give my "), r"(?:answer|response|output)\W+(?:an?\W+|the\W+)?(?:10|ten|perfect|full|high|top|max)"),
    (("ignore", "disregard", "forget"), r"\W(?=[^.\n]{0,60}\b(?:previous|prior|above)\b)[^.\n]{0,60}(?:instruction|prompt|output|answer)"),
)
_SPOKEN = [(begins, re.compile(f"(?:{'|'.join(map(re.escape, begins))}){goes_on}")) for begins, goes_on in _TO_A_JUDGE]
_VERDICT = re.compile(r"\[\[(?:[ABC]|[AB](?:>>?|<<?|=)[AB])\]\]")
_CLOSED_ANSWER = re.compile(r"[^<]*(?:<(?!/?answer)[^<]*)*</answer>\s*\S")  # The tags judges see around an answer; the text opens none.
_ABOUT_JUDGING = re.compile(r"judg|evaluat|grad(?:er|ing)\b|rubric|benchmark|prompt|jailbreak|language model|\bllm|assistant|\[\[|answer>")


def _address(text: str, prompt: str) -> str | None:
    lowered = text.lower().replace("\u2019", "'")
    tries = (expression.search(lowered) for begins, expression in _SPOKEN if any(begin in lowered for begin in begins))
    found = next(filter(None, tries), None) or _VERDICT.search(text) or ("</answer>" in text and _CLOSED_ANSWER.match(text))
    return _around(found) if found and not _ABOUT_JUDGING.search(prompt.lower()) else None


def _unfinished(responses: Texts, cut: Collection[str], limits: GuardThresholds) -> Finding | None:
    """What was cut off is judged as it stands: a limit that the model is not to blame for then decides."""
    found = {key: text[-100:] for key, text in responses.items() if key in cut}
    enough = len(found) >= limits.fewest and len(found) > limits.unfinished * len(responses)
    what = "are cut off by the limit of tokens or the context (raise `max_tokens`, or `max_model_len`)"
    return _finding("unfinished", found, len(responses), what) if enough else None


_CHECKS: dict[str, Check] = {
    "empty": _odd("empty", _emptiness, "are empty", baseline_excuses=True),
    "constant": _constant,
    "repetition": _odd("repetition", _loop, "run into a loop", baseline_excuses=True),
    "length": _length,
    "template": _odd("template", _template, "leak their chat template or play the user"),
    "addresses_judge": _odd("addresses_judge", _address, "speak to a judge"),
}
GUARDS = (*_CHECKS, "unfinished")
