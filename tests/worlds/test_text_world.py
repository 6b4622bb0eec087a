"""The world of real judged answers; the tests that need the data are skipped where it is absent."""

from pathlib import Path

import pytest

from evals.errors import DataFormatError, SettingsError
from evals.prompts import load_prompts
from orchestrator.preferences.reading import load_pairs
from orchestrator.worlds.recipes import TextRecipe, World
from orchestrator.worlds.text_world import make_text_world

DATA = Path(__file__).parents[3] / "shared" / "data" / "preference_text"
PAIRS, REFERENCES = DATA / "alpaca_eval2_pairs.jsonl.gz", DATA / "baseline_outputs.jsonl.gz"
TINY = TextRecipe(
    str(PAIRS), str(REFERENCES), vocabulary=400, context=128, steps=2, batch=2, train_pairs=50, search_prompts=10, held_out_prompts=10
)
needs_data = pytest.mark.skipif(not PAIRS.is_file(), reason=f"{PAIRS} is absent")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_text_world(TINY, tmp_path_factory.mktemp("worlds"), lambda line: None)


@needs_data
def test_no_instruction_is_in_two_splits(world: World):
    searched, held_out = load_prompts(world.prompts).prompts, load_prompts(world.held_out).prompts
    evaluated = {prompt.messages for prompt in (*searched, *held_out)}
    assert len(evaluated) == 20
    assert not evaluated & {pair.prompt for pair in load_pairs(world.train)}
    assert all(prompt.reference for prompt in (*searched, *held_out))


@needs_data
def test_every_pair_has_the_judges_scores_and_room_for_an_answer(world: World):
    from transformers import AutoTokenizer

    from orchestrator.preferences.tokenization import prompt_ids

    tokenizer = AutoTokenizer.from_pretrained(world.model)
    pairs = load_pairs(world.train)
    assert len(pairs) == TINY.train_pairs
    for pair in pairs:
        assert pair.chosen_reward is not None
        assert pair.rejected_reward is not None
        assert pair.chosen_reward > pair.rejected_reward
        assert len(prompt_ids(tokenizer, pair.prompt)) <= TINY.context // 2


@needs_data
def test_asking_for_more_prompts_than_there_are_is_refused(tmp_path: Path):
    with pytest.raises(SettingsError, match="instructions short enough"):
        make_text_world(TextRecipe(str(PAIRS), str(REFERENCES), held_out_prompts=5000), tmp_path, print)


def test_a_missing_file_is_named_with_its_cure(tmp_path: Path):
    with pytest.raises(DataFormatError, match=r"absent\.gz") as refusal:
        make_text_world(TextRecipe(str(tmp_path / "absent.gz"), "also"), tmp_path, print)
    assert refusal.value.where
    assert refusal.value.cure


def test_a_file_that_is_not_gzipped_is_refused(tmp_path: Path):
    file = tmp_path / "plain.gz"
    file.write_text('{"index": 0}\n')
    with pytest.raises(DataFormatError, match="cannot be unpacked"):
        make_text_world(TextRecipe(str(file), str(file)), tmp_path, print)
