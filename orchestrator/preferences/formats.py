"""The kinds of rows that preference data come in: a format is how it is recognised, and a small function from row to pair."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from evals.errors import shortened
from evals.prompts import is_transcript, prompt_messages, with_system
from orchestrator.errors import DataFormatError
from orchestrator.preferences.pairs import PreferencePair, ScoredResponse
from orchestrator.preferences.rows import PAIR_HELP, BadRow, Row, RowError, SetAside
from orchestrator.preferences.turns import Answer, answer, is_conversation, split_conversations, tools_of

SCORED_HELP = 'each row needs "prompt", "responses" (two or more texts) and "rewards" (one number for each)'
OTHERS_HELP = "docs/data.md has the columns of every format"
# The difference of two is finite in single precision, in which they are trained on.
_LARGEST_REWARD = 1e38
_REWARD_NAMES = (
    ("chosen_reward", "rejected_reward"),
    ("score_chosen", "score_rejected"),
    ("chosen_score", "rejected_score"),
    ("chosen_rating", "rejected_rating"),
)
_SCORED_NAMES = (("responses", "rewards"), ("all_generated_responses", "all_rm_scores"))

Values = Mapping[str, Any]
Outcome = PreferencePair | BadRow | SetAside


@dataclass(frozen=True)
class Format:
    """A kind of rows, in which `columns` must be there and not null.

    `read` gives a row's pair, or the reason why it prefers nothing. Where several rows make a pair, `together` gets all of them instead.
    """

    name: str
    columns: tuple[str, ...]
    read: Callable[[Values, str], PreferencePair | str] | None = None
    together: Callable[[Sequence[Row]], list[Outcome]] | None = None
    help: str = OTHERS_HELP

    def recognises(self, values: Values) -> bool:
        """Whether a row is of this kind."""
        return all(values.get(column) is not None for column in self.columns)


def format_of(values: Values) -> Format:
    """The first format of the table that recognises the row; without any, rows are taken for broken pairs, which say what they lack."""
    return next((known for known in FORMATS if known.recognises(values)), PAIRS)


def kind_of(values: Values) -> str:
    """The format of a row in words, such as "prompt/chosen/rejected, conversational"."""
    known = format_of(values)
    if known is not PAIRS:
        return known.name
    sides = [values.get("chosen"), values.get("rejected")]
    if not values.get("prompt"):
        return "chosen/rejected with an implicit prompt, " + ("conversational" if is_conversation(sides[0]) else "plain text")
    style = "conversational" if any(map(is_conversation, (values["prompt"], *sides))) else "plain text"
    return f"{known.name}, {style}"


def read_row(row: Row) -> Outcome:
    """The pair of a row of a format whose rows are pairs."""
    known = format_of(row.values)
    assert known.read is not None
    read = known.read
    return attempt(row, known.help, lambda: read(row.values, row.origin))


def attempt(row: Row, cure: str, read: Callable[[], PreferencePair | str]) -> Outcome:
    """What `read` makes of a row, with the row's `system` and tools; one that it cannot read is bad, one with a reason is set aside."""
    try:
        found, tools = read(), tools_of(row.values)
    except DataFormatError as error:
        return BadRow(row.file, row.origin, error.what, error.cure or cure, row.values)
    except RowError as error:
        return BadRow(row.file, row.origin, str(error), error.cure or cure, row.values, error.kind)
    except (AttributeError, KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        return BadRow(row.file, row.origin, _unreadable(error), cure, row.values)
    if isinstance(found, str):
        return SetAside(row.file, row.origin, found, row.values)
    turns = with_system(found.prompt, row.values.get("system"))
    return found if turns is found.prompt and not tools else replace(found, prompt=turns, tools=tools or found.tools)


def _unreadable(error: Exception) -> str:
    """Why a row cannot be read, in words: of a value of another kind than the format has, Python's."""
    return f"this row cannot be read: {shortened(str(error) if isinstance(error, ValueError) else repr(error))}"


def _pair(values: Values, origin: str) -> PreferencePair:
    missing = [name for name in ("chosen", "rejected") if not values.get(name)]
    if missing:
        found = ", ".join(sorted(values)) or "nothing"
        if values.get(missing[0]) == "":
            raise RowError("empty", f"`{missing[0]}` is empty in this row")
        raise DataFormatError(f"this row has no `{missing[0]}` (it has: {found})", origin, PAIR_HELP)
    prompt, chosen, rejected = values.get("prompt"), values["chosen"], values["rejected"]
    if not prompt and not is_conversation(chosen) and not (is_transcript(chosen) and is_transcript(rejected)):
        raise DataFormatError("this row has no `prompt`", origin, PAIR_HELP)
    turns, better, worse = split_conversations(prompt, chosen, rejected)
    if not turns:
        raise DataFormatError("this row has no `prompt`", origin, PAIR_HELP)
    rewards = next(((values[a], values[b]) for a, b in _REWARD_NAMES if values.get(a) is not None and values.get(b) is not None), None)
    better_reward, worse_reward = (None, None) if rewards is None else map(_number, rewards)
    return PreferencePair(
        turns,
        better.text,
        worse.text,
        better_reward,
        worse_reward,
        origin,
        chosen_extra=better.extra,
        rejected_extra=worse.extra,
    )


def _scored(values: Values, origin: str) -> PreferencePair | str:
    """Best against worst of K scored responses; the rest are the others, from good to bad. None is better where all rewards are equal."""
    responses, rewards = next((values[a], values[b]) for a, b in _SCORED_NAMES if values.get(a) is not None and values.get(b) is not None)
    if isinstance(responses, str) or isinstance(rewards, str):
        raise TypeError("`responses` and `rewards` are lists")
    if not values.get("prompt"):
        raise DataFormatError("this row has no `prompt`", origin, SCORED_HELP)
    if len(responses) != len(rewards) or len(responses) < 2:
        raise DataFormatError(f"this row has {len(responses)} responses and {len(rewards)} rewards", origin, SCORED_HELP)
    if len({_number(reward) for reward in rewards}) < 2:
        return "all responses have the same reward"
    return ranked(values["prompt"], list(zip(responses, rewards, strict=True)), origin)


def ranked(prompt: Any, responses: Sequence[tuple[Any, Any]], origin: str) -> PreferencePair:
    """A pair from responses with their rewards."""
    scored = [ScoredResponse(_plain(answer(response)), _number(reward)) for response, reward in responses]
    best, *others, worst = sorted(scored, key=lambda response: -response.reward)
    return PreferencePair(prompt_messages(prompt), best.text, worst.text, best.reward, worst.reward, origin, tuple(others))


def _nectar(values: Values, origin: str) -> PreferencePair | str:
    """Ranked answers: rank 1 is the best, and the reward is the negative rank."""
    answers = values["answers"]
    if len(answers) < 2 or len({_number(each["rank"]) for each in answers}) < 2:
        return "the answers have no two ranks"
    return ranked(values["prompt"], [(each["answer"], -_number(each["rank"])) for each in answers], origin)


def _strength(prompt: str, first: str, second: str, strength: str) -> Callable[[Values, str], PreferencePair | str]:
    """Two responses and one number, which is negative where the first is the better one."""

    def read(values: Values, origin: str) -> PreferencePair | str:
        preference = _number(values[strength])
        if preference == 0:
            return "a tie"
        better, worse = (first, second) if preference < 0 else (second, first)
        return two_sided(values[prompt], values[better], values[worse], origin)

    return read


def two_sided(prompt: Any, chosen: Any, rejected: Any, origin: str) -> PreferencePair:
    """A pair without rewards. Raises ValueError for what is no prompt or no response."""
    if not prompt:
        raise ValueError("there is no prompt")
    better, worse = answer(chosen), answer(rejected)
    return PreferencePair(
        prompt_messages(prompt), better.text, worse.text, origin=origin, chosen_extra=better.extra, rejected_extra=worse.extra
    )


def _sharegpt(values: Values, origin: str) -> PreferencePair:
    """LLaMA-Factory's ranking set: turns with `from` and `value`, and the two responses as one turn each."""
    return two_sided(values["conversations"], values["chosen"], values["rejected"], origin)


def _alpaca(values: Values, origin: str) -> PreferencePair:
    """LLaMA-Factory's alpaca ranking set: instruction and input are one user's turn, `history` has earlier pairs of turns."""
    turns: list[dict[str, str]] = []
    for asked, told in values.get("history") or ():
        turns += [{"role": "user", "content": asked}, {"role": "assistant", "content": told}]
    question = "\n".join(filter(None, (values["instruction"], values.get("input"))))
    return two_sided([*turns, {"role": "user", "content": question}], values["chosen"], values["rejected"], origin)


def _attributes(rows: Sequence[Row]) -> list[Outcome]:
    """HelpSteer2's rated responses: two rows of one prompt follow each other, the more helpful one is the chosen one."""
    made: list[Outcome] = []
    waiting: Row | None = None
    for row in rows:
        if waiting is not None and all(waiting.values.get(name) == row.values.get(name) for name in ("prompt", "system", "tools")):
            made.append(attempt(waiting, OTHERS_HELP, lambda first=waiting, second=row: _by_helpfulness(first, second)))
            waiting = None
            continue
        if waiting is not None:
            made.append(_alone(waiting))
        waiting = row
    return made if waiting is None else [*made, _alone(waiting)]


def _by_helpfulness(first: Row, second: Row) -> PreferencePair | str:
    rated = [(row.values["response"], row.values["helpfulness"]) for row in (first, second)]
    if _number(rated[0][1]) == _number(rated[1][1]):
        return "a tie: both responses are equally helpful"
    return ranked(first.values["prompt"], rated, first.origin)


def _alone(row: Row) -> SetAside:
    return SetAside(row.file, row.origin, "no second response to this prompt follows", row.values)


def _unpaired(rows: Sequence[Row]) -> list[Outcome]:
    """KTO's labelled completions: the k-th desirable and the k-th undesirable one of a prompt are a pair; those left over are set aside."""
    made: list[Outcome] = []
    by_prompt: dict[str, tuple[list[Row], list[Row]]] = {}
    for row in rows:
        try:
            of_prompt = (prompt_messages(row.values["prompt"]), row.values.get("system"), row.values.get("tools"))
            sides = by_prompt.setdefault(repr(of_prompt), ([], []))
            sides[0 if _truth(row.values["label"]) else 1].append(row)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            made.append(BadRow(row.file, row.origin, _unreadable(error), OTHERS_HELP, row.values))
    for liked, disliked in by_prompt.values():
        for better, worse in zip(liked, disliked, strict=False):
            texts = (better.values["completion"], worse.values["completion"])
            made.append(
                attempt(better, OTHERS_HELP, lambda row=better, sides=texts: two_sided(row.values["prompt"], *sides, origin=row.origin))
            )
        paired = min(len(liked), len(disliked))
        made += [_without("undesirable", row) for row in liked[paired:]] + [_without("desirable", row) for row in disliked[paired:]]
    return made


def _without(kind: str, row: Row) -> SetAside:
    return SetAside(row.file, row.origin, f"no {kind} completion of this prompt is left to pair it with", row.values)


def _plain(found: Answer) -> str:
    if found.extra:
        raise ValueError("one of several scored responses has more than text")
    return found.text


def _number(value: Any) -> float:
    if not abs(float(value)) <= _LARGEST_REWARD:
        raise ValueError(f"a reward is {value}, no number from -{_LARGEST_REWARD:g} to {_LARGEST_REWARD:g}")
    return float(value)


def _truth(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    found = {"true": True, "1": True, "false": False, "0": False}.get(str(value).strip().lower())
    if found is None:
        raise ValueError(f"a label is {value!r}, neither true nor false")
    return found


PAIRS = Format("prompt/chosen/rejected", ("chosen", "rejected"), _pair, help=PAIR_HELP)
FORMATS = (
    *(Format(f"prompt/{'/'.join(names)}", names, _scored, help=SCORED_HELP) for names in _SCORED_NAMES),
    Format("Nectar (ranked answers)", ("prompt", "answers"), _nectar),
    Format(
        "HelpSteer3 (context, response1, response2)",
        ("context", "response1", "response2", "overall_preference"),
        _strength("context", "response1", "response2", "overall_preference"),
    ),
    Format(
        "HelpSteer2 (response_1, response_2, strength)",
        ("prompt", "response_1", "response_2", "preference_strength"),
        _strength("prompt", "response_1", "response_2", "preference_strength"),
    ),
    Format("HelpSteer2 (rated responses, paired by helpfulness)", ("prompt", "response", "helpfulness"), together=_attributes),
    Format("prompt/completion/label, paired by prompt", ("prompt", "completion", "label"), together=_unpaired),
    Format("ShareGPT ranking (conversations, chosen, rejected)", ("conversations", "chosen", "rejected"), _sharegpt),
    Format("alpaca ranking (instruction, chosen, rejected)", ("instruction", "chosen", "rejected"), _alpaca),
    PAIRS,
)
