"""Is a share of the pairs that is chosen by alignment potential worth more than a random one? On the demo's world, over seeds.

    python benchmarks/selection.py --seeds 5

Each arm takes equally many steps, in this process; every model answers the held-out and the search's prompts, which the verifier compares
with the base model's answers. A rejected answer's reward is its closeness to the right one (chrF), so that margins vary.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import torch
from sacrebleu import CHRF

from evals.generation import Decoding
from evals.judges.verifier import is_right
from evals.prompts import EvaluationPrompt, load_prompts
from evals.statistics import student_quantile
from evals.vllm_engine import VllmEngine
from orchestrator.objectives import METHODS
from orchestrator.policy.loading import load_tokenizer
from orchestrator.preferences.pairs import PreferencePair
from orchestrator.preferences.reading import load_pairs
from orchestrator.preferences.tokenization import tokenize
from orchestrator.settings import SelectionSettings, TrainingSettings
from orchestrator.training.local_engine import LocalEngine
from orchestrator.training.loop import train
from orchestrator.training.run import TrainingRun
from orchestrator.worlds import make_world
from orchestrator.worlds.recipes import TasksRecipe, World

SAMPLES = 4


def main() -> None:
    """Train all arms under all seeds; print each arm's win rate, and how far each is from random, with 95 % intervals over seeds."""
    given = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    given.add_argument("--seeds", type=int, default=5)
    given.add_argument("--fraction", type=float, default=0.25)
    given.add_argument("--steps", type=int, default=48)
    given.add_argument("--method", default="dpo")
    given.add_argument("--learning-rate", type=float, default=2e-4)
    options = given.parse_args()
    world = make_world(TasksRecipe(), Path("~/.cache/daa-orchestrator/worlds").expanduser(), print)
    training = TrainingSettings(
        learning_rate=options.learning_rate, batch_size=32, micro_batch_tokens=1024, steps=options.steps, checkpoints=1, precision="fp32"
    )
    tokenizer = load_tokenizer(str(world.model))
    data = tokenize(tokenizer, graded(load_pairs(world.train)), 64, 0)
    with tempfile.TemporaryDirectory() as place:
        cache = str(Path(place) / "reference")
        run = TrainingRun(METHODS[options.method](), training, data.pairs, str(world.model), tokenizer, Path(place), cache)
        found = compare(run, arms(options.fraction), options.seeds, world)
    show(found, f"{options.method}, {options.steps} steps, {len(data.pairs)} pairs, share {options.fraction:g}")


def graded(pairs: Sequence[PreferencePair]) -> list[PreferencePair]:
    """The pairs with the rejected answer's closeness to the right one as its reward, and 1 for the right one."""
    metric = CHRF()
    return [replace(pair, rejected_reward=metric.sentence_score(pair.rejected, [pair.chosen]).score / 100) for pair in pairs]


def arms(fraction: float) -> dict[str, SelectionSettings]:
    """What is compared."""
    return {
        "full set": SelectionSettings(),
        "random": SelectionSettings(metric="random", fraction=fraction),
        "reward margin": SelectionSettings(metric="reward_margin", fraction=fraction),
        "implicit margin": SelectionSettings(metric="implicit_margin", fraction=fraction),
        "M_AP, w = 1": SelectionSettings(metric="alignment_potential", fraction=fraction),
        "M_AP, w = 2.5": SelectionSettings(metric="alignment_potential", fraction=fraction, weight=2.5),
    }


def compare(run: TrainingRun, selections: dict[str, SelectionSettings], seeds: int, world: World) -> dict[str, list[float]]:
    """Each arm's win rate in percent under each seed."""
    engine = VllmEngine(64)
    prompts = [prompt for file in (world.prompts, world.held_out) for prompt in load_prompts(file).prompts]
    base = right_answers(engine, run.model, prompts, seed=1000)
    found: dict[str, list[float]] = {name: [] for name in selections}
    for seed in range(seeds):
        for name, selection in selections.items():
            own = replace(
                run,
                settings=run.settings.model_copy(update={"seed": seed}),
                selection=selection.model_copy(update={"seed": seed}),
                directory=run.directory / f"{name}-{seed}",
            )
            torch.manual_seed(seed)
            checkpoint = train(own, LocalEngine(own.policy(), own.settings), lambda checkpoint: True)
            assert checkpoint is not None
            right = right_answers(engine, str(checkpoint.model), prompts, seed=2000)
            found[name].append(100 * fmean((1 + ours - theirs) / 2 for ours, theirs in zip(right, base, strict=True)))
            print(json.dumps({"seed": seed, "arm": name, "win_rate": round(found[name][-1], 2)}), flush=True)
    return found


def right_answers(engine: VllmEngine, model: str, prompts: Sequence[EvaluationPrompt], seed: int) -> list[float]:
    """Each prompt's share of right answers among SAMPLES."""
    answers = [engine.respond(model, prompts, Decoding(0.7, 1.0, 16, seed + number)) for number in range(SAMPLES)]
    return [fmean(is_right(prompt, of_seed[place].text) for of_seed in answers) for place, prompt in enumerate(prompts)]


def show(found: dict[str, list[float]], what: str) -> None:
    """The table."""
    print(f"{what}; {SAMPLES} answers to each prompt\n\n| pairs | win rate % (95 %) | less random's (95 %) |\n|---|---|---|")
    for name, rates in found.items():
        ahead = [ours - theirs for ours, theirs in zip(rates, found["random"], strict=True)]
        print(f"| {name} | {interval(rates)} | {interval(ahead) if name != 'random' else ''} |")


def interval(values: Sequence[float]) -> str:
    """The mean over seeds with Student's 95 % interval."""
    spread = torch.tensor(values, dtype=torch.float64).std().item() if len(values) > 1 else float("nan")
    half = student_quantile(len(values) - 1, 0.95) * spread / len(values) ** 0.5 if len(values) > 1 else float("nan")
    return f"{fmean(values):.1f} ({fmean(values) - half:.1f} to {fmean(values) + half:.1f})"


if __name__ == "__main__":
    main()
