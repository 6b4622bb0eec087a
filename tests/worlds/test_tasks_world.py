"""The world of tasks, made tiny: what it hands over can be loaded, trained on and evaluated."""

from pathlib import Path

import pytest

from evals.generation import Decoding
from evals.judges.verifier import is_right
from evals.prompts import EvaluationPrompt, Message, load_prompts
from orchestrator.preferences.reading import load_pairs
from orchestrator.worlds.recipes import TasksRecipe, World
from orchestrator.worlds.small_model import Sample, sample
from orchestrator.worlds.tasks_world import _pair_rows, make_tasks_world
from orchestrator.worlds.teaching import enlarge

TINY = TasksRecipe(
    steps=30,
    crowd_steps=10,
    batch=16,
    slip_rate=0.2,
    train_prompts=52,
    samples_per_prompt=16,
    search_prompts=20,
    held_out_prompts=30,
    temperature=1.0,
)
PROMPT = EvaluationPrompt("0", (Message("user", "What is 1 + 1?"),), answer="2")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_tasks_world(TINY, tmp_path_factory.mktemp("worlds"), lambda line: None)


def test_no_prompt_is_in_two_splits(world: World):
    searched, held_out = ({prompt.messages for prompt in load_prompts(file).prompts} for file in (world.prompts, world.held_out))
    trained = {pair.prompt for pair in load_pairs(world.train)}
    assert (len(searched), len(held_out)) == (20, 30)
    assert trained
    assert not searched & held_out | trained & (searched | held_out)


def test_the_rewards_tell_right_from_wrong(world: World):
    for pair in load_pairs(world.train):
        assert (pair.chosen_reward, pair.rejected_reward) == (1.0, 0.0)


def test_the_same_recipe_makes_the_same_files(world: World, tmp_path: Path):
    again = make_tasks_world(TINY, tmp_path, lambda line: None)
    assert again.train.parent.name == world.train.parent.name
    for first, second in ((world.prompts, again.prompts), (world.held_out, again.held_out), (world.train, again.train)):
        assert first.read_bytes() == second.read_bytes()


def test_the_model_loads_and_stops_at_its_end_token(world: World):
    from transformers import AutoTokenizer, GenerationConfig, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(world.model)
    model = LlamaForCausalLM.from_pretrained(world.model)
    assert GenerationConfig.from_pretrained(world.model).eos_token_id == tokenizer.eos_token_id
    assert model.config.hidden_size // model.config.num_attention_heads >= 32
    greedy = sample(model, tokenizer, [PROMPT.messages, PROMPT.messages], 1, Decoding(max_tokens=16))
    assert greedy[0] == greedy[1]


def test_the_tokenizer_gives_back_what_it_was_given(world: World):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(world.model)
    for text in ("owl 42 is", "  two spaces\n\tand a tab", "Grüße, 世界"):
        assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text
    turns = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "owl"}]
    opened = tokenizer.apply_chat_template(turns[:1], tokenize=False, add_generation_prompt=True)
    assert tokenizer.apply_chat_template(turns, tokenize=False) == opened + "owl" + tokenizer.eos_token


def test_enlarged_weights_compute_the_same(world: World):
    import torch
    from transformers import LlamaForCausalLM

    model = LlamaForCausalLM.from_pretrained(world.model)
    tokens = torch.arange(20).reshape(2, 10)
    before = model(input_ids=tokens).logits
    enlarge(model, 4.0)
    torch.testing.assert_close(model(input_ids=tokens).logits, before)


def test_right_answers_are_paired_with_different_wrong_ones():
    samples = [Sample(text, True) for text in ("2", "3", "3", "4", "5", "")] + [Sample("22222", False)]
    rows = list(_pair_rows(PROMPT, samples, 2))
    assert [(row["chosen"], row["rejected"]) for row in rows] == [("2", "3"), ("2", "4")]
    assert is_right(PROMPT, str(rows[0]["chosen"]))


@pytest.mark.parametrize("texts", [("2", "2"), ("3", "4")])
def test_a_prompt_whose_answers_are_equally_right_makes_no_pair(texts: tuple[str, ...]):
    assert not list(_pair_rows(PROMPT, [Sample(text, True) for text in texts], 2))
