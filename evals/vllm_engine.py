"""Answers prompts with vLLM in this process: one warm engine whose weights are swapped in place from checkpoint to checkpoint."""

import hashlib
import importlib
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evals.errors import ModelError
from evals.generation import Decoding, Response
from evals.model_files import Stamp, engine_shape, local_model, model_stamp, read_config
from evals.prompts import EvaluationPrompt, Message
from evals.rendering import encode_prompts, single_tokens

if TYPE_CHECKING:
    from vllm import LLM, RequestOutput, SamplingParams

# An engine core in a process of its own triples the start. Threads bound to cores wait for whoever else runs there: bound, a tiny
# model decodes 25 times slower beside one busy process. The CPU variables are read on CPU only.
ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
}


class VllmEngine:
    """A `Generator`, and a source of next-token probabilities for judges.

    The first directory is loaded cold; a later one of the same architecture and tokenizer only has its weights swapped in. An
    engine that failed or was interrupted at work is rebuilt before it answers again. Not safe for several threads.
    """

    def __init__(
        self, max_model_len: int | None = None, gpu_memory_utilization: float = 0.6, seed: int = 0, tensor_parallel_size: int = 1
    ) -> None:
        """`max_model_len` bounds prompt plus response, in tokens (None: by the model); the memory fraction counts on GPU only."""
        self.max_model_len = max_model_len
        self.gpu_memory_utilization = gpu_memory_utilization
        self.seed = seed
        self.tensor_parallel_size = tensor_parallel_size
        self._llm: LLM | None = None
        self._shape = ""
        # The directory whose weights the engine certainly holds; None while it works on them, so a failure leaves None behind.
        self._holds: tuple[Path, Stamp] | None = None

    def warm_up(self) -> None:
        """Pay for vLLM's imports before the first checkpoint is there."""
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        importlib.import_module("vllm.entrypoints.llm")

    def respond(self, model: str, prompts: Sequence[EvaluationPrompt], decoding: Decoding) -> list[Response]:
        """One response per prompt, in order; each is sampled with its own seed, so that it does not depend on the other prompts.

        Raises ModelError for a directory that cannot be loaded and UserError for a prompt longer than the context.
        """
        llm = self._ready(local_model(model))
        context = llm.model_config.max_model_len
        encoded = encode_prompts(llm.get_tokenizer(), prompts, context)
        from vllm import SamplingParams

        sampling = [
            SamplingParams(
                temperature=decoding.temperature,
                top_p=decoding.top_p,
                max_tokens=min(decoding.max_tokens, context - len(tokens)),
                seed=_prompt_seed(decoding.seed, prompt.id) if decoding.temperature > 0 else None,
            )
            for prompt, tokens in zip(prompts, encoded, strict=True)
        ]
        outputs = [output.outputs[0] for output in self._generate(llm, encoded, sampling)]
        return [
            Response(prompt.id, output.text, len(output.token_ids), output.finish_reason == "stop")
            for prompt, output in zip(prompts, outputs, strict=True)
        ]

    def token_logprobs(
        self, model_dir: str, conversations: Sequence[Sequence[Message]], tokens: Sequence[str], ids: Sequence[str] = ()
    ) -> list[dict[str, float]]:
        """Measure, for each conversation, the log-probability that the model's next turn begins with each of `tokens`.

        A token counts with and without a space before it. `ids` name the conversations in errors. Raises UserError for a token
        that the model's tokenizer splits, and for a conversation longer than the context.
        """
        llm = self._ready(local_model(model_dir))
        tokenizer, context = llm.get_tokenizer(), llm.model_config.max_model_len
        variants = {token: single_tokens(tokenizer, token) for token in tokens}
        names = ids or [f"conversation {number}" for number in range(1, len(conversations) + 1)]
        prompts = [EvaluationPrompt(name, tuple(turns)) for name, turns in zip(names, conversations, strict=True)]
        encoded = encode_prompts(tokenizer, prompts, context)
        from vllm import SamplingParams

        wanted = sorted({number for numbers in variants.values() for number in numbers})
        sampling = SamplingParams(max_tokens=1, temperature=0, logprob_token_ids=wanted)
        results = []
        for output in self._generate(llm, encoded, [sampling] * len(encoded)):
            first = (output.outputs[0].logprobs or [{}])[0]
            results.append({token: _log_sum([first[number].logprob for number in numbers]) for token, numbers in variants.items()})
        return results

    def close(self) -> None:
        """Free the engine and its memory; the next call loads cold."""
        llm, self._llm, self._holds = self._llm, None, None
        if llm is None:
            return
        from vllm.distributed.parallel_state import cleanup_dist_env_and_memory

        llm.llm_engine.engine_core.shutdown()
        del llm
        cleanup_dist_env_and_memory()

    def _ready(self, directory: Path) -> "LLM":
        """Hold the weights of `directory`: leave the engine as it is, swap its weights, or build it."""
        holds = (directory.resolve(), model_stamp(directory))
        if self._llm is not None and self._holds == holds:
            return self._llm
        shape = engine_shape(directory)
        if self._llm is not None and self._holds is not None and shape == self._shape:
            self._holds = None
            self._llm.collective_rpc("reload_weights", kwargs={"weights_path": str(holds[0])})
            # Keys and values cached under the old weights would answer for the new ones.
            self._llm.reset_prefix_cache()
        else:
            self.close()
            self._llm = self._load(holds[0])
        self._shape, self._holds = shape, holds
        return self._llm

    def _load(self, directory: Path) -> "LLM":
        self.warm_up()
        from vllm import LLM
        from vllm.platforms import current_platform

        on_cpu = current_platform.is_cpu()
        try:
            return LLM(
                str(directory),
                # "auto" would round float32 to bfloat16, and a tiny difference between checkpoints with it.
                dtype="float32" if on_cpu and read_config(directory)["dtype"] == "float32" else "auto",
                max_model_len=self.max_model_len,
                gpu_memory_utilization=self.gpu_memory_utilization,
                tensor_parallel_size=self.tensor_parallel_size,
                seed=self.seed,
                enforce_eager=on_cpu,
                use_tqdm_on_load=False,
            )
        except (OSError, ValueError) as error:
            cure = "read the message above; if it speaks of memory or of the context's length, lower `max_model_len`"
            raise ModelError(f"vLLM cannot load this model: {error}", str(directory), cure) from error

    def _generate(self, llm: "LLM", encoded: list[list[int]], sampling: "list[SamplingParams]") -> "list[RequestOutput]":
        """Run the engine. An interruption leaves unfinished requests inside it, hence it is trusted again only after success."""
        holds, self._holds = self._holds, None
        outputs = llm.generate([{"prompt_token_ids": tokens} for tokens in encoded], sampling, use_tqdm=False) if encoded else []
        self._holds = holds
        return outputs


def _prompt_seed(seed: int, prompt_id: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}:{prompt_id}".encode()).digest()[:4])


def _log_sum(values: Sequence[float]) -> float:
    largest = max(values)
    return largest + math.log(sum(math.exp(value - largest) for value in values))
