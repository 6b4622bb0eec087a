"""What the model is asked besides the prompts: to rewrite a prompt, and to revise responses that scorers disagree about."""

import re
from collections.abc import Sequence

from evals.prompts import EvaluationPrompt, Message
from orchestrator.rounds.sampling import prompt_of
from orchestrator.settings import EvolutionSettings, RevisionSettings

_FORM = "Write the new prompt only, without an answer to it and without a word about it.\n\nThe prompt:\n{prompt}"
# The five directions of Evol-Instruct (arXiv:2304.12244), in words of our own.
INSTRUCTIONS = (
    f"Write a new prompt of the same kind as the one below, about something rarer in the same field. {_FORM}",
    f"Rewrite the prompt below so that it asks for more depth and breadth. {_FORM}",
    f"Rewrite the prompt below with one more requirement that an answer must meet. {_FORM}",
    f"Rewrite the prompt below with what is general in it replaced by something concrete. {_FORM}",
    f"Rewrite the prompt below so that its answer takes several steps of reasoning. {_FORM}",
)
REVISION = (
    "Here are a prompt and two responses to it. Each is better than the other in some respect. Write one response that keeps what is good "
    "in both, and nothing else.\n\nThe prompt:\n{prompt}\n\nThe first response:\n{first}\n\nThe second response:\n{second}"
)


def evolving(prompts: Sequence[EvaluationPrompt], settings: EvolutionSettings) -> list[EvaluationPrompt]:
    """What is asked to have each prompt rewritten by each instruction, prompt by prompt."""
    instructions = settings.instructions or INSTRUCTIONS
    return [prompt_of((Message("user", text.replace("{prompt}", prompt.text)),)) for prompt in prompts for text in instructions]


def evolved(prompts: Sequence[EvaluationPrompt], texts: Sequence[str], settings: EvolutionSettings) -> list[EvaluationPrompt]:
    """The rewritten prompts that came of `evolving`, without those that are empty, known or of a length that says something went wrong."""
    each = len(settings.instructions or INSTRUCTIONS)
    known = {prompt.text for prompt in prompts}
    made: dict[str, EvaluationPrompt] = {}
    for place, text in enumerate(texts):
        original, written = prompts[place // each].text, text.strip()
        is_alike = len(written) * settings.factor >= len(original) and len(written) <= settings.factor * len(original)
        if written and is_alike and written not in known:
            made.setdefault(written, prompt_of((Message("user", written),)))
    return list(made.values())


def revising(prompt: EvaluationPrompt, first: str, second: str, settings: RevisionSettings) -> EvaluationPrompt:
    """What is asked to have two responses revised."""
    texts = {"{prompt}": prompt.text, "{first}": first, "{second}": second}
    # In one pass: a text may hold what looks like another's place.
    text = re.sub("|".join(map(re.escape, texts)), lambda place: texts[place.group()], settings.instruction or REVISION)
    return prompt_of((Message("user", text),))
