"""From the columns of a row to its pair: a function for each kind of rows that are pairs by themselves."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from evals.json_lines import parsed_json
from evals.prompts import is_transcript, prompt_messages
from orchestrator.errors import DataFormatError
from orchestrator.preferences.pairs import PreferencePair, ScoredResponse
from orchestrator.preferences.rows import PAIR_HELP, RowError
from orchestrator.preferences.turns import Answer, answer, is_conversation, split_conversations, tools_of

SCORED_HELP = 'each row needs "prompt", "responses" (two or more texts) and "rewards" (one number for each)'
# The difference of two is finite in single precision, in which they are trained on.
_LARGEST_REWARD = 1e38
_REWARD_NAMES = (
    ("chosen_reward", "rejected_reward"),
    ("score_chosen", "score_rejected"),
    ("chosen_score", "rejected_score"),
    ("chosen_rating", "rejected_rating"),
)
# TRL and most others; OpenRLHF; Orca; RLHFlow; axolotl.
_PROMPT_NAMES = ("prompt", "context_messages", "question", "input", "messages")
SCORED_NAMES = (("responses", "rewards"), ("all_generated_responses", "all_rm_scores"))
_NEMO_MARK = re.compile(r"\n?<extra_id_1>(User|Assistant)\n")

Values = Mapping[str, Any]


def prompt_column(values: Values) -> str | None:
    """The column that holds the prompt of a row with `chosen` and `rejected`; None for whole conversations, which hold it themselves."""
    return next((name for name in _PROMPT_NAMES[: 1 if _is_whole(values) else None] if values.get(name)), None)


def read_plain(values: Values, origin: str) -> PreferencePair:
    """A prompt and two responses, or two conversations; with their rewards where the row has them."""
    has = f"(it has: {', '.join(sorted(values)) or 'nothing'})"
    missing = [name for name in ("chosen", "rejected") if not values.get(name)]
    if missing:
        if values.get(missing[0]) == "":
            raise RowError("empty", f"`{missing[0]}` is empty in this row")
        raise DataFormatError(f"this row has no `{missing[0]}` {has}", origin, PAIR_HELP)
    asked, chosen, rejected = prompt_column(values), values["chosen"], values["rejected"]
    no_prompt = DataFormatError(f"this row has no `prompt` {has}", origin, PAIR_HELP)
    if asked is None and not _is_whole(values):
        raise no_prompt
    turns, better, worse = split_conversations(values[asked] if asked else None, chosen, rejected)
    if not turns or (asked == "messages" and turns[-1].role == "assistant"):
        raise no_prompt
    rewards = next(((values[a], values[b]) for a, b in _REWARD_NAMES if values.get(a) is not None and values.get(b) is not None), None)
    better_reward, worse_reward = (None, None) if rewards is None else map(number, rewards)
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


def _is_whole(values: Values) -> bool:
    chosen: Any = values.get("chosen")
    rejected = values.get("rejected")
    return (is_conversation(chosen) and len(chosen) > 1) or (is_transcript(chosen) and is_transcript(rejected))


def read_scored(values: Values, origin: str) -> PreferencePair | str:
    """Best against worst of K scored responses; the rest are the others, from good to bad. None is better where all rewards are equal."""
    responses, rewards = next((values[a], values[b]) for a, b in SCORED_NAMES if values.get(a) is not None and values.get(b) is not None)
    if not all(isinstance(column, Sequence) and not isinstance(column, str) for column in (responses, rewards)):
        raise ValueError("`responses` and `rewards` are lists")
    if not values.get("prompt"):
        raise DataFormatError("this row has no `prompt`", origin, SCORED_HELP)
    if len(responses) != len(rewards) or len(responses) < 2:
        raise DataFormatError(f"this row has {len(responses)} responses and {len(rewards)} rewards", origin, SCORED_HELP)
    if len({number(reward) for reward in rewards}) < 2:
        return "all responses have the same reward"
    return ranked(values["prompt"], list(zip(responses, rewards, strict=True)), origin)


def ranked(prompt: Any, responses: Sequence[tuple[Any, Any]], origin: str) -> PreferencePair:
    """A pair from responses with their rewards."""
    found = [ScoredResponse(_plain(answer(response)), number(reward)) for response, reward in responses]
    best, *others, worst = sorted(found, key=lambda response: -response.reward)
    return PreferencePair(prompt_messages(prompt), best.text, worst.text, best.reward, worst.reward, origin, tuple(others))


def read_nectar(values: Values, origin: str) -> PreferencePair | str:
    """Ranked answers: rank 1 is the best, and the reward is the negative rank."""
    answers = values["answers"]
    if len(answers) < 2 or len({number(each["rank"]) for each in answers}) < 2:
        return "the answers have no two ranks"
    return ranked(values["prompt"], [(each["answer"], -number(each["rank"])) for each in answers], origin)


def strength_reader(prompt: str, first: str, second: str, strength: str) -> Callable[[Values, str], PreferencePair | str]:
    """Two responses and one number, which is negative where the first is the better one."""

    def read(values: Values, origin: str) -> PreferencePair | str:
        preference = number(values[strength])
        if preference == 0:
            return "a tie"
        better, worse = (first, second) if preference < 0 else (second, first)
        return two_sided(helpsteer_turns(values[prompt]), values[better], values[worse], origin)

    return read


def helpsteer_turns(prompt: Any) -> Any:
    """The turns of a conversation that HelpSteer2 writes as one text, with NeMo's mark before each but the first; others as they are."""
    if not isinstance(prompt, str):
        return prompt
    first, *further = _NEMO_MARK.split(prompt)
    if not further:
        return prompt
    turns = [("user", first), *zip(map(str.lower, further[::2]), further[1::2], strict=True)]
    return [{"role": role, "content": text} for role, text in turns]


def two_sided(prompt: Any, chosen: Any, rejected: Any, origin: str) -> PreferencePair:
    """A pair without rewards. Raises ValueError for what is no prompt or no response."""
    if not prompt:
        raise ValueError("there is no prompt")
    better, worse = answer(chosen), answer(rejected)
    return PreferencePair(
        prompt_messages(prompt), better.text, worse.text, origin=origin, chosen_extra=better.extra, rejected_extra=worse.extra
    )


def read_sharegpt(values: Values, origin: str) -> PreferencePair:
    """LLaMA-Factory's ranking set: turns with `from` and `value`, and the two responses as one turn each."""
    return two_sided(values["conversations"], values["chosen"], values["rejected"], origin)


def read_alpaca(values: Values, origin: str) -> PreferencePair:
    """LLaMA-Factory's alpaca ranking set: instruction and input are one user's turn, `history` has earlier pairs of turns."""
    turns: list[dict[str, str]] = []
    for asked, told in values.get("history") or ():
        turns += [{"role": "user", "content": asked}, {"role": "assistant", "content": told}]
    question = "\n".join(filter(None, (values["instruction"], values.get("input"))))
    return two_sided([*turns, {"role": "user", "content": question}], values["chosen"], values["rejected"], origin)


def read_argilla(values: Values, origin: str) -> PreferencePair:
    """Argilla's sets, which axolotl reads: an instruction, and responses under other names."""
    return read_alpaca({**values, "chosen": values["chosen_response"], "rejected": values["rejected_response"]}, origin)


def read_openai(values: Values, origin: str) -> PreferencePair:
    """OpenAI's preference fine-tuning: the conversation and its tools lie in `input`, a table or its JSON."""
    asked = values["input"]
    asked = parsed_json(asked) if isinstance(asked, str) else asked
    found = two_sided(asked["messages"], values["preferred_output"], values["non_preferred_output"], origin)
    return replace(found, tools=tools_of(asked))


def _plain(found: Answer) -> str:
    if found.extra:
        raise ValueError("one of several scored responses has more than text")
    return found.text


def number(value: Any) -> float:
    """A reward. Raises ValueError for what is none."""
    try:
        found = float(value)
    except TypeError as error:
        raise ValueError(f"a reward is {value!r}, no number") from error
    if not abs(found) <= _LARGEST_REWARD:
        raise ValueError(f"a reward is {value}, no number from -{_LARGEST_REWARD:g} to {_LARGEST_REWARD:g}")
    return found
