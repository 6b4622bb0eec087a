"""How long checkpoints wait for their answers: one warm engine here, an engine for each in alpaca_eval, on the same prompts in one run.

`python benchmarks/evaluation.py --data DIR`, where DIR is the benchmark data. The models are made on the spot and say nothing; what is
timed is the engine around them. alpaca_eval's `vllm_local_completions` builds an engine for every model that it is given.
"""

import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from evals.asking import Question
from evals.benchmarks.files import DATA_VARIABLE, benchmark_file, read_rows
from evals.generation import Decoding
from evals.prompts import Message

CONTEXT, RANK = 4096, 8


@dataclass(frozen=True)
class Timing:
    """Seconds: until the first checkpoint's answers are there, imports and start included, and for each checkpoint after it."""

    first: float
    later: list[float]
    engine_starts: int


def main(  # noqa: PLR0913 (the options of the command)
    data: Annotated[Path, typer.Option(help="The benchmark data.", envvar=DATA_VARIABLE)],
    prompts: Annotated[int, typer.Option(help="AlpacaEval prompts for each checkpoint.")] = 805,
    tokens: Annotated[int, typer.Option(help="The longest answer.")] = 32,
    checkpoints: Annotated[int, typer.Option(help="Checkpoints for the warm engine.", min=2)] = 8,
    theirs: Annotated[int, typer.Option(help="Checkpoints for alpaca_eval.", min=2)] = 3,
    adapters: Annotated[int, typer.Option(help="LoRA adapters of one base, a rung of 64 prompts each.", min=2)] = 8,
    output: Annotated[Path | None, typer.Option("--json", help="Write the figures here, too.")] = None,
) -> None:
    os.environ |= {"HF_HUB_OFFLINE": "1", DATA_VARIABLE: str(data)}
    rows = read_rows(benchmark_file("preference_text/baseline_outputs.jsonl"))[:prompts]
    instructions = [row["instruction"] for row in rows]
    with tempfile.TemporaryDirectory() as folder:
        models = make_checkpoints(Path(folder), instructions, checkpoints)
        loras = [make_adapter(Path(folder) / f"adapter-{seed}", models[0], seed) for seed in range(adapters)]
        ours = in_process(answer_warm, models, instructions, tokens)
        peer = in_process(answer_as_alpaca_eval, models[:theirs], instructions, tokens)
        together, apart = in_process(answer_with_adapters, models[0], loras, instructions[:64], tokens)
    figures = {"ours": asdict(ours), "alpaca_eval": asdict(peer), "adapters": {"one_batch": together, "one_after_another": apart}}
    show(figures, len(instructions))
    if output is not None:
        output.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def make_checkpoints(folder: Path, texts: Sequence[str], count: int) -> list[Path]:
    """Models of one shape whose weights differ."""
    from orchestrator.worlds.small_model import make_model, make_tokenizer, save

    tokenizer = make_tokenizer(texts, 2048, CONTEXT)
    for seed in range(count):
        save(make_model(tokenizer, CONTEXT, seed), tokenizer, folder / f"checkpoint-{seed}")
    return [folder / f"checkpoint-{seed}" for seed in range(count)]


def make_adapter(directory: Path, base: Path, seed: int) -> Path:
    """A LoRA adapter of the model's queries and values, which says other things than the base."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    shape = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    get_peft_model(AutoModelForCausalLM.from_pretrained(base), shape).save_pretrained(str(directory))
    return directory


def in_process(work: Callable[..., Any], *arguments: Any) -> Any:
    """The work's result, from a process of its own, as a user's command would be."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(work, *arguments).result()


def answer_warm(models: Sequence[Path], instructions: Sequence[str], tokens: int) -> Timing:
    """Every checkpoint by one engine, whose weights are swapped."""
    started = time.perf_counter()
    from evals.vllm_engine import VllmEngine

    engine = VllmEngine(CONTEXT)
    load, starts = engine._load, []

    def counted(directory: Path) -> Any:
        starts.append(directory)
        return load(directory)

    engine._load = counted
    asked = [Question(str(n), (Message("user", text),), Decoding(max_tokens=tokens)) for n, text in enumerate(instructions)]
    seconds = []
    for model in models:
        engine.answer(str(model), asked)
        seconds.append(time.perf_counter() - started)
        started = time.perf_counter()
    engine.close()
    return Timing(seconds[0], seconds[1:], len(starts))


def answer_as_alpaca_eval(models: Sequence[Path], instructions: Sequence[str], tokens: int) -> Timing:
    """The same by alpaca_eval's decoder for local models, with the settings without which vLLM does not start on a processor."""
    started = time.perf_counter()
    from evals.vllm_engine import ENVIRONMENT

    os.environ |= {name: ENVIRONMENT[name] for name in ("VLLM_CPU_KVCACHE_SPACE", "VLLM_CPU_OMP_THREADS_BIND", "VLLM_LOGGING_LEVEL")}
    from alpaca_eval.decoders import vllm_local
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(models[0])
    turns = [[{"role": "user", "content": text}] for text in instructions]
    asked = [tokenizer.apply_chat_template(turn, add_generation_prompt=True, tokenize=False) for turn in turns]
    options = {"max_model_len": CONTEXT, "enforce_eager": True, "dtype": "float32"}
    seconds = []
    for model in models:
        vllm_local.vllm_local_completions(asked, str(model), tokens, model_kwargs=dict(options), temperature=0.0)
        seconds.append(time.perf_counter() - started)
        started = time.perf_counter()
    # It leaves its last engine running, and this process would wait for that one for ever.
    vllm_local.llm.llm_engine.engine_core.shutdown()
    return Timing(seconds[0], seconds[1:], len(models))


def answer_with_adapters(base: Path, adapters: Sequence[Path], instructions: Sequence[str], tokens: int) -> tuple[float, float]:
    """Seconds for all adapters in one batch, and for one after another, when each has been used once; the answers must be the same."""
    from evals.vllm_engine import VllmEngine

    engine = VllmEngine(CONTEXT)
    decoding = Decoding(max_tokens=tokens)
    asked = [
        [Question(f"{n}", (Message("user", text),), decoding, adapter=str(adapter)) for n, text in enumerate(instructions)]
        for adapter in adapters
    ]
    for questions in asked:
        engine.answer(str(base), questions)
    started = time.perf_counter()
    one_batch = [reply.text for reply in engine.answer(str(base), [question for questions in asked for question in questions])]
    between = time.perf_counter()
    in_turn = [reply.text for questions in asked for reply in engine.answer(str(base), questions)]
    ended = time.perf_counter()
    engine.close()
    same = sum(one == other for one, other in zip(one_batch, in_turn, strict=True))
    print(f"{same} of {len(in_turn)} answers of adapters are the same in one batch as one after another")
    return between - started, ended - between


def show(figures: Mapping[str, Any], prompts: int) -> None:
    """The table."""
    table = Table("", "first checkpoint, s", "each later one, s", "engine starts", title=f"{prompts} prompts for each checkpoint")
    for name in ("ours", "alpaca_eval"):
        timing = Timing(**figures[name])
        checkpoints = f"{timing.engine_starts} for {1 + len(timing.later)} checkpoints"
        table.add_row(name, f"{timing.first:.1f}", f"{median(timing.later):.2f}", checkpoints)
    console = Console()
    console.print(table)
    together, apart = figures["adapters"].values()
    console.print(f"LoRA adapters: {together:.2f} s in one batch, {apart:.2f} s one after another ({apart / together:.1f} times)")


if __name__ == "__main__":
    typer.run(main)
