"""The searches that people write without us: a loop over configurations, and Ray Tune with ASHA, both around TRL's trainers and vLLM.

TRL has its best settings: reference log-probabilities computed beforehand and kept on disk for all trials, no gradient checkpointing. vLLM
runs as in our own engine, inside the process that asks it, which starts it in a third of the time. Data, decoding, judge and optimiser are
the demo's. `python benchmarks/search_peers.py train ...` and `... answer ...` are the processes that both searches start.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from statistics import mean
from typing import Any

import typer
from search_data import demo_settings

from evals.generation import Decoding
from evals.judges.verifier import VerifierJudge
from evals.judging import Match
from evals.prompts import load_prompts
from orchestrator.search.trial import Trial
from orchestrator.settings import TrainingSettings
from orchestrator.worlds.recipes import World

CORES = 2
SEARCH, PAIRS, BASE = "search.json", "pairs.jsonl", "base.json"
DPO_LOSSES = {"dpo": "sigmoid", "ipo": "ipo"}
# What is no part of a search: progress bars, and questions to the hub.
QUIET = {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "TQDM_DISABLE": "1",
}


@dataclass(frozen=True)
class PeerSearch:
    """What a search searches: the demo's world, flat samples, the seed of training and answers, and a folder for all it writes."""

    world: World
    configurations: Sequence[Mapping[str, Any]]
    seed: int
    folder: Path


@dataclass(frozen=True)
class Searched:
    """What a search found and took. `pick` is a place among the configurations, `model` the Hugging Face directory of its weights.

    `win_rates` are those of each configuration in percent, by the steps after which it was evaluated.
    """

    seconds: float
    pick: int
    model: Path
    win_rates: list[dict[int, float]]
    evaluations: int
    judgments: int


def plain_loop(search: PeerSearch) -> Searched:
    """For each configuration a process that trains, and one that loads vLLM and answers all prompts; the highest win rate wins."""
    started = time.perf_counter()
    search = _prepare(search)
    last = _steps()
    win_rates = []
    for number in range(len(search.configurations)):
        _run(search, "train", number)
        win_rates.append({last: _win_rate(search, _trained(search, number, last))})
    return _searched(search, started, win_rates)


def tune_asha(search: PeerSearch) -> Searched:
    """Ray Tune around TRL: as many trials at once as there are cores, each evaluated by a fresh engine at every checkpoint; ASHA.

    The pick is Tune's own: the highest last report. Trials take over the actors of earlier ones: imports are paid once for each core.
    """
    started = time.perf_counter()
    import ray
    from ray import tune
    from ray.tune.schedulers import AsyncHyperBandScheduler

    search = _prepare(search)
    last = _steps()
    # Tune's actors find this file.
    found = os.pathsep.join(filter(None, (str(Path(__file__).parent), os.environ.get("PYTHONPATH"))))
    told = {"env_vars": {"PYTHONPATH": found}}
    ray.init(address="local", num_cpus=CORES, include_dashboard=False, log_to_driver=False, runtime_env=told)
    try:
        trainable = tune.with_resources(tune.with_parameters(_tune_trial, search=search), {"cpu": 1})
        every = last // demo_settings().training.checkpoints
        asha = AsyncHyperBandScheduler(time_attr="step", grace_period=every, max_t=last, reduction_factor=3)
        space = {"number": tune.grid_search(list(range(len(search.configurations))))}
        how = tune.TuneConfig(metric="win_rate", mode="max", scheduler=asha, max_concurrent_trials=CORES, reuse_actors=True)
        where = tune.RunConfig(storage_path=str(search.folder / "tune"), verbose=0)
        results = tune.Tuner(trainable, param_space=space, tune_config=how, run_config=where).fit()
    finally:
        ray.shutdown()
    if results.errors:
        raise results.errors[0]
    histories: dict[int, dict[int, float]] = {}
    for result in results:
        assert result.config is not None and result.metrics_dataframe is not None
        reports = result.metrics_dataframe
        histories[result.config["number"]] = dict(zip(reports["step"].tolist(), reports["win_rate"].tolist(), strict=True))
    return _searched(search, started, [histories[number] for number in sorted(histories)])


def _searched(search: PeerSearch, started: float, win_rates: list[dict[int, float]]) -> Searched:
    """The configuration whose last win rate is the highest, and what finding it took; each evaluation judges all prompts."""
    pick = max(range(len(win_rates)), key=lambda number: win_rates[number][max(win_rates[number])])
    evaluations = sum(len(rates) for rates in win_rates)
    judgments = evaluations * len(load_prompts(search.world.prompts).prompts)
    model = _trained(search, pick, max(win_rates[pick]))
    return Searched(time.perf_counter() - started, pick, model, win_rates, evaluations, judgments)


def _tune_trial(config: Mapping[str, Any], search: PeerSearch) -> None:
    """A trial in an actor of Tune's."""
    from ray import tune
    from transformers import TrainerCallback

    class Evaluate(TrainerCallback):
        def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            model = _trained(search, config["number"], state.global_step)
            tune.report({"step": state.global_step, "win_rate": _win_rate(search, model)})

    every = _steps() // demo_settings().training.checkpoints
    _train(search, config["number"], every, Evaluate())


def _prepare(search: PeerSearch) -> PeerSearch:
    """Write what the processes read: the search, the pairs as TRL takes them, and the base model's answers, made once.

    The search comes back with absolute paths, since Tune's actors work elsewhere.
    """
    os.environ |= QUIET
    search.folder.mkdir(parents=True)
    told = {"world": str(search.world.model.parent.resolve()), "configurations": list(search.configurations), "seed": search.seed}
    (search.folder / SEARCH).write_text(json.dumps(told), encoding="utf-8")
    rows = [json.loads(line) for line in search.world.train.read_text(encoding="utf-8").splitlines()]
    sides = [{side: [{"role": "assistant", "content": row[side]}] for side in ("chosen", "rejected")} for row in rows]
    pairs = [{"prompt": row["prompt"]} | both for row, both in zip(rows, sides, strict=True)]
    (search.folder / PAIRS).write_text("".join(json.dumps(pair) + "\n" for pair in pairs), encoding="utf-8")
    _run(search, "answer", search.world.model.resolve(), search.folder / BASE, search.seed)
    return _read(search.folder.resolve())


def _read(folder: Path) -> PeerSearch:
    told = json.loads((folder / SEARCH).read_text(encoding="utf-8"))
    return PeerSearch(World.at(Path(told["world"])), told["configurations"], told["seed"], folder)


def _run(search: PeerSearch, command: str, *arguments: Any) -> None:
    """A process of this file, to its end. Raises RuntimeError with its last words when it fails."""
    words = [sys.executable, __file__, command, str(search.folder), *map(str, arguments)]
    done = subprocess.run(words, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout[-2000:]}")


def _steps() -> int:
    """Optimiser steps of a whole trial."""
    steps = demo_settings().training.steps
    assert steps is not None
    return steps


def _trained(search: PeerSearch, number: int, step: int) -> Path:
    """Where TRL saves a configuration's weights."""
    return search.folder / f"trial-{number}" / f"checkpoint-{step}"


def _win_rate(search: PeerSearch, model: Path) -> float:
    """In percent, by the verifier, of the answers of a fresh engine beside the base model's."""
    answers = model / "answers.json"
    # Another seed than the base model's, as in our own scoring.
    _run(search, "answer", model, answers, search.seed + 1)
    ours, theirs = (json.loads(file.read_text(encoding="utf-8")) for file in (answers, search.folder / BASE))
    matches = [Match(p, ours[p.id], theirs[p.id]) for p in load_prompts(search.world.prompts).prompts]
    scores = [verdict.candidate_score for verdict in VerifierJudge().judge(matches)]
    return 100 * mean(score for score in scores if score is not None)


def _train(search: PeerSearch, number: int, every: int, *callbacks: Any) -> None:
    """Train one configuration with TRL's trainer for its method, on the demo's settings; weights are saved `every` so many steps."""
    from datasets import load_dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer

    trial = Trial.from_sample(number, search.configurations[number])
    options = _options(search, trial.training_settings(demo_settings().training), every)
    options["output_dir"] = str(search.folder / f"trial-{number}")
    given = trial.objective().hyperparameters()
    pairs = load_dataset("json", data_files=str(search.folder / PAIRS), split="train", cache_dir=str(search.folder / "datasets"))
    tokenizer = AutoTokenizer.from_pretrained(search.world.model)
    model = AutoModelForCausalLM.from_pretrained(search.world.model)
    rest: dict[str, Any] = {"train_dataset": pairs, "processing_class": tokenizer, "callbacks": list(callbacks)}
    if trial.method in DPO_LOSSES:
        ahead = {"precompute_ref_log_probs": True, "precompute_ref_batch_size": 128}
        trl = import_module("trl")
        settings = trl.DPOConfig(**options, **ahead, loss_type=[DPO_LOSSES[trial.method]], beta=given["beta"])
        trl.DPOTrainer(model, args=settings, **rest).train()
        return
    margin = given["beta"] * given["gamma_over_beta"]
    shape = {"beta": given["beta"], "simpo_gamma": margin, "alpha": given.get("alpha", 0.0)}
    cpo = import_module("trl.experimental.cpo")
    settings = cpo.CPOConfig(**options, loss_type="simpo", cpo_alpha=0.0, **shape)
    cpo.CPOTrainer(model, args=settings, **rest).train()


def _options(search: PeerSearch, training: TrainingSettings, every: int) -> dict[str, Any]:
    """The demo's training settings in TRL's words, and its best ones for speed."""
    return {
        "max_length": demo_settings().data.context,
        "per_device_train_batch_size": training.batch_size,
        "max_steps": _steps(),
        "learning_rate": training.learning_rate,
        "lr_scheduler_type": "constant_with_warmup",
        "warmup_steps": training.warmup,
        "adam_beta1": training.adam_betas[0],
        "adam_beta2": training.adam_betas[1],
        "weight_decay": training.weight_decay,
        "max_grad_norm": training.gradient_clipping,
        "bf16": False,
        "seed": search.seed,
        "use_cpu": True,
        "gradient_checkpointing": False,
        "save_strategy": "steps",
        "save_steps": every,
        "save_only_model": True,
        "report_to": "none",
        "disable_tqdm": True,
    }


app = typer.Typer()


@app.command()
def train(folder: Path, number: int) -> None:
    """Train a configuration of the folder's search to its end."""
    _train(_read(folder), number, _steps())


@app.command()
def answer(folder: Path, model: Path, output: Path, seed: int) -> None:
    """Answer the search prompts with a model through a fresh engine."""
    from evals.vllm_engine import VllmEngine

    evaluation, prompts = demo_settings().evaluation, load_prompts(_read(folder).world.prompts).prompts
    decoding = Decoding(evaluation.temperature, evaluation.top_p, evaluation.max_tokens, seed)
    engine = VllmEngine(evaluation.max_model_len)
    answers = {answer.prompt_id: answer.text for answer in engine.respond(str(model), prompts, decoding)}
    output.write_text(json.dumps(answers), encoding="utf-8")
    engine.close()


if __name__ == "__main__":
    app()
