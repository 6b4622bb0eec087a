"""A world of short verifiable tasks, whose preference pairs are the model's own answers with known truth."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random

from evals.generation import Decoding
from evals.judges.verifier import is_right
from evals.prompts import EvaluationPrompt, Message, save_prompts
from orchestrator.worlds.cache import keep_world
from orchestrator.worlds.recipes import TasksRecipe, World
from orchestrator.worlds.small_model import Sample, make_model, make_tokenizer, sample, save
from orchestrator.worlds.tasks import Task, draw_tasks
from orchestrator.worlds.teaching import Demonstration, Schedule, enlarge, teach

# Taught by several people each; more than this would use up the rarest kind of instruction.
QUESTIONS = 15_000
VOCABULARY = 1024
CONTEXT = 128
# The crowd changes habits, not knowledge: at the full rate the model would forget part of the textbook.
CROWD_RATE = 0.3
# A right answer has fewer than 10 tokens; a model that has lost its way is cut here.
MAX_TOKENS = 16


def make_tasks_world(recipe: TasksRecipe, cache: Path, progress: Callable[[str], None]) -> World:
    """Teach a model from a crowd that slips, and pair its own right and wrong answers; kept under `cache` by content."""
    return keep_world(cache, recipe, (), lambda world: _make(recipe, world, progress))


def _make(recipe: TasksRecipe, world: World, progress: Callable[[str], None]) -> None:
    rng = Random(recipe.seed)
    taken: set[str] = set()
    held_out = draw_tasks(rng, recipe.held_out_prompts, taken)
    search = draw_tasks(rng, recipe.search_prompts, taken)
    train = draw_tasks(rng, recipe.train_prompts, taken)
    lessons = draw_tasks(rng, min(recipe.steps * recipe.batch, QUESTIONS), taken)
    textbook = _demonstrations(rng, lessons, recipe.steps * recipe.batch, slip_rate=0.0)
    crowd = _demonstrations(rng, lessons, recipe.crowd_steps * recipe.batch, recipe.slip_rate)
    texts = [f"{each.messages[0].content}\n{each.response}" for each in (*textbook, *crowd)]
    tokenizer = make_tokenizer(texts, VOCABULARY, CONTEXT)
    model = make_model(tokenizer, CONTEXT, recipe.seed)
    progress(f"teaching a model of {model.num_parameters() / 1e6:.1f} M parameters from a textbook, then from a crowd")
    teach(model, tokenizer, textbook, Schedule(recipe.steps, recipe.batch, recipe.seed), progress)
    teach(model, tokenizer, crowd, Schedule(recipe.crowd_steps, recipe.batch, recipe.seed, share_of_rate=CROWD_RATE), progress)
    enlarge(model)
    prompts = _prompts("train", train)
    progress(f"sampling {recipe.samples_per_prompt} answers to each of {len(prompts)} prompts")
    answers = sample(
        model,
        tokenizer,
        [prompt.messages for prompt in prompts],
        recipe.samples_per_prompt,
        Decoding(temperature=recipe.temperature, max_tokens=MAX_TOKENS, seed=recipe.seed),
    )
    answered = list(zip(prompts, answers, strict=True))
    rows = [row for prompt, samples in answered for row in _pair_rows(prompt, samples, recipe.pairs_per_prompt)]
    progress(f"{_share_right(answered):.0%} of the answers are right; {len(rows)} preference pairs")
    save(model, tokenizer, world.model)
    world.train.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    save_prompts(world.practice, prompts)
    save_prompts(world.prompts, _prompts("search", search))
    save_prompts(world.held_out, _prompts("held-out", held_out))


def _demonstrations(rng: Random, tasks: Sequence[Task], count: int, slip_rate: float) -> list[Demonstration]:
    """Have each question answered by several people, each slipping on their own, until there are `count` demonstrations."""
    answered = (tasks[place % len(tasks)] for place in range(count))
    return [Demonstration((Message("user", task.question),), task.demonstrate(rng, slip_rate)) for task in answered]


def _prompts(name: str, tasks: Sequence[Task]) -> list[EvaluationPrompt]:
    return [task.as_prompt(f"{name}-{number}") for number, task in enumerate(tasks)]


def _pair_rows(prompt: EvaluationPrompt, samples: Sequence[Sample], most: int) -> Iterator[dict[str, object]]:
    """Pair right with wrong, at most `most` times, and not at all when every answer is as right as the others."""
    # An answer that was cut off would be shown with an end that the model never wrote; the pairs' reader refuses an empty one.
    texts = list(dict.fromkeys(each.text for each in samples if each.finished and each.text.strip()))
    right = [text for text in texts if is_right(prompt, text)]
    wrong = [text for text in texts if not is_right(prompt, text)]
    if not right:
        return
    for place, text in enumerate(wrong[:most]):
        yield {
            "prompt": [message.as_dict() for message in prompt.messages],
            "chosen": right[place % len(right)],
            "rejected": text,
            "chosen_reward": 1.0,
            "rejected_reward": 0.0,
        }


def _share_right(answered: Sequence[tuple[EvaluationPrompt, Sequence[Sample]]]) -> float:
    verdicts = [is_right(prompt, each.text) for prompt, samples in answered for each in samples]
    return sum(verdicts) / len(verdicts)
