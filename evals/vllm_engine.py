"""Answers prompts with vLLM in this process: one warm engine whose weights are swapped in place from checkpoint to checkpoint."""

import hashlib
import importlib
import math
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals.asking import Keep, Question, Reply, forget
from evals.errors import MachineError, ModelError, UserError
from evals.generation import Decoding, Response
from evals.importing import importing
from evals.model_files import (
    FAULTS,
    Stamp,
    adapter_base,
    adapter_rank,
    check_adapter,
    engine_shape,
    fingerprint,
    local_model,
    model_stamp,
    read_config,
)
from evals.prompts import EvaluationPrompt
from evals.rendering import TooLongError, encode_conversation, single_tokens, spellings

if TYPE_CHECKING:
    from vllm import LLM, RequestOutput, SamplingParams
    from vllm.lora.request import LoRARequest

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

LORAS_AT_ONCE = 8
LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
_OF_THE_MACHINE = {"OutOfMemoryError", "AcceleratorError"}  # torch's, and no fault of a model's


@dataclass(frozen=True)
class _Request:
    """One question on its way through the engine, by its number among the questions."""

    number: int
    tokens: list[int]
    sampling: "SamplingParams"
    lora: "LoRARequest | None"


class VllmEngine:
    """Answers prompts with the model of a directory, and tells judges next-token probabilities.

    The first directory is loaded cold; a later one of the same architecture and tokenizer only has its weights swapped in. An
    engine that failed or was interrupted at work is rebuilt before it answers again. Not safe for several threads.
    """

    def __init__(
        self,
        max_model_len: int | None = None,
        gpu_memory_utilization: float = 0.6,
        seed: int = 0,
        tensor_parallel_size: int = 1,
        lora_rank: int = 0,
        sleeps: bool = False,
    ) -> None:
        """`max_model_len` bounds prompt plus response, in tokens (None: by the model); the memory fraction counts on GPU only.

        LoRA adapters up to `lora_rank` find room from the start; a larger one has the engine built anew. One that `sleeps` gives its GPU
        memory back between calls and keeps the weights in the machine's memory.
        """
        self.max_model_len = max_model_len
        self.gpu_memory_utilization = gpu_memory_utilization
        self.seed = seed
        self.tensor_parallel_size = tensor_parallel_size
        self._llm: LLM | None = None
        self._shape = ""
        # The directory whose weights the engine certainly holds; None while it works on them, so a failure leaves None behind.
        self._holds: tuple[Path, Stamp] | None = None
        self._rank = lora_rank
        self._sleeps, self._is_asleep = sleeps, False
        self._adapters: dict[str, int] = {}

    def warm_up(self) -> None:
        """Pay for vLLM's imports before the first checkpoint is there."""
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        if "vllm.entrypoints.llm" not in sys.modules:
            with importing():
                importlib.import_module("vllm.entrypoints.llm")

    def respond(self, model: str, prompts: Sequence[EvaluationPrompt], decoding: Decoding) -> list[Response]:
        """One response per prompt, in order; each is sampled with its own seed, so that it does not depend on the other prompts.

        `model` may be a LoRA adapter, which its base model answers with. Raises ModelError for a directory that cannot be loaded and
        UserError for a prompt longer than the context.
        """
        base = adapter_base(Path(model))
        adapter = None if base is None else model
        replies = self.answer(base or model, [Question(p.id, p.messages, decoding, adapter=adapter) for p in prompts])
        for prompt, reply in zip(prompts, replies, strict=True):
            if reply.failure:
                raise UserError(reply.failure, f"prompt {prompt.id}", "raise `max_model_len` if the model allows it, or drop the prompt")
        return [Response(p.id, reply.text, reply.tokens, reply.finished) for p, reply in zip(prompts, replies, strict=True)]

    def answer(self, model: str, questions: Sequence[Question], keep: Keep = forget) -> list[Reply]:
        """One reply per question, in order; each goes to `keep` as soon as it is there.

        A label counts with and without a space before it. Questions of several LoRA adapters of `model` are answered in one batch. A
        question longer than the context is a failure in its reply. Raises ModelError for a directory that cannot be loaded, UserError
        for a label that the tokenizer splits.
        """
        adapters = sorted({question.adapter for question in questions if question.adapter is not None})
        for adapter in adapters:
            check_adapter(Path(adapter), local_model(model))
        llm = self._ready(local_model(model), max((adapter_rank(Path(adapter)) for adapter in adapters), default=0))
        tokenizer, context = llm.get_tokenizer(), llm.model_config.max_model_len
        labels = {label: single_tokens(tokenizer, label) for question in questions for label in question.labels}
        loras = self._lora_requests(adapters)
        replies: dict[int, Reply] = {}
        requests: list[_Request] = []
        for number, question in enumerate(questions):
            try:
                tokens = encode_conversation(tokenizer, question.messages, context, f"prompt {question.id}")
            except TooLongError as error:
                replies[number] = Reply(failure=error.what)
                keep(number, replies[number])
                continue
            wanted = sorted({token for label in question.labels for token in labels[label]})
            lora = loras[question.adapter] if question.adapter else None
            requests.append(_Request(number, tokens, _sampling(question, wanted, context - len(tokens)), lora))

        def take(request: _Request, output: "RequestOutput") -> None:
            question = questions[request.number]
            reply = _reply(output, {label: labels[label] for label in question.labels})
            reply = as_sample(tokenizer, reply, output.outputs[0].token_ids) if question.as_sample else reply
            replies[request.number] = reply
            keep(request.number, reply)

        self._run(llm, requests, take)
        if self._sleeps:
            llm.sleep()
            self._is_asleep = True
        return [replies[number] for number in range(len(questions))]

    def close(self) -> None:
        """Free the engine and its memory; the next call loads cold."""
        llm, self._llm, self._holds, self._is_asleep = self._llm, None, None, False
        if llm is None:
            return
        from vllm.distributed.parallel_state import cleanup_dist_env_and_memory

        llm.llm_engine.engine_core.shutdown()
        del llm
        cleanup_dist_env_and_memory()

    def _ready(self, directory: Path, rank: int) -> "LLM":
        """Hold the weights of `directory`: leave the engine as it is, swap its weights, or build it; `rank` is that of LoRA adapters."""
        holds = (directory.resolve(), model_stamp(directory))
        if self._llm is not None and self._is_asleep:
            self._llm.wake_up()
            self._is_asleep = False
        if self._llm is not None and self._holds == holds and rank <= self._rank:
            return self._llm
        shape = engine_shape(directory) if rank <= self._rank else ""
        if self._llm is not None and self._holds is not None and shape == self._shape:
            self._holds = None
            self._llm.collective_rpc("reload_weights", kwargs={"weights_path": str(holds[0])})
            # Keys and values cached under the old weights would answer for the new ones.
            self._llm.reset_prefix_cache()
        else:
            self.close()
            self._rank = rank
            self._llm = self._load(holds[0])
        self._shape, self._holds = shape or engine_shape(directory), holds
        return self._llm

    def _load(self, directory: Path) -> "LLM":
        self.warm_up()
        from vllm import LLM
        from vllm.platforms import current_platform

        on_cpu = current_platform.is_cpu()
        if on_cpu:
            _register(read_config(directory).get("architectures", ()))
        # On a processor vLLM 0.32 cannot take back the random number that a prompt drew when only a part of it was read: read them whole.
        more: dict[str, Any] = {"enable_chunked_prefill": False} if on_cpu else {}
        more |= {"enable_sleep_mode": True} if self._sleeps and current_platform.is_sleep_mode_available() else {}
        more |= {"enable_lora": True, "max_lora_rank": allowed_rank(self._rank), "max_loras": LORAS_AT_ONCE} if self._rank else {}
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
                **more,
            )
        except FAULTS as error:
            if type(error).__name__ in _OF_THE_MACHINE:
                raise
            kind = MachineError if "memory utilization" in str(error).replace("_", " ") else ModelError
            cure = "read the message above; of memory or the context's length: lower `max_model_len`, or end what else holds that memory"
            raise kind(f"vLLM cannot load this model: {error}", str(directory), cure) from error

    def _run(self, llm: "LLM", requests: "Sequence[_Request]", take: "Callable[[_Request, RequestOutput], None]") -> None:
        """Run the engine. An interruption leaves unfinished requests inside it, hence it is trusted again only after success."""
        if not requests:
            return
        from vllm import RequestOutput

        holds, self._holds = self._holds, None
        prompts: Any = [{"prompt_token_ids": request.tokens} for request in requests]
        sampling = [request.sampling for request in requests]
        loras: Any = [request.lora for request in requests] if any(request.lora for request in requests) else None
        names = llm.enqueue(prompts, sampling, lora_request=loras, use_tqdm=False)
        # Inside, the engine lengthens each request's number by a suffix of its own.
        by_name = {name.partition("-")[0]: request for name, request in zip(names, requests, strict=True)}
        while llm.llm_engine.has_unfinished_requests():
            for output in llm.llm_engine.step():
                if output.finished and isinstance(output, RequestOutput):
                    take(by_name[output.request_id], output)
        self._holds = holds

    def _lora_requests(self, adapters: Sequence[str]) -> "dict[str, LoRARequest]":
        """Number each adapter by what it holds: an adapter written anew under an old path is another one."""
        from vllm.lora.request import LoRARequest

        numbers = {adapter: self._adapters.setdefault(fingerprint(Path(adapter)), len(self._adapters) + 1) for adapter in adapters}
        return {adapter: LoRARequest(f"adapter-{number}", number, adapter) for adapter, number in numbers.items()}


def _register(architectures: Sequence[str]) -> None:
    """Import models' classes here; vLLM would look at them in a process of its own, to spare a GPU, which pays for all imports again."""
    from vllm import ModelRegistry

    for name in architectures:
        if name in ModelRegistry.models:
            ModelRegistry.register_model(name, ModelRegistry.models[name].load_model_cls())


def _sampling(question: Question, wanted: list[int], room: int) -> "SamplingParams":
    from vllm import SamplingParams

    if wanted:
        return SamplingParams(max_tokens=1, temperature=0, logprob_token_ids=wanted)
    decoding = question.decoding
    return SamplingParams(
        temperature=decoding.temperature,
        top_p=decoding.top_p,
        max_tokens=min(decoding.max_tokens, room),
        seed=_prompt_seed(decoding.seed + question.attempt, question.id) if decoding.temperature > 0 else None,
        # Those of the sampled tokens alone.
        logprobs=0 if question.as_sample else None,
    )


def _reply(output: "RequestOutput", labels: Mapping[str, Sequence[int]]) -> Reply:
    only = output.outputs[0]
    first = (only.logprobs or [{}])[0]
    logprobs = {label: _log_sum([first[number].logprob for number in numbers]) for label, numbers in labels.items()}
    length = len(output.prompt_token_ids or ())
    text, logprob = ("", None) if labels else (only.text, only.cumulative_logprob)
    return Reply(text, logprobs, length, len(only.token_ids), only.finish_reason == "stop", logprob=logprob)


def as_sample(tokenizer: Any, reply: Reply, tokens: Sequence[int]) -> Reply:
    """The reply with its tokens decoded by themselves: behind a prompt, many tokenizers decode a space that encoding would double."""
    text = tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    own = [token for token in tokens if token not in tokenizer.all_special_ids]
    return replace(reply, text=text, respelt=own not in spellings(tokenizer, text))


def allowed_rank(rank: int) -> int:
    """The smallest rank of LoRA adapters that vLLM has a kernel for and that holds `rank`."""
    return next((allowed for allowed in LORA_RANKS if rank <= allowed), rank)


def _prompt_seed(seed: int, prompt_id: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}:{prompt_id}".encode()).digest()[:4])


def _log_sum(values: Sequence[float]) -> float:
    largest = max(values)
    return largest + math.log(sum(math.exp(value - largest) for value in values))
