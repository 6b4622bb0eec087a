"""Starting what a run starts: torch and its libraries, and a vLLM engine that answers with one token."""

import os
import time
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

from evals.generation import Decoding
from evals.prompts import EvaluationPrompt, Message
from orchestrator.doctor.findings import Finding, fail, ok, warn
from orchestrator.doctor.hub import kept_model
from orchestrator.doctor.subject import EngineStart

_LIBRARIES = ("torch", "transformers", "deepspeed", "peft")
_CONTEXT, _VOCABULARY = 64, 320
# Less is made up for by memory, of which bf16 takes half.
_MUCH_FASTER = 4
_QUESTION = "What is the capital of France?"


def check_libraries(precision: str = "") -> list[Finding]:
    """Load what workers load; where there is no GPU, see whether the processor is made for the precision of training."""
    import torch

    if not torch.cuda.is_available():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    loaded = [f"{name} {import_module(name).__version__}" for name in _LIBRARIES]
    import_module("transformers.models.llama.modeling_llama")
    found = [ok("libraries", f"{', '.join(loaded)} can be imported")]
    return [*found, *_slow_bf16()] if precision == "bf16" and not torch.cuda.is_available() else found


def _slow_bf16() -> list[Finding]:
    """Whether this processor lacks instructions for bf16, so that fp32 is much faster."""
    from orchestrator.policy.cost import processor_flops

    rates = processor_flops()
    bf16, fp32 = rates["bf16"], rates["fp32"]
    if bf16 * _MUCH_FASTER > fp32:
        return []
    told = f"this processor computes {bf16 / 1e9:,.1f} GFLOP/s in bf16 and {fp32 / 1e9:,.1f} in fp32"
    return [warn("precision", told, 'set training.precision = "fp32" for runs that train on it')]


def check_gpus(gpus: int, are_given: bool) -> list[Finding]:
    """Whether torch sees so many GPUs and multiplies on each. Of GPUs that nobody has given to this process some may be kept from it."""
    import torch

    seen = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if 0 < seen < gpus and not are_given:
        fix = "nothing, where a scheduler or a container keeps the others back; or else: does `nvidia-smi` list them?"
        return [warn("GPUs", f"the driver shows {gpus} GPUs and torch sees {seen} of them", fix), *_computing(seen)]
    if seen < gpus:
        built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "a CPU build"
        what = f"there should be {gpus} GPUs and torch {torch.__version__}, {built}, sees {seen}"
        fix = "does `nvidia-smi` list them (driver, --gpus of a container)? if so, install requirements/gpu.txt and a driver for its CUDA"
        return [fail("GPUs", what, fix)]
    return _computing(seen)


def _computing(seen: int) -> list[Finding]:
    """Multiply on each of the GPUs that torch sees."""
    import torch

    for number in range(seen):
        square = torch.ones(256, 256, device=f"cuda:{number}")
        assert float((square @ square).sum()) == 256**3
    names = [torch.cuda.get_device_name(number) for number in range(seen)]
    told = ", ".join(f"{names.count(name)} {name}" for name in dict.fromkeys(names))
    return [ok("GPUs", f"torch computes on {told}")] if seen else []


def check_engine(model: str | None, start: EngineStart) -> list[Finding]:
    """Start vLLM as a run does and have it say one token: with the settings' model if it is on this machine, or else a tiny one."""
    kept = kept_model(model) if model is not None else None
    if model is None or kept is None:
        with TemporaryDirectory() as directory:
            make_tiny_model(Path(directory))
            found = [_one_token(Path(directory), "a tiny model", EngineStart(_CONTEXT, start.gpu_memory_utilization))]
        if model is not None:
            found.append(warn("engine", f"{model} is not on this machine yet and was not loaded", f"`hf download {model}`"))
        return found
    return [_one_token(kept, model, start)]


def make_tiny_model(directory: Path) -> None:
    """Write an untaught model of a million parameters."""
    from orchestrator.worlds.small_model import make_model, make_tokenizer, save

    tokenizer = make_tokenizer([_QUESTION], _VOCABULARY, _CONTEXT)
    save(make_model(tokenizer, _CONTEXT, 0), tokenizer, directory)


def _one_token(directory: Path, name: str, start: EngineStart) -> Finding:
    import torch

    from evals.vllm_engine import VllmEngine

    started = time.monotonic()
    spread = max(1, min(start.gpus, torch.cuda.device_count()))
    engine = VllmEngine(start.max_model_len, start.gpu_memory_utilization, tensor_parallel_size=spread)
    prompt = EvaluationPrompt("doctor", (Message("user", _QUESTION),))
    (response,) = engine.respond(str(directory), [prompt], Decoding(max_tokens=1))
    engine.close()
    if response.tokens != 1:
        return fail("engine", f"vLLM answered with {response.tokens} tokens instead of one", "try the model with transformers")
    return ok("engine", f"vLLM loads {name} and says a token after {time.monotonic() - started:.0f} s")
