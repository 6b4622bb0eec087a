"""What the benchmark of the search has all sides search over, and how good a model truly is: the demo's settings, and fresh tasks."""

import math
import multiprocessing
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import mean, stdev
from typing import Any

import numpy as np

from evals.generation import Decoding
from evals.judges.verifier import is_right
from evals.prompts import EvaluationPrompt, load_prompts
from orchestrator.distributions import Choice, Distribution, LogUniform
from orchestrator.errors import DataFormatError
from orchestrator.search.trial import joint_space, published_samples, shared_settings
from orchestrator.settings import Settings
from orchestrator.settings_file import load_settings
from orchestrator.worlds.recipes import TasksRecipe, World
from orchestrator.worlds.tasks import draw_tasks
from orchestrator.worlds.tasks_world import QUESTIONS

# Of the demo's eight methods those that TRL 1.16 has with the same loss.
METHODS = ("dpo", "ipo", "simpo", "alphapo")
FRESH_TASKS, SAMPLES, FRESH_SEED = 2000, 4, 20_186


@dataclass(frozen=True)
class Quality:
    """A win rate against the base model over fresh tasks, and its standard error over them, in percent."""

    win_rate: float
    standard_error: float


def demo_settings() -> Settings:
    """The demo's, from the repository's examples."""
    return load_settings(Path(__file__).parents[1] / "jobs/examples/demo.toml")


def sample_configurations(count: int, seed: int) -> list[dict[str, Any]]:
    """Flat samples over METHODS: their published settings first, then a method and each of its hyperparameters by chance."""
    settings = demo_settings()
    space = joint_space(settings.search.model_copy(update={"methods": METHODS}))
    samples = published_samples(METHODS, space, shared_settings(settings))[:count]
    chance = np.random.default_rng(seed)
    while len(samples) < count:
        method = METHODS[int(chance.integers(len(METHODS)))]
        drawn = {f"{owner}.{key}": _draw(each, chance) for owner in (method, "training") for key, each in space[owner].items()}
        samples.append({"method": method} | drawn)
    return samples


def _draw(distribution: Distribution, chance: np.random.Generator) -> Any:
    if isinstance(distribution, Choice):
        return distribution.options[int(chance.integers(len(distribution.options)))]
    if isinstance(distribution, LogUniform):
        return distribution.nearest(math.exp(chance.uniform(math.log(distribution.low), math.log(distribution.high))))
    return distribution.nearest(chance.uniform(distribution.low, distribution.high))


def true_quality(models: Sequence[Path], world: World, tasks: int = FRESH_TASKS, samples: int = SAMPLES) -> list[Quality]:
    """Of each model, over `tasks` fresh tasks that it and the base model answer `samples` times, through one warm engine.

    Every answer is compared with every answer of the base model: the score of a task is half of one plus the difference of the two
    models' shares of right answers. Raises DataFormatError for a world that was not made by the demo's recipe.
    """
    prompts = fresh_prompts(world, tasks)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        base, *shares = process.submit(_right_shares, [world.model, *models], prompts, samples).result()
    scores = [[(1 + ours - theirs) / 2 for ours, theirs in zip(share, base, strict=True)] for share in shares]
    return [Quality(100 * mean(score), 100 * stdev(score) / len(score) ** 0.5) for score in scores]


def fresh_prompts(world: World, count: int) -> list[EvaluationPrompt]:
    """Tasks as the world's held-out ones, none of which the world has used in any place, its textbook included."""
    recipe = demo_settings().world
    assert isinstance(recipe, TasksRecipe)
    taken: set[str] = set()
    # The world's own draws, in its order.
    chance = Random(recipe.seed)
    lessons = min(recipe.steps * recipe.batch, QUESTIONS)
    for drawn in (recipe.held_out_prompts, recipe.search_prompts, recipe.train_prompts, lessons):
        draw_tasks(chance, drawn, taken)
    for file in (world.held_out, world.prompts):
        if not all(prompt.text in taken for prompt in load_prompts(file).prompts):
            raise DataFormatError("these prompts are not the demo's", str(file), "make the world from jobs/examples/demo.toml")
    return [task.as_prompt(f"fresh-{number}") for number, task in enumerate(draw_tasks(Random(FRESH_SEED), count, taken))]


def _right_shares(models: Sequence[Path], prompts: Sequence[EvaluationPrompt], samples: int) -> list[list[float]]:
    """Of each model, the share of right answers to each prompt."""
    from evals.vllm_engine import VllmEngine

    evaluation = demo_settings().evaluation
    engine = VllmEngine(evaluation.max_model_len)
    found = []
    for model in models:
        rights = []
        for seed in range(samples):
            decoding = Decoding(evaluation.temperature, evaluation.top_p, evaluation.max_tokens, seed)
            answers = engine.respond(str(model), prompts, decoding)
            rights.append([is_right(prompt, answer.text) for prompt, answer in zip(prompts, answers, strict=True)])
        found.append([mean(each) for each in zip(*rights, strict=True)])
    engine.close()
    return found


def described(configuration: Mapping[str, Any]) -> str:
    """A configuration in one line."""
    rest = (f"{key.rpartition('.')[2]} {value:.3g}" for key, value in configuration.items() if key != "method")
    return f"{configuration['method']}: {', '.join(rest)}"
