"""The real vLLM engine, warm in a process of its own, so that its threads and process groups do not reach other tests."""

import itertools
import math
import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from evals.asking import Question, Reply
from evals.chat_models.vllm_model import VllmModel
from evals.errors import MachineError, ModelError, UserError
from evals.generation import Decoding, Response
from evals.judges.pairwise import PairwiseJudge
from evals.judges.pairwise_prompt import ask_for_token, candidate_is_first
from evals.judging import Match, Verdict
from evals.prompts import EvaluationPrompt, Message
from evals.vllm_engine import VllmEngine
from orchestrator.policy.loading import load_tokenizer
from orchestrator.preferences.tokenization import prompt_ids
from tests.evals.tiny_model import make_adapter, next_token_logprobs
from tests.hostile.damages import DAMAGES, Damage

pytestmark = pytest.mark.cluster

CONTEXT = 512
GREEDY = Decoding(max_tokens=12)
# Longer than a block of the prefix cache (128 tokens on CPU), which stores whole blocks only.
PROMPTS = [EvaluationPrompt(str(n), (Message("user", "the quick brown fox " * 60 + str(n)),)) for n in range(3)]
ENGINE = VllmEngine(max_model_len=CONTEXT)
NUMBERS = itertools.count()

InEngine = Callable[..., Any]


@pytest.fixture(scope="module")
def in_engine() -> Iterator[InEngine]:
    """Call a function of this module in the process of the engine."""
    os.environ["PYTHONWARNINGS"] = "ignore"
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        yield lambda function, *arguments: process.submit(function, *arguments).result(timeout=400)
        process.submit(close).result(timeout=120)


def answer_with(model: Path, adapters: list[str]) -> list[list[str]]:
    questions = [Question(p.id, p.messages, GREEDY, adapter=adapter) for adapter in adapters for p in PROMPTS]
    texts = [reply.text for reply in ENGINE.answer(str(model), questions)]
    return [texts[start : start + len(PROMPTS)] for start in range(0, len(texts), len(PROMPTS))]


def close() -> None:
    ENGINE.close()


def answer(model: Path, prompts: list[EvaluationPrompt] = PROMPTS, decoding: Decoding = GREEDY) -> list[Response]:
    return ENGINE.respond(str(model), prompts, decoding)


def answer_with_a_stale_cache(model: Path) -> list[Response]:
    with patch.object(ENGINE._llm, "reset_prefix_cache"):
        return answer(model)


def answer_between_sleeps(*models: Path) -> list[list[Response]]:
    ENGINE._sleeps = True
    answers = []
    for model in models:
        answers.append(answer(model))
        assert ENGINE._is_asleep
    ENGINE._sleeps = False
    return answers


def engine_number() -> int:
    """Number the engines that were built; an address may come back."""
    if not hasattr(ENGINE._llm, "number"):
        setattr(ENGINE._llm, "number", next(NUMBERS))  # noqa: B010 (an attribute that the class does not have)
    return getattr(ENGINE._llm, "number")  # noqa: B009


def fail_to_swap(model: Path) -> None:
    with patch.object(ENGINE._llm, "collective_rpc", side_effect=ConnectionError("lost in mid-swap")):
        answer(model)


def interrupt(model: Path) -> None:
    answer(model)
    assert ENGINE._llm is not None
    with patch.object(ENGINE._llm.llm_engine, "step", side_effect=InterruptedError("stopped in mid-answer")):
        answer(model)


def token_logprobs(model: Path, conversations: list[tuple[Message, ...]], tokens: tuple[str, ...]) -> list[dict[str, float]]:
    questions = [Question(str(number), turns, labels=tokens) for number, turns in enumerate(conversations)]
    return [dict(reply.logprobs) for reply in ENGINE.answer(str(model), questions)]


def judge(model: Path, matches: list[Match]) -> list[Verdict]:
    return PairwiseJudge(VllmModel(ENGINE, str(model))).judge(matches)


def prompts_of_a_chat(model: Path, conversations: list[tuple[Message, ...]]) -> list[list[int]]:
    """The prompt tokens that vLLM itself makes of conversations."""
    from vllm import SamplingParams

    answer(model)
    assert ENGINE._llm is not None
    chats: Any = [[turn.as_dict() for turn in turns] for turns in conversations]
    return [list(output.prompt_token_ids or ()) for output in ENGINE._llm.chat(chats, SamplingParams(max_tokens=1), use_tqdm=False)]


def replies_with_logprobs(model: Path, temperature: float) -> list[Reply]:
    asked = [Question(p.id, p.messages, Decoding(temperature, 1.0, 5), as_sample=True) for p in PROMPTS[:2]]
    return ENGINE.answer(str(model), asked)


def test_the_tokens_of_training_are_those_of_vllms_own_chat(in_engine: InEngine, model_a: Path) -> None:
    tokenizer = load_tokenizer(str(model_a))
    system, first, second = Message("system", "be brief"), Message("user", "say fox"), Message("user", "m or M? ")
    conversations = [(first,), (system, first), (system, first, Message("assistant", "fox"), second)]
    trained = [list(prompt_ids(tokenizer, conversation)) for conversation in conversations]
    assert in_engine(prompts_of_a_chat, model_a, conversations) == trained


@pytest.mark.parametrize("temperature", [0.0, 2.0])
def test_a_replys_log_probability_is_the_models_own_before_temperature(in_engine: InEngine, model_a: Path, temperature: float) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model, tokenizer = AutoModelForCausalLM.from_pretrained(model_a), load_tokenizer(str(model_a))
    for prompt, reply in zip(PROMPTS, in_engine(replies_with_logprobs, model_a, temperature), strict=False):
        asked, said = list(prompt_ids(tokenizer, prompt.messages)), tokenizer(reply.text, add_special_tokens=False)["input_ids"]
        if len(said) != reply.tokens:
            continue  # Other tokens than the model's spell the same text.
        with torch.no_grad():
            logps = model(torch.tensor([asked + said])).logits[0, len(asked) - 1 : -1].log_softmax(-1)
        expected = float(logps.gather(1, torch.tensor(said)[:, None]).sum())
        assert reply.logprob == pytest.approx(expected, abs=1e-3)


def test_swapping_to_other_weights_and_back_restores_the_exact_answers(in_engine: InEngine, model_a: Path, model_b: Path) -> None:
    first, other, again = in_engine(answer, model_a), in_engine(answer, model_b), in_engine(answer, model_a)
    assert [response.prompt_id for response in first] == ["0", "1", "2"]
    assert all(a.text != b.text for a, b in zip(first, other, strict=True))
    assert again == first


def test_an_engine_that_sleeps_between_answers_gives_the_same(in_engine: InEngine, model_a: Path, model_b: Path) -> None:
    models = [model_a, model_a, model_b, model_a]
    awake = [in_engine(answer, model) for model in models]
    assert in_engine(answer_between_sleeps, *models) == awake
    assert in_engine(answer, model_b) == awake[2]


def test_without_clearing_the_cache_the_new_weights_would_answer_from_the_old(in_engine: InEngine, model_a: Path, model_b: Path) -> None:
    in_engine(answer, model_b)
    right = in_engine(answer, model_a)
    in_engine(answer, model_b)
    assert in_engine(answer_with_a_stale_cache, model_a) != right
    in_engine(answer, model_b)
    assert in_engine(answer, model_a) == right


def test_a_checkpoint_written_over_another_at_the_same_path_is_seen(
    in_engine: InEngine, model_a: Path, model_b: Path, tmp_path: Path
) -> None:
    place = Path(shutil.copytree(model_a, tmp_path / "checkpoint"))
    before = in_engine(answer, place)
    shutil.copy(model_b / "model.safetensors", place / "model.safetensors")
    assert in_engine(answer, place) == in_engine(answer, model_b) != before


def test_weights_are_swapped_in_one_engine_and_a_wider_model_gets_its_own(
    in_engine: InEngine, model_a: Path, model_b: Path, wide_model: Path
) -> None:
    wide = in_engine(answer, wide_model)
    engine = in_engine(engine_number)
    small = in_engine(answer, model_a)
    assert in_engine(engine_number) != engine
    engine = in_engine(engine_number)
    in_engine(answer, model_b)
    assert in_engine(answer, model_a) == small
    assert in_engine(engine_number) == engine
    assert in_engine(answer, wide_model) == wide


@pytest.mark.parametrize(("fault", "kind"), [(fail_to_swap, ConnectionError), (interrupt, InterruptedError)])
def test_an_engine_that_failed_at_work_answers_rightly_afterwards(
    in_engine: InEngine, model_a: Path, model_b: Path, fault: Callable[[Path], None], kind: type[Exception]
) -> None:
    right = in_engine(answer, model_a)
    with pytest.raises(kind):
        in_engine(fault, model_b)
    assert in_engine(answer, model_a) == right


def test_a_sampled_answer_does_not_depend_on_its_batch_and_does_on_its_seed(in_engine: InEngine, model_a: Path) -> None:
    sampled = Decoding(temperature=1.0, max_tokens=12)
    together = in_engine(answer, model_a, PROMPTS, sampled)
    assert in_engine(answer, model_a, PROMPTS[2:], sampled) == together[2:]
    assert in_engine(answer, model_a, PROMPTS, Decoding(temperature=1.0, max_tokens=12, seed=1)) != together


def test_a_response_cut_off_by_its_bound_is_not_finished(in_engine: InEngine, model_a: Path) -> None:
    (response,) = in_engine(answer, model_a, PROMPTS[:1], Decoding(max_tokens=3))
    assert (response.tokens, response.finished) == (3, False)


def test_no_prompts_are_no_responses(in_engine: InEngine, model_a: Path) -> None:
    assert in_engine(answer, model_a, []) == []


def test_a_prompt_longer_than_the_context_is_refused_by_its_id(in_engine: InEngine, model_a: Path) -> None:
    prompts = [PROMPTS[0], EvaluationPrompt("war-and-peace", (Message("user", "prince " * CONTEXT),))]
    with pytest.raises(UserError, match=rf"has \d+ tokens .* the context is {CONTEXT} tokens") as refusal:
        in_engine(answer, model_a, prompts)
    assert "war-and-peace" in refusal.value.where
    assert "max_model_len" in refusal.value.cure
    assert len(in_engine(answer, model_a)) == 3


def test_a_directory_that_is_no_model_is_refused_and_the_engine_lives_on(in_engine: InEngine, model_a: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no config\.json"):
        in_engine(answer, tmp_path)
    assert len(in_engine(answer, model_a)) == 3


def test_an_architecture_that_vllm_does_not_know_is_a_model_error(in_engine: InEngine, model_a: Path, tmp_path: Path) -> None:
    strange = Path(shutil.copytree(model_a, tmp_path / "strange"))
    config = (strange / "config.json").read_text().replace("LlamaForCausalLM", "NobodyForCausalLM").replace('"llama"', '"nobody"')
    (strange / "config.json").write_text(config)
    with pytest.raises(ModelError, match="vLLM cannot load"):
        in_engine(answer, strange)
    assert len(in_engine(answer, model_a)) == 3


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_model_is_refused_with_its_place_and_nothing_of_it_is_run(
    damage: Damage, in_engine: InEngine, model_a: Path, tmp_path: Path
) -> None:
    model = Path(shutil.copytree(model_a, tmp_path / "model"))
    damage(model)
    in_engine(os.putenv, "DAA_HARM", str(tmp_path / "harm"))
    with pytest.raises(ModelError) as refused:
        in_engine(answer, model)
    assert refused.value.code == "DAA-0300" and str(model) in refused.value.where and refused.value.cure
    assert not (tmp_path / "harm").exists()


def fail_to_load(model: Path, kind: str) -> None:
    import torch

    with patch("vllm.LLM", side_effect=getattr(torch, kind)("CUDA error")):
        VllmEngine().answer(str(model), [Question("1", PROMPTS[0].messages, GREEDY)])


def test_a_gpu_that_fails_or_is_full_is_not_told_as_a_fault_of_the_model(in_engine: InEngine, model_a: Path) -> None:
    for kind in ("OutOfMemoryError", "AcceleratorError"):
        with pytest.raises(RuntimeError, match="CUDA error"):
            in_engine(fail_to_load, model_a, kind)


def fail_for_memory(model: Path) -> None:
    # As vLLM 0.32 words it, in vllm/v1/worker/utils.py.
    full = "Free memory on device cuda:0 (1/80 GiB) on startup is less than desired GPU memory utilization (0.6, 48 GiB). Decrease"
    with patch("vllm.LLM", side_effect=ValueError(full)):
        VllmEngine().answer(str(model), [Question("1", PROMPTS[0].messages, GREEDY)])


def test_a_lack_of_memory_is_told_with_its_own_cure_and_is_no_fault_of_the_model(in_engine: InEngine, model_a: Path) -> None:
    with pytest.raises(MachineError, match="less than desired GPU memory") as told:
        in_engine(fail_for_memory, model_a)
    assert "end what else holds that memory" in told.value.cure


def test_token_probabilities_equal_those_of_transformers(in_engine: InEngine, model_a: Path) -> None:
    conversations = [prompt.messages for prompt in PROMPTS]
    for told, turns in zip(in_engine(token_logprobs, model_a, conversations, ("m", "M")), conversations, strict=True):
        assert told == pytest.approx(next_token_logprobs(model_a, turns, ("m", "M")), abs=1e-3)


def test_a_label_that_the_tokenizer_splits_is_refused(in_engine: InEngine, model_a: Path) -> None:
    with pytest.raises(UserError, match="no single token for 'xyzzy'"):
        in_engine(token_logprobs, model_a, [PROMPTS[0].messages], ("m", "xyzzy"))


def test_the_local_judge_gives_the_candidates_share_by_transformers(in_engine: InEngine, model_b: Path) -> None:
    matches = [Match(EvaluationPrompt(str(n), (Message("user", f"question {n}"),)), f"one {n}", f"two {n}") for n in range(6)]
    tie = Match(PROMPTS[0], "same", "same")
    *verdicts, tied = in_engine(judge, model_b, [*matches, tie])
    assert tied.candidate_score == 0.5
    assert {verdict.candidate_shown_first for verdict in verdicts} == {True, False}
    for match, verdict in zip(matches, verdicts, strict=True):
        first = candidate_is_first(match.prompt, 0)
        logprobs = next_token_logprobs(model_b, ask_for_token(match, first), ("m", "M"))
        ours, theirs = ("m", "M") if first else ("M", "m")
        assert verdict.candidate_score == pytest.approx(1 / (1 + math.exp(logprobs[theirs] - logprobs[ours])), abs=1e-3)


def test_adapters_of_one_base_answer_in_one_batch_each_as_itself(in_engine: InEngine, model_a: Path, tmp_path: Path) -> None:
    plain = [response.text for response in in_engine(answer, model_a)]
    adapters = [str(make_adapter(tmp_path / str(n), model_a, seed=n, scale=float(n > 0))) for n in range(3)]
    nothing, one, other = in_engine(answer_with, model_a, adapters)
    assert nothing == plain
    assert one != plain != other != one
    engine = in_engine(engine_number)
    assert in_engine(answer_with, model_a, [adapters[2]]) == [other]
    assert [response.text for response in in_engine(answer, Path(adapters[1]))] == one
    assert in_engine(engine_number) == engine


def test_sampled_prompts_that_do_not_fit_into_one_pass_are_all_answered(in_engine: InEngine, model_a: Path) -> None:
    texts = [f"{n} " + "the quick brown fox " * 55 for n in range(60)]
    prompts = [EvaluationPrompt(str(n), (Message("user", text),)) for n, text in enumerate(texts)]
    several = in_engine(answer, model_a, prompts, Decoding(temperature=0.7, max_tokens=4))
    assert [response.prompt_id for response in several] == [prompt.id for prompt in prompts]
    alone = in_engine(answer, model_a, prompts[-3:], Decoding(temperature=0.7, max_tokens=4))
    assert [response.text for response in several[-3:]] == [response.text for response in alone]
