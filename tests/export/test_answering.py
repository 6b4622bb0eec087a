"""The engine that people serve models with answers with what has left a run."""

import multiprocessing
import os
import shutil
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from evals.generation import Decoding
from evals.prompts import EvaluationPrompt, Message
from evals.vllm_engine import VllmEngine
from orchestrator.export.found import find_trained
from orchestrator.export.writing import export
from orchestrator.report.model_cards import Publication
from tests.evals.tiny_model import make_adapter
from tests.export.left_runs import left_search, settings_of

PROMPTS = [EvaluationPrompt(str(n), (Message("user", f"the quick brown fox {n}"),)) for n in range(3)]


def answers_of(models: list[Path]) -> list[list[str]]:
    """What models answer, one after another in one engine, as an engine's own process gives it."""
    engine = VllmEngine(max_model_len=128)
    try:
        return [[response.text for response in engine.respond(str(model), PROMPTS, Decoding(max_tokens=12))] for model in models]
    finally:
        engine.close()


@pytest.mark.cluster
def test_vllm_answers_with_merged_adapters_as_with_the_adapters_themselves(tiny_model: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tmp_path / "adapter", tiny_model, seed=1)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(tiny_model / name, adapter / name)
    run = left_search(tmp_path / "run", adapter, settings_of(tiny_model))
    for form in ("merged", "adapter"):
        export(find_trained(run, "best"), Publication(form), tmp_path / "left" / form)
    os.environ["PYTHONWARNINGS"] = "ignore"
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        plain, merged, adapted = process.submit(
            answers_of, [tiny_model, tmp_path / "left" / "merged", tmp_path / "left" / "adapter"]
        ).result(timeout=400)
    assert merged == adapted != plain
