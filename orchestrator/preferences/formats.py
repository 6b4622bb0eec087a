"""The kinds of rows that preference data come in: a format is how it is recognised, and a small function from row to pair."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from evals.errors import shortened
from evals.prompts import prompt_messages, with_system
from orchestrator.errors import DataFormatError
from orchestrator.preferences.pairs import PreferencePair
from orchestrator.preferences.rows import PAIR_HELP, BadRow, Row, RowError, SetAside
from orchestrator.preferences.single_rows import (
    SCORED_HELP,
    SCORED_NAMES,
    helpsteer_turns,
    number,
    prompt_column,
    ranked,
    read_alpaca,
    read_argilla,
    read_nectar,
    read_openai,
    read_plain,
    read_scored,
    read_sharegpt,
    strength_reader,
    two_sided,
)
from orchestrator.preferences.turns import is_conversation, tools_of

OTHERS_HELP = "docs/data.md has the columns of every format"

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


def kind_of(known: Format, values: Values) -> str:
    """The format of a row in words, such as "prompt/chosen/rejected, conversational"."""
    if known is not PAIRS:
        return known.name
    prompt = prompt_column(values)
    columns = [name for name in (prompt, "chosen", "rejected") if name]
    style = "conversational" if any(is_conversation(values.get(name)) for name in columns) else "plain text"
    return f"{'/'.join(columns)}{'' if prompt else ' with an implicit prompt'}, {style}"


def read_row(known: Format, row: Row) -> Outcome:
    """The pair of a row of a format whose rows are pairs."""
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
    told = str(error) if isinstance(error, ValueError) else f"a value is not what its format has there ({error!r})"
    return f"this row cannot be read: {shortened(told)}"


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
    if number(rated[0][1]) == number(rated[1][1]):
        return "a tie: both responses are equally helpful"
    return ranked(helpsteer_turns(first.values["prompt"]), rated, first.origin)


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


def _truth(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    found = {"true": True, "1": True, "false": False, "0": False}.get(str(value).strip().lower())
    if found is None:
        raise ValueError(f"a label is {value!r}, neither true nor false")
    return found


PAIRS = Format("prompt/chosen/rejected", ("chosen", "rejected"), read_plain, help=PAIR_HELP)
FORMATS = (
    *(Format(f"prompt/{'/'.join(names)}", names, read_scored, help=SCORED_HELP) for names in SCORED_NAMES),
    Format("Nectar (ranked answers)", ("prompt", "answers"), read_nectar),
    Format(
        "HelpSteer3 (context, response1, response2)",
        ("context", "response1", "response2", "overall_preference"),
        strength_reader("context", "response1", "response2", "overall_preference"),
    ),
    Format(
        "HelpSteer2 (response_1, response_2, strength)",
        ("prompt", "response_1", "response_2", "preference_strength"),
        strength_reader("prompt", "response_1", "response_2", "preference_strength"),
    ),
    Format("HelpSteer2 (rated responses, paired by helpfulness)", ("prompt", "response", "helpfulness"), together=_attributes),
    Format("prompt/completion/label, paired by prompt", ("prompt", "completion", "label"), together=_unpaired),
    Format("ShareGPT ranking (conversations, chosen, rejected)", ("conversations", "chosen", "rejected"), read_sharegpt),
    Format(
        "argilla (instruction, chosen_response, rejected_response)", ("instruction", "chosen_response", "rejected_response"), read_argilla
    ),
    Format("OpenAI (input, preferred_output, non_preferred_output)", ("input", "preferred_output", "non_preferred_output"), read_openai),
    Format("alpaca ranking (instruction, chosen, rejected)", ("instruction", "chosen", "rejected"), read_alpaca),
    PAIRS,
)
