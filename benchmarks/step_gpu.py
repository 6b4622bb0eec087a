"""What a training step costs on one GPU, here and in TRL: models of real shapes with random weights, the same seeded pairs, one process.

`python benchmarks/step_gpu.py [--json PATH]`; needs torch, transformers, pydantic, typer and rich, and for TRL's rows trl 1.16.0 and
datasets. Ends in ten minutes: what does not fit is left out and named. `--tiny` runs the same on a processor with a tiny model, to see that
it runs.
"""

import gc
import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.table import Table
from step_data import Clock, CudaClock, make_pairs, make_tokenizer, token_count

# The shapes of Qwen2.5-1.5B, in float32 under bf16 autocast, and of Llama-3-8B, in bf16 throughout.
SHAPES: dict[str, dict[str, Any]] = {
    "1.5b": {
        "architecture": "Qwen2",
        "hidden_size": 1536,
        "intermediate_size": 8960,
        "num_hidden_layers": 28,
        "num_attention_heads": 12,
        "num_key_value_heads": 2,
        "vocab_size": 151936,
        "tie_word_embeddings": True,
    },
    "8b": {
        "architecture": "Llama",
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "vocab_size": 128256,
        "tie_word_embeddings": False,
    },
    "tiny": {
        "architecture": "Qwen2",
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 4096,
        "tie_word_embeddings": True,
    },
}
VARIANTS = ("trl_default", "trl_best", "trl_best_sorted", "ours_packed", "ours", "ours_compiled")
BUDGET, SECONDS = 16384, 560
ENOUGH_FOR_8B = 100e9


def main(
    output: Annotated[Path | None, typer.Option("--json", help="Write the figures here, too.")] = None,
    tiny: Annotated[bool, typer.Option(help="A tiny model, on a processor if there is no GPU.")] = False,
) -> None:
    began = time.perf_counter()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu" and not tiny:
        raise SystemExit("there is no GPU: see benchmarks/step.py for a processor, or give --tiny to see that this runs")
    result: dict[str, Any] = {"device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu", "checks": checks(device)}
    result |= {"heads": heads(device, tiny), "attention": attentions(device, tiny), "steps": [], "left_out": []}
    for shape, at_once, count, checkpointing in plan(device, tiny):
        for variant in VARIANTS:
            name = f"{shape}, {at_once} pairs at once, {variant}"
            if variant.startswith("trl") and not (find_spec("trl") and find_spec("datasets")):
                result["left_out"].append(f"{name}: trl and datasets are not installed")
            elif time.perf_counter() - began > SECONDS:
                result["left_out"].append(f"{name}: out of time")
            else:
                result["steps"].append(step(shape, variant, at_once, count, checkpointing, device))
    result["ratios"] = ratios(result["steps"])
    show(result)
    if output is not None:
        output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def plan(device: torch.device, tiny: bool) -> list[tuple[str, int, int, bool]]:
    """Shape, pairs at once, pairs, and whether activations are computed again; the larger model where there is memory for it."""
    if tiny:
        return [("tiny", 2, 4, False)]
    small = [("1.5b", at_once, 64, False) for at_once in (2, 4, 8)]
    is_large = torch.cuda.get_device_properties(device).total_memory > ENOUGH_FOR_8B
    return [*small, ("8b", 4, 16, True)] if is_large else small


def make(shape: str, device: torch.device, dtype: torch.dtype) -> Any:
    """A model with random weights, on the device."""
    import transformers

    options = {key: value for key, value in SHAPES[shape].items() if key != "architecture"}
    config = getattr(transformers, f"{SHAPES[shape]['architecture']}Config")(
        **options, max_position_embeddings=4096, pad_token_id=0, bos_token_id=1, eos_token_id=2
    )
    torch.manual_seed(0)
    with device:
        return transformers.AutoModelForCausalLM.from_config(config, dtype=dtype)


def step(shape: str, variant: str, at_once: int, count: int, checkpointing: bool, device: torch.device) -> dict[str, Any]:
    """One variant's figures over all pairs, after a pass that is not timed."""
    from orchestrator.policy.cost import Cost, peak_flops

    vocab, dtype = SHAPES[shape]["vocab_size"], torch.bfloat16 if shape == "8b" else torch.float32
    pairs = make_pairs(vocab, count)
    if variant.endswith("sorted"):
        pairs = sorted(pairs, key=lambda pair: len(pair["prompt_ids"]) + max(len(pair["chosen_ids"]), len(pair["rejected_ids"])))
    clock = CudaClock() if device.type == "cuda" else Clock()
    models = [make(shape, device, dtype) for _ in range(2)]
    head = models[0].get_output_embeddings().weight.numel()
    trunk = sum(weight.numel() for weight in models[0].get_decoder().parameters()) - head
    if variant.startswith("ours"):
        scoring = scoring_models(models, variant, checkpointing, at_once)
        figures = ours_figures(scoring, variant, pairs, clock)
        del scoring
    else:
        figures = trl_figures(models, variant, pairs, at_once, checkpointing, clock)
    seconds = figures["seconds"]
    tokens = sum(len(ids) for pair in pairs for ids in pair.values())
    useful = Cost(trunk, head, is_frozen=False).flops(tokens, tokens - sum(len(pair["prompt_ids"]) for pair in pairs))
    rates = {"pairs_per_second": count / seconds, "tokens_per_second": token_count(pairs) / seconds}
    row = {"shape": shape, "at_once": at_once, "variant": variant, **figures, **rates, "mfu": useful / seconds / peak_flops(device)}
    del models
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return row


def scoring_models(models: Sequence[Any], variant: str, checkpointing: bool, at_once: int) -> tuple[Any, Any, Any]:
    """The policy, its reference and the settings, as `ours` wants them."""
    from orchestrator.policy.loading import compile_layers
    from orchestrator.policy.scoring_model import ScoringModel
    from orchestrator.settings import TrainingSettings

    policy, reference = models
    if checkpointing:
        policy.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    scoring = [ScoringModel(policy), ScoringModel(reference).eval().requires_grad_(False)]
    if variant == "ours_compiled":
        for model in models:
            compile_layers(model.get_decoder())
    precision = "bf16" if policy.dtype == torch.bfloat16 else "fp32"
    return scoring[0], scoring[1], TrainingSettings(learning_rate=1e-6, batch_size=at_once, precision=precision)


def ours_figures(scoring: tuple[Any, Any, Any], variant: str, pairs: Sequence[Any], clock: Any) -> dict[str, float]:
    from step_ours import ours

    policy, reference, settings = scoring
    return ours(variant, policy, reference, pairs, (settings, settings.batch_size, BUDGET), clock)


def trl_figures(
    models: Sequence[Any], variant: str, pairs: Sequence[Any], at_once: int, checkpointing: bool, clock: Any
) -> dict[str, float]:
    from step_peers import trl, trl_options

    with tempfile.TemporaryDirectory() as folder:
        options = trl_options(variant, len(pairs), at_once, Path(folder))
        if models[0].dtype == torch.bfloat16:
            options |= {"gradient_checkpointing": checkpointing}
        return trl(variant.removesuffix("_sorted"), models, make_tokenizer(), list(pairs), options, clock)


def ratios(steps: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """How many times as long as ours each variant takes, and how many times its memory, by shape and pairs at once."""
    found: dict[str, dict[str, float]] = {}
    for row in steps:
        ours = next((one for one in steps if one["variant"] == "ours" and all(one[key] == row[key] for key in ("shape", "at_once"))), None)
        if ours is not None:
            of_size = found.setdefault(f"{row['shape']}, {row['at_once']} at once", {})
            of_size[row["variant"]] = row["seconds"] / ours["seconds"]
            of_size[f"{row['variant']} memory"] = row["peak_mb"] / ours["peak_mb"]
    return found


def checks(device: torch.device) -> dict[str, float]:
    """Differences of a token's log-probability: shared from plain in float32; of flash attention's from response by response in bf16."""
    from step_ours import largest_difference, tokenized

    from orchestrator.policy import attention
    from orchestrator.policy.head import Wanted
    from orchestrator.policy.scoring_model import ScoringModel
    from orchestrator.preferences.pairs import collate

    pairs = make_pairs(SHAPES["tiny"]["vocab_size"], 4)
    plain = make("tiny", device, torch.float32).eval()
    found = {"float32 shared and plain": largest_difference(ScoringModel(make("tiny", device, torch.float32)).eval(), plain, pairs)}
    half = ScoringModel(make("tiny", device, torch.bfloat16), "shared").eval()
    batch = collate(tokenized(pairs), range(len(pairs))).responses.to(device)
    has_kernel, scores = attention._has_fused_kernel, []
    for is_fused in (True, False) if device.type == "cuda" else ():
        attention._has_fused_kernel = lambda query, is_fused=is_fused: is_fused
        with torch.no_grad():
            scores.append(half(batch, Wanted(batch.labels, batch.ends))["logp"])
    attention._has_fused_kernel = has_kernel
    return found | ({"bf16 fused and one by one": float((scores[0] - scores[1]).abs().mean())} if scores else {})


def heads(device: torch.device, tiny: bool) -> dict[str, float]:
    """Milliseconds of the last layer alone, forward and backward, and what it holds at most, in MB."""
    from orchestrator.policy.head import ResponseHead, Wanted

    rows, size, vocab = (64, 32, 512) if tiny else (4096, 1536, 151936)
    layer = torch.nn.Linear(size, vocab, bias=False, device=device, dtype=torch.bfloat16)
    hidden = torch.randn(rows, size, device=device, dtype=torch.bfloat16, requires_grad=True)
    labels, head = torch.randint(vocab, (rows,), device=device), ResponseHead(layer)
    weights = torch.linspace(-1, 1, rows, device=device)
    ends = [*range(rows // 8, rows + 1, rows // 8)]

    def fused(is_guessed: bool) -> Callable[[], Any]:
        starts = [0, *ends]
        guess = (lambda first, behind, found: weights[starts[first] : starts[behind]]) if is_guessed else None
        return lambda: (head(hidden, Wanted(labels, ends, guess=guess))["logp"] * weights).sum().backward()

    def whole() -> None:
        logps = layer(hidden).float().log_softmax(-1).gather(1, labels[:, None]).squeeze(1)
        (logps * weights).sum().backward()

    return timed({"pairwise, guessed": fused(True), "computed twice": fused(False), "all logits": whole}, device)


def attentions(device: torch.device, tiny: bool) -> dict[str, float]:
    """Milliseconds of one layer's attention alone, forward and backward: packed with shared prompts, and padded as a batch of rows."""
    from orchestrator.policy.attention import packed_attention
    from orchestrator.preferences.packing import pack

    heads_, groups, size = (4, 2, 16) if tiny else (12, 2, 128)
    raw = make_pairs(512, 2 if tiny else 8)
    packed = pack([tuple(p["prompt_ids"]) for p in raw], [(tuple(p["chosen_ids"]), tuple(p["rejected_ids"])) for p in raw])
    longest = max(len(p["prompt_ids"]) + max(len(p["chosen_ids"]), len(p["rejected_ids"])) for p in raw)

    def states(batch: int, length: int) -> list[torch.Tensor]:
        made = [torch.randn(batch, count, length, size, device=device, dtype=torch.bfloat16) for count in (heads_, groups, groups)]
        return [one.requires_grad_() for one in made]

    query, key, value = states(1, len(packed.tokens))
    asking, keys, values = states(2 * len(raw), longest)
    layer = torch.nn.Identity()

    def padded() -> None:
        torch.nn.functional.scaled_dot_product_attention(asking, keys, values, is_causal=True, enable_gqa=True).sum().backward()

    def shared() -> None:
        packed_attention(layer, query, key, value, None, units=packed.units)[0].sum().backward()

    return timed({"packed, prompts shared": shared, "padded": padded}, device)


def timed(work: Mapping[str, Callable[[], Any]], device: torch.device) -> dict[str, float]:
    """Milliseconds and MB by name, the best of five after two that are not counted."""
    found: dict[str, float] = {}
    for name, function in work.items():
        runs = []
        for _ in range(7):
            clock = CudaClock() if device.type == "cuda" else Clock()
            clock.begin()
            clock.start()
            function()
            runs.append(clock.stop())
        found |= {f"{name}, ms": min(run["seconds"] for run in runs[2:]) * 1000, f"{name}, MB": runs[-1]["peak_mb"]}
    return found


def show(result: Mapping[str, Any]) -> None:
    """The tables."""
    console = Console(width=140)
    drawn = Table("shape", "at once", "", "s", "pairs/s", "tokens/s", "useful MFU", "peak MB", title=result["device"])
    for row in result["steps"]:
        rates = (f"{row['pairs_per_second']:.1f}", f"{row['tokens_per_second']:.0f}", f"{row['mfu']:.1%}")
        numbers = (f"{row['seconds']:.2f}", *rates, f"{row['peak_mb']:.0f}")
        drawn.add_row(row["shape"], str(row["at_once"]), row["variant"], *numbers)
    console.print(drawn)
    for name in ("ratios", "checks", "heads", "attention", "left_out"):
        console.print(name.replace("_", " "), result[name])


if __name__ == "__main__":
    typer.run(main)
