"""What a training step costs here and in its peers: the same model, the same seeded pairs, one run, one thread, variants in turn.

`python benchmarks/step.py [--vocab 4096|32768|131072] [--json PATH]`; needs `pip install trl==1.16.0`. OpenRLHF has a row when
`$OPENRLHF` names a directory made by `uv pip install --no-deps --target DIR openrlhf==0.11.2 pylatexenc` (it brings a package named
`tests`, which must not lie among the others). Each variant is a process of its own.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from step_data import Clock, make_model, make_pairs, token_count

AT_ONCE, BUDGET = 4, 1024
PAIRS = {4096: 8, 32768: 4, 131072: 2}
# What is timed: TRL as it comes; its best settings; both as they would behave on a GPU, where only response tokens reach the head.
THEIRS = {
    "trl_default": "TRL as it comes",
    "trl_default_gpu": "the same, as on a GPU",
    "trl_best": "TRL's best settings: reference cached, no checkpointing",
    "trl_best_gpu": "the same, as on a GPU",
    "openrlhf": "OpenRLHF's loss path, reference at every step",
}
# Ours, then ours without one lever or with one more.
OURS = {
    "ours": "ours",
    "ours_live_reference": "reference at every step",
    "ours_packed": "prompt not shared",
    "ours_padded": "not packed",
    "ours_no_guess": "logits computed twice",
    "ours_torch_attention": "torch's attention",
    "ours_checkpointing": "with gradient checkpointing",
    "ours_compiled": "with torch.compile",
}
SIMPO = {"ours_simpo": "ours, SimPO", "trl_simpo": "TRL, SimPO"}


def main(
    vocab: Annotated[int, typer.Option(help="4096, 32768 or 131072 tokens.")] = 4096,
    rounds: Annotated[int, typer.Option(help="How often each variant is run.", min=1)] = 2,
    output: Annotated[Path | None, typer.Option("--json", help="Write the figures here, too.")] = None,
    variant: Annotated[str | None, typer.Option(help="Run one variant in this process and print its figures.")] = None,
) -> None:
    if variant is not None:
        print(json.dumps(measured(variant, vocab)))
        return
    names = [name for name in (THEIRS | OURS | SIMPO) if name != "openrlhf" or os.environ.get("OPENRLHF")]
    runs = [{name: in_process(name, vocab) for name in names} for _ in range(rounds)]
    figures = {name: {key: median(run[name][key] for run in runs) for key in runs[0][name]} for name in names}
    seconds = {name: of_name["seconds"] for name, of_name in figures.items()}
    result = {
        "vocab": vocab,
        "pairs": PAIRS[vocab],
        "tokens": token_count(make_pairs(vocab, PAIRS[vocab])),
        "rounds": rounds,
        "variants": figures,
        "ratios": {
            "vs_trl_default": seconds["trl_default"] / seconds["ours"],
            "vs_trl_best": seconds["trl_best_gpu"] / seconds["ours"],
            "simpo_vs_trl": seconds["trl_simpo"] / seconds["ours_simpo"],
        },
        "memory_ratios": {name: figures["ours"]["peak_mb"] / figures[name]["peak_mb"] for name in THEIRS if name in figures},
    }
    show(result)
    if output is not None:
        output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def in_process(name: str, vocab: int) -> dict[str, float]:
    """One variant's figures, from a process of its own with one thread."""
    command = [sys.executable, __file__, "--vocab", str(vocab), "--variant", name]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", "TQDM_DISABLE": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def measured(variant: str, vocab: int) -> dict[str, float]:
    """CPU seconds for all pairs once, and the peak of memory above what was held before the first step."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        directory, pairs = make_model(vocab, Path(folder) / "model"), make_pairs(vocab, PAIRS[vocab])
        if variant.startswith("ours"):
            return ours_measured(variant, directory, pairs)
        from step_peers import openrlhf, trl, trl_options

        models = [AutoModelForCausalLM.from_pretrained(directory) for _ in range(2)]
        tokenizer = AutoTokenizer.from_pretrained(directory)
        if variant == "openrlhf":
            sys.path.append(os.environ["OPENRLHF"])
            return openrlhf(models, tokenizer, pairs, AT_ONCE, Clock())
        return trl(variant, models, tokenizer, pairs, trl_options(variant, len(pairs), AT_ONCE, Path(folder)), Clock())


def ours_measured(variant: str, directory: Path, pairs: list[Any]) -> dict[str, float]:
    """The training step, and how far its log-probabilities are from plain transformers'."""
    import torch
    from step_ours import largest_difference, ours
    from transformers import LlamaForCausalLM

    from orchestrator.policy.loading import load_policy, load_reference
    from orchestrator.settings import TrainingSettings

    compiled = variant == "ours_compiled"
    model = load_policy(str(directory), torch.float32, gradient_checkpointing=variant == "ours_checkpointing", compiled=compiled)
    reference = load_reference(str(directory), torch.float32, torch.device("cpu"), compiled)
    difference = largest_difference(model, LlamaForCausalLM.from_pretrained(directory).eval(), pairs)
    settings = TrainingSettings(learning_rate=1e-6, batch_size=AT_ONCE, precision="fp32")
    return ours(variant, model, reference, pairs, (settings, AT_ONCE, BUDGET), Clock()) | {"logp_difference": difference}


def show(result: Mapping[str, Any]) -> None:
    """The table."""
    figures, tokens = result["variants"], result["tokens"]
    title = f"{result['pairs']} pairs, vocabulary {result['vocab']}"
    drawn = Table("", "what", "CPU s", "tokens / CPU s", "peak MB", "times ours", title=title)
    for name, of_name in figures.items():
        seconds = of_name["seconds"]
        ratio = f"{seconds / figures['ours']['seconds']:.2f}"
        what = (THEIRS | OURS | SIMPO)[name]
        drawn.add_row(name, what, f"{seconds:.2f}", f"{tokens / seconds:.0f}", f"{of_name['peak_mb']:.0f}", ratio)
    console = Console(width=140)
    console.print(drawn)
    for name in ("ratios", "memory_ratios"):
        console.print(name.replace("_", " "), {key: round(value, 2) for key, value in result[name].items()})
    console.print(f"largest difference of a token's log-probability from plain transformers: {figures['ours']['logp_difference']:.1e}")


if __name__ == "__main__":
    typer.run(main)
