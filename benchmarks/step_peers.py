"""The same pairs through TRL's trainers and through OpenRLHF's loss path: two passes, of which the second is timed."""

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import MethodType, ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
import transformers
from step_data import LONGEST, Pair


def trl(
    variant: str, models: Sequence[Any], tokenizer: Any, pairs: Sequence[Pair], options: Mapping[str, Any], clock: Any
) -> dict[str, float]:
    """TRL's DPO trainer, on the tokens as they are, with a policy and its reference; or its experimental CPO trainer with SimPO's loss."""
    from datasets import Dataset

    figures: dict[str, float] = {}
    steps = options["max_steps"] // 2

    class Timed(transformers.TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            clock.begin()

        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == steps:
                clock.start()

        def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            figures.update(clock.stop())

    model, reference = models
    given = {"processing_class": tokenizer, "callbacks": [Timed()]}
    if variant == "trl_simpo":
        cpo = import_module("trl.experimental.cpo")
        settings = cpo.CPOConfig(**options, loss_type="simpo", cpo_alpha=0.0, gradient_checkpointing=False)
        # It takes text: the tokens are handed to it after its own tokenisation.
        data = Dataset.from_list([_cpo_row(pair) for pair in pairs])
        with patch.object(Dataset, "map", lambda self, *_, **__: self):
            trainer = cpo.CPOTrainer(model, args=settings, train_dataset=data, **given)
        trainer.train()
        return figures
    dpo_trainer, utils = (import_module(f"trl.trainer.{name}") for name in ("dpo_trainer", "utils"))
    as_on_gpu(variant, dpo_trainer, utils)
    data = Dataset.from_list([dict(pair) for pair in pairs])
    with patch.object(dpo_trainer.DPOTrainer, "_prepare_dataset", lambda self, dataset, *_: dataset):
        dpo_trainer.DPOTrainer(model, reference, args=dpo_trainer.DPOConfig(**options), train_dataset=data, **given).train()
    return figures


def trl_options(variant: str, count: int, at_once: int, folder: Path) -> dict[str, Any]:
    """TRL's settings: two passes over `count` pairs at a constant rate, in their order; its defaults else, or its best."""
    options: dict[str, Any] = {
        "output_dir": str(folder / "out"),
        "per_device_train_batch_size": min(at_once, count),
        "max_length": LONGEST,
        "learning_rate": 1e-6,
        "lr_scheduler_type": "constant",
        "max_steps": 2 * (count // min(at_once, count)),
        "save_strategy": "no",
        "report_to": "none",
        "use_cpu": not torch.cuda.is_available(),
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


def _cpo_row(pair: Pair) -> dict[str, Any]:
    prompt = pair["prompt_ids"]
    made: dict[str, Any] = {"prompt": "", "chosen": "", "rejected": ""}
    made |= {"prompt_input_ids": prompt, "prompt_attention_mask": [1] * len(prompt)}
    for side in ("chosen", "rejected"):
        ids = pair[f"{side}_ids"]
        made |= {
            f"{side}_input_ids": prompt + ids,
            f"{side}_attention_mask": [1] * len(prompt + ids),
            f"{side}_labels": [-100] * len(prompt) + ids,
        }
    return made


def openrlhf(models: Sequence[Any], tokenizer: Any, pairs: Sequence[Pair], at_once: int, clock: Any) -> dict[str, float]:
    """OpenRLHF's DPO: its forward pass over both sides, its loss, its reference at every step; without its launcher, as one process."""
    _without_flash_attention()
    actors = [import_module("openrlhf.models").Actor(model) for model in models]
    for actor in actors:
        actor.packing_samples = False
    trainer = import_module("openrlhf.trainer.dpo_trainer").DPOTrainer
    loss_of = import_module("openrlhf.models").DPOLoss(0.1)
    own = SimpleNamespace(strategy=SimpleNamespace(ring_attn_group=None), tokenizer=tokenizer)
    for name in ("concatenated_forward", "concatenated_inputs", "_get_batch_logps"):
        setattr(own, name, MethodType(getattr(trainer, name), own))
    policy, reference = actors
    optimizer = torch.optim.AdamW(policy.parameters(), lr=1e-6)
    clock.begin()
    for is_timed in (False, True):
        if is_timed:
            clock.start()
        for start in range(0, len(pairs), at_once):
            batch = _padded(pairs[start : start + at_once])
            with torch.autocast("cpu", torch.bfloat16):
                chosen, rejected, *_ = own.concatenated_forward(policy, *batch)
                with torch.no_grad():
                    known = own.concatenated_forward(reference, *batch)
                loss_of(chosen, rejected, known[0], known[1])[0].backward()
            torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
    return clock.stop()


def _padded(pairs: Sequence[Pair]) -> tuple[Any, ...]:
    """Token ids and masks of both sides, padded on the right to the longest, and the prompts' lengths."""
    made: list[Any] = []
    for side in ("chosen_ids", "rejected_ids"):
        rows = [torch.tensor(pair["prompt_ids"] + pair[side]) for pair in pairs]
        made.append(torch.nn.utils.rnn.pad_sequence(rows, batch_first=True))
        made.append(torch.nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in rows], batch_first=True))
    return (*made, [len(pair["prompt_ids"]) for pair in pairs])


def _without_flash_attention() -> None:
    """OpenRLHF imports flash-attn for packing, which is not used here."""
    parts = {
        "bert_padding": ("index_first_axis", "pad_input", "rearrange", "unpad_input"),
        "utils": (),
        "utils.distributed": ("all_gather",),
    }
    sys.modules.setdefault("flash_attn", ModuleType("flash_attn"))
    for name, wanted in parts.items():
        module = sys.modules.setdefault(f"flash_attn.{name}", ModuleType(f"flash_attn.{name}"))
        for function in wanted:
            setattr(module, function, None)
