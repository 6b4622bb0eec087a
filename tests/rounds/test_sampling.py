"""Questions to a model about training prompts, and which replies are kept."""

import json
from pathlib import Path

from evals.asking import Reply, question_key
from evals.prompts import EvaluationPrompt, Message
from evals.vllm_engine import as_sample
from evals.whole_files import save_rows
from orchestrator.preferences.reading import load_pairs
from orchestrator.rounds.sampling import Sampled, of_round, prompt_of, prompts_of, questions, sampled
from orchestrator.settings import GenerationSettings
from orchestrator.worlds.small_model import make_tokenizer
from tests.conftest import make_pairs

PROMPTS = [EvaluationPrompt(str(number), (Message("user", f"question {number}"),)) for number in range(3)]


def test_each_sample_of_a_prompt_has_a_seed_and_a_memory_of_its_own() -> None:
    asked = questions(PROMPTS[:1], GenerationSettings(responses=3))
    assert [question.attempt for question in asked] == [0, 1, 2]
    assert len({question_key("model", question) for question in asked}) == 3
    assert all(question.as_sample for question in asked)


def test_repeated_empty_and_unfinished_replies_are_left_out_and_counted() -> None:
    replies = [
        *(Reply("one", tokens=2, logprob=-1.0), Reply("two", tokens=4, logprob=-1.0), Reply("one", tokens=2, logprob=-1.0)),
        *(Reply("same", tokens=1), Reply("same", tokens=1), Reply(" ", tokens=1)),
        *(Reply("cut", tokens=9, finished=False), Reply(failure="too long"), Reply(failure="too long")),
    ]
    found = sampled(PROMPTS, replies)
    (kept,) = found.sampled
    assert (kept.prompt.id, kept.texts, kept.mean_logps) == ("0", ("one", "two"), (-0.5, -0.25))
    counts = {"alike": 1, "without": 1, "repeated": 2, "empty": 1, "unfinished": 1, "failed": 1, "prompts": 3, "replies": 9, "kept": 1}
    assert {name: found.as_dict()[name] for name in counts} == counts
    assert found.tokens == 2 + 4 + 2 + 1 + 1 + 1 + 9


def test_a_prompt_is_named_by_its_content_and_comes_once() -> None:
    pairs = make_pairs(40)
    prompts = prompts_of(pairs)
    assert len(prompts) == len({pair.prompt for pair in pairs}) < len(pairs)
    assert prompts[0] == prompt_of(pairs[0].prompt)


def test_rounds_take_the_next_prompts_and_begin_again_when_they_are_used_up() -> None:
    assert [[prompt.id for prompt in of_round(PROMPTS, number, 2)] for number in (1, 2, 3)] == [["0", "1"], ["2", "0"], ["1", "2"]]
    assert of_round(PROMPTS, 2, None) == PROMPTS == of_round(PROMPTS, 2, 5)


def test_responses_with_rewards_are_rows_that_the_reader_of_data_takes(tmp_path: Path) -> None:
    sample = Sampled(PROMPTS[0], ("one", "two"), (-0.5, -0.25))
    file = tmp_path / "deep" / "responses.jsonl"
    save_rows(file, [{**sample.as_dict(), "rewards": [0.0, 1.0]}])
    (pair,) = load_pairs(file)
    assert (pair.prompt, pair.chosen, pair.rejected) == (PROMPTS[0].messages, "two", "one")
    assert json.loads(file.read_text())["mean_logps"] == [-0.5, -0.25]
    assert list(file.parent.iterdir()) == [file]


def test_a_sample_behind_a_prompt_is_the_text_whose_encoding_gives_its_tokens() -> None:
    tokenizer = make_tokenizer(["fox dog bird"], vocabulary=300, context=64)
    tokens = [*tokenizer("fox dog", add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    engines_text = Reply(" fox dog", tokens=len(tokens))
    assert tokenizer(engines_text.text, add_special_tokens=False)["input_ids"] != tokens[:-1]
    sample = as_sample(tokenizer, engines_text, tokens)
    assert (sample.text, sample.respelt) == ("fox dog", False)
    assert tokenizer(sample.text, add_special_tokens=False)["input_ids"] == tokens[:-1]


def test_a_sample_that_encoding_spells_otherwise_is_told() -> None:
    tokenizer = make_tokenizer(["fox fox fox"], vocabulary=300, context=64)
    letters = [tokenizer.get_vocab()[letter] for letter in ("\u0120", "f", "o", "x")]
    assert as_sample(tokenizer, Reply(), letters).respelt
