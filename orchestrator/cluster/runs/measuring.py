"""A few real steps and answers on the cluster, to tell how long all of them will take."""

import json
import random
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from evals.model_files import adapter_base
from evals.prompts import load_prompts
from orchestrator.cluster.engines.generating import Generation, start_engines
from orchestrator.cluster.workers.training_workers import Gang, engine_for, train_run, training_run, warm_up
from orchestrator.errors import ClusterError
from orchestrator.estimates.pace import Measured, measured_of
from orchestrator.run_files import RunFiles
from orchestrator.search.trial import Trial
from orchestrator.settings import GenerationSettings, SelectionSettings, Settings
from orchestrator.settings.search import CONTROL

STEPS = 3
_ANSWERS = 64
_FILE = "measured.json"


def measure(settings: Settings, directory: Path) -> Measured:
    """Train plain DPO for a few steps on some of the pairs, and answer some of the prompts, on the joined cluster; writes to `directory`.

    The settings' `world` must have been made. Raises what training and answering raise; ClusterError when the steps were not taken.
    """
    answered = _answer(settings, directory)
    config = {"settings": settings, "directory": str(directory)}
    train_run(Gang("measure", "", str(directory), settings.cluster.model_copy(update={"max_attempts": 1})), _train, config)
    file = directory / _FILE
    if not file.is_file():
        raise ClusterError("the steps to be measured were not taken", str(RunFiles(directory).logs), "read the workers' logs")
    found = json.loads(file.read_text(encoding="utf-8"))
    return measured_of(found["records"], found["took"], answered)


def _train(config: dict[str, Any]) -> None:
    """What every worker does: the same few steps twice, of which the first time warms up."""
    from orchestrator.training.loop import train
    from orchestrator.training.records import read_records

    settings: Settings = config["settings"]
    directory = Path(config["directory"])
    rank = warm_up(config["directory"], "measure")
    training = settings.training.model_copy(update={"steps": STEPS, "checkpoints": 1})
    few = settings.model_copy(update={"training": training, "data": settings.data.model_copy(update={"streaming": False})})
    for attempt in ("cold", "warm"):
        place = directory / attempt
        started = time.perf_counter()
        run = _on_some(training_run(few, Trial(attempt, CONTROL, {}, {}), place), str(place / "reference"))
        engine = engine_for(run)
        train(run, engine, lambda checkpoint: True)
        engine.close()
        if rank == 0:
            told = {"took": time.perf_counter() - started, "records": read_records(run.directory)}
            (directory / _FILE).write_text(json.dumps(told), encoding="utf-8")


def _on_some(run: Any, cache: str) -> Any:
    """The run on as many pairs as its steps take, drawn from all of them whatever it selects: a reference is not asked about the others."""
    count = min(len(run.pairs), STEPS * run.settings.batch_size)
    pairs = [run.pairs[number] for number in random.Random(0).sample(range(len(run.pairs)), count)]
    return replace(run, pairs=pairs, validation=(), reference_cache=cache, selection=SelectionSettings())


def _answer(settings: Settings, directory: Path) -> tuple[int, float, float]:
    """How many answers an engine gave once it was warm, in how many seconds, and how long it had taken to start."""
    assert settings.model.base is not None and settings.evaluation.prompts is not None
    one = settings.cluster.model_copy(update={"engines": 1})
    evaluation = settings.evaluation
    prompts = load_prompts(settings.evaluation.prompts).prompts[: _ANSWERS // 2]
    engines = Generation(start_engines(one, evaluation, RunFiles(directory).logs), directory / "replies")
    heat = evaluation.temperature or 1e-3
    wanted = GenerationSettings(responses=2, temperature=heat, top_p=evaluation.top_p, max_tokens=evaluation.max_tokens)
    model = adapter_base(Path(settings.model.base)) or settings.model.base
    began = time.perf_counter()
    engines.replies(model, prompts[:2], wanted)
    warm = time.perf_counter()
    answers = engines.replies(model, prompts, wanted.model_copy(update={"seed": 1}))
    return len(answers), time.perf_counter() - warm, warm - began
