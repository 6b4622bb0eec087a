"""What a training step costs here and in TRL: the same model, the same seeded pairs, one run, one thread, variants in turn.

`python benchmarks/step.py [--vocab 4096|32768|131072] [--json PATH]`; needs `pip install trl==1.16.0`. Each variant is a process of its
own.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Annotated, Any
from unittest.mock import patch

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

SEED, LONGEST, AT_ONCE, BUDGET = 186, 1024, 4, 1024
PAIRS = {4096: 8, 32768: 4, 131072: 2}
# What is timed: TRL as it comes; its best settings; both as they would behave on a GPU, where only response tokens reach the head.
THEIRS = ("trl_default", "trl_default_gpu", "trl_best", "trl_best_gpu")
OURS = ("ours", "ours_checkpointing", "ours_no_guess", "ours_packed", "ours_padded")
SIMPO = ("ours_simpo", "trl_simpo")

Pair = Mapping[str, list[int]]


def main(
    vocab: Annotated[int, typer.Option(help="4096, 32768 or 131072 tokens.")] = 4096,
    rounds: Annotated[int, typer.Option(help="How often each variant is run.", min=1)] = 2,
    output: Annotated[Path | None, typer.Option("--json", help="Write the figures here, too.")] = None,
    variant: Annotated[str | None, typer.Option(help="Run one variant in this process and print its figures.")] = None,
) -> None:
    if variant is not None:
        print(json.dumps(measured(variant, vocab)))
        return
    names = (*THEIRS, *OURS, *SIMPO)
    runs = [{name: in_process(name, vocab) for name in names} for _ in range(rounds)]
    figures = {name: {key: median(run[name][key] for run in runs) for key in runs[0][name]} for name in names}
    best = figures["ours"]["cpu_seconds"]
    result = {
        "vocab": vocab,
        "pairs": PAIRS[vocab],
        "tokens": sum(len(ids) for pair in make_pairs(vocab) for ids in (pair["prompt_ids"] * 2, pair["chosen_ids"], pair["rejected_ids"])),
        "variants": figures,
        "ratios": {
            "vs_trl_default": figures["trl_default"]["cpu_seconds"] / best,
            "vs_trl_best": figures["trl_best_gpu"]["cpu_seconds"] / best,
            "simpo_vs_trl": figures["trl_simpo"]["cpu_seconds"] / figures["ours_simpo"]["cpu_seconds"],
        },
        "memory_ratios": {name: figures["ours"]["peak_mb"] / figures[name]["peak_mb"] for name in THEIRS},
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


def make_pairs(vocab: int) -> list[Pair]:
    """Lengths as in chat preference data: prompts about 150 tokens, responses about 260, each side up to 30 % off the other."""
    chance = np.random.default_rng(SEED)
    pairs = []
    for _ in range(PAIRS[vocab]):
        prompt = int(np.clip(chance.lognormal(np.log(150), 0.85), 10, 800))
        length = chance.lognormal(np.log(260), 0.5)
        sides = [int(np.clip(length * (1 + sign * 0.3 * chance.random()), 50, min(600, LONGEST - prompt))) for sign in (1, -1)]
        chance.shuffle(sides)
        lengths = {"prompt_ids": prompt, "chosen_ids": sides[0], "rejected_ids": sides[1]}
        pairs.append({name: chance.integers(5, vocab, size).tolist() for name, size in lengths.items()})
    return pairs


def make_model(vocab: int, directory: Path) -> Path:
    """A Llama of 9.4 million parameters besides its tied embeddings, in float32, with a tokenizer that only pads."""
    import torch
    from tokenizers import Tokenizer, models
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(0)
    shape: dict[str, Any] = {
        "hidden_size": 384,
        "intermediate_size": 1024,
        "num_hidden_layers": 6,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
    }
    special: dict[str, Any] = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    config = LlamaConfig(vocab_size=vocab, max_position_embeddings=2048, tie_word_embeddings=True, **shape, **special)
    LlamaForCausalLM(config).save_pretrained(directory)
    inner = Tokenizer(models.WordLevel({"<pad>": 0, "<s>": 1, "</s>": 2}, unk_token="<pad>"))
    PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="<pad>", bos_token="<s>", eos_token="</s>").save_pretrained(directory)
    return directory


def measured(variant: str, vocab: int) -> dict[str, float]:
    """CPU seconds for all pairs once, and the peak of memory above what was held before the first timed step."""
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        model, pairs = make_model(vocab, Path(folder) / "model"), make_pairs(vocab)
        if variant.startswith("trl"):
            return theirs(variant, model, pairs, Path(folder))
        return ours(variant, model, pairs)


class Clock:
    """Leaves out the first pass over the pairs, then takes CPU seconds and peak memory of the second, above that before the first."""

    def begin(self) -> None:
        self.before = status("VmRSS")

    def start(self) -> None:
        Path("/proc/self/clear_refs").write_text("5")
        self.seconds = -time.process_time()

    def stop(self, **more: float) -> dict[str, float]:
        self.seconds += time.process_time()
        return {"cpu_seconds": self.seconds, "peak_mb": (status("VmHWM") - self.before) / 1024, **more}


def status(name: str) -> int:
    """A figure of /proc/self/status, in KiB."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1])


def ours(variant: str, directory: Path, raw: Sequence[Pair]) -> dict[str, float]:
    """The training step under bf16 autocast over float32 weights, as TRL's default is."""
    import torch

    from orchestrator.objectives import METHODS
    from orchestrator.policy import scoring
    from orchestrator.policy.loading import load_policy, load_reference
    from orchestrator.preferences.pairs import TokenizedPair
    from orchestrator.settings import TrainingSettings
    from orchestrator.training.local_engine import LocalEngine
    from orchestrator.training.step import train_step

    pairs = [TokenizedPair(tuple(pair["prompt_ids"]), tuple(pair["chosen_ids"]), tuple(pair["rejected_ids"])) for pair in raw]
    objective = METHODS["simpo" if variant == "ours_simpo" else "dpo"]()
    model = load_policy(str(directory), torch.float32, gradient_checkpointing=variant == "ours_checkpointing")
    reference = load_reference(str(directory), torch.float32, torch.device("cpu"))
    for scored in (model, reference):
        scored.use_layout({"ours_packed": "packed", "ours_padded": "padded"}.get(variant, "shared"))
    settings = TrainingSettings(learning_rate=1e-6, batch_size=AT_ONCE, precision="fp32")
    difference = largest_difference(model, directory, pairs)
    engine, clock = LocalEngine(model, settings), Clock()
    autocast = torch.autocast("cpu", torch.bfloat16)
    batches = [range(start, min(start + AT_ONCE, len(pairs))) for start in range(0, len(pairs), AT_ONCE)]
    with autocast:
        steps = [micro_batches(pairs, batch, reference if objective.needs.reference else None) for batch in batches]
    with autocast, patch.object(scoring._Assembly, "guess", lambda *_: None) if variant == "ours_no_guess" else nullcontext():
        clock.begin()
        for is_timed in (False, True):
            if is_timed:
                clock.start()
            for batch, step in zip(batches, steps, strict=True):
                train_step(engine, objective, objective.initial_state(), step, len(batch), 1e-6)
    return clock.stop(logp_difference=difference)


def micro_batches(pairs: Sequence[Any], batch: Sequence[int], reference: Any) -> list[Any]:
    """A step's pairs under the token budget, with their reference scores, as the training loop makes them."""
    from orchestrator.policy.scoring import reference_scores
    from orchestrator.preferences.packing import split_evenly
    from orchestrator.preferences.pairs import collate, tokens_of
    from orchestrator.training.step import MicroBatch

    made = []
    for numbers in split_evenly([tokens_of(pairs[pair]) for pair in batch], 1, BUDGET)[0]:
        packed = collate(pairs, [batch[number] for number in numbers])
        made.append(MicroBatch(packed, None if reference is None else reference_scores(reference, packed)))
    return made


def largest_difference(model: Any, directory: Path, pairs: Sequence[Any]) -> float:
    """Of a token's log-probability, in float32, from plain transformers sequence by sequence."""
    import torch
    from transformers import LlamaForCausalLM

    from orchestrator.policy.head import Wanted
    from orchestrator.preferences.pairs import collate

    plain = LlamaForCausalLM.from_pretrained(directory).eval()
    batch = collate(pairs, range(len(pairs))).responses
    with torch.no_grad():
        found = model(batch, Wanted(batch.labels, batch.ends))["logp"]
        expected = []
        for pair in pairs:
            for response in (pair.chosen, pair.rejected):
                logits = plain(torch.tensor([pair.prompt + response])).logits[0, len(pair.prompt) - 1 : -1]
                expected.append(logits.log_softmax(-1).gather(1, torch.tensor(response)[:, None]).squeeze(1))
    return float((found - torch.cat(expected)).abs().max())


def theirs(variant: str, directory: Path, pairs: Sequence[Pair], folder: Path) -> dict[str, float]:
    """TRL's trainer on the tokens as they are: two passes over the pairs, of which the second is timed."""
    import transformers
    from datasets import Dataset

    dpo_trainer, utils = (import_module(f"trl.trainer.{name}") for name in ("dpo_trainer", "utils"))
    clock, figures = Clock(), {}
    steps = len(pairs) // min(AT_ONCE, len(pairs))

    class Timed(transformers.TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            clock.begin()

        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == steps:
                clock.start()

        def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            figures.update(clock.stop())

    options = their_options(variant, len(pairs), folder)
    if variant == "trl_simpo":
        return their_simpo(options, directory, pairs, Timed, figures)
    data = Dataset.from_list([dict(pair) for pair in pairs])
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    model, reference = (transformers.AutoModelForCausalLM.from_pretrained(directory) for _ in range(2))
    with patch.object(dpo_trainer.DPOTrainer, "_prepare_dataset", lambda self, dataset, *_: dataset):
        as_on_gpu(variant, dpo_trainer, utils)
        settings = dpo_trainer.DPOConfig(**options)
        given = {"args": settings, "train_dataset": data, "processing_class": tokenizer, "callbacks": [Timed()]}
        dpo_trainer.DPOTrainer(model, reference, **given).train()
    return figures


def their_options(variant: str, count: int, folder: Path) -> dict[str, Any]:
    """TRL's settings: two passes over `count` pairs at a constant rate, in their order; its defaults else, or its best."""
    options: dict[str, Any] = {
        "output_dir": str(folder / "out"),
        "per_device_train_batch_size": min(AT_ONCE, count),
        "max_length": LONGEST,
        "learning_rate": 1e-6,
        "lr_scheduler_type": "constant",
        "max_steps": 2 * (count // min(AT_ONCE, count)),
        "save_strategy": "no",
        "report_to": "none",
        "use_cpu": True,
        "bf16": True,
        "disable_tqdm": True,
        "train_sampling_strategy": "sequential",
    }
    if "best" in variant:
        options |= {"gradient_checkpointing": False, "precompute_ref_log_probs": True}
    return options


def as_on_gpu(variant: str, dpo_trainer: Any, utils: Any) -> None:
    """Only response tokens through the head, and none of the statistics that cost nothing in a GPU's fused kernel."""
    if not variant.endswith("_gpu"):
        return
    utils._use_triton = lambda device: True
    plain: Callable[..., None] = dpo_trainer.add_fused_lm_head

    def bare(model: Any, outputs: Sequence[str] = ()) -> None:
        plain(model)
        fused = model.forward

        def forward(*arguments: Any, **options: Any) -> Any:
            found = fused(*arguments, **options)
            if options.get("fused_lm_head"):
                nothing = found.log_probs.detach()
                found.entropy, found.mean_logits, found.is_top1 = nothing, nothing, nothing > 0
            return found

        model.forward = forward

    dpo_trainer.add_fused_lm_head = bare


def their_simpo(
    options: Mapping[str, Any], directory: Path, pairs: Sequence[Pair], timed: Any, figures: dict[str, float]
) -> dict[str, float]:
    """TRL's experimental CPO trainer with SimPO's loss; it takes text, so that tokens are handed to it after its own tokenisation."""
    import transformers
    from datasets import Dataset

    cpo = import_module("trl.experimental.cpo")

    def row(pair: Pair) -> dict[str, Any]:
        prompt = pair["prompt_ids"]
        made: dict[str, Any] = {
            "prompt": "",
            "chosen": "",
            "rejected": "",
            "prompt_input_ids": prompt,
            "prompt_attention_mask": [1] * len(prompt),
        }
        for side in ("chosen", "rejected"):
            ids = pair[f"{side}_ids"]
            made |= {
                f"{side}_input_ids": prompt + ids,
                f"{side}_attention_mask": [1] * len(prompt + ids),
                f"{side}_labels": [-100] * len(prompt) + ids,
            }
        return made

    data = Dataset.from_list([row(pair) for pair in pairs])
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    settings = cpo.CPOConfig(**options, loss_type="simpo", cpo_alpha=0.0, gradient_checkpointing=False)
    model = transformers.AutoModelForCausalLM.from_pretrained(directory)
    with patch.object(Dataset, "map", lambda self, *_, **__: self):
        trainer = cpo.CPOTrainer(model, args=settings, train_dataset=data, processing_class=tokenizer, callbacks=[timed()])
    trainer.train()
    return figures


def show(result: Mapping[str, Any]) -> None:
    """The table."""
    figures, tokens = result["variants"], result["tokens"]
    drawn = Table("", "CPU s", "tokens / CPU s", "peak MB", "times ours", title=f"{result['pairs']} pairs, vocabulary {result['vocab']}")
    for name, of_name in figures.items():
        seconds = of_name["cpu_seconds"]
        ratio = f"{seconds / figures['ours']['cpu_seconds']:.2f}"
        drawn.add_row(name, f"{seconds:.2f}", f"{tokens / seconds:.0f}", f"{of_name['peak_mb']:.0f}", ratio)
    console = Console()
    console.print(drawn)
    for name in ("ratios", "memory_ratios"):
        console.print(name.replace("_", " "), {key: round(value, 2) for key, value in result[name].items()})
    console.print(f"largest difference of a token's log-probability from plain transformers: {figures['ours']['logp_difference']:.1e}")


if __name__ == "__main__":
    typer.run(main)
