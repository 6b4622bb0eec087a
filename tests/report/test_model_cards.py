"""A card says what the ledger says, to the hub and to people, and no text of a run can change its form."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from orchestrator.export.found import find_trained
from orchestrator.report.model_cards import Publication, Trained, model_card
from orchestrator.report.plain_text import plain
from orchestrator.search.trial import Trial
from orchestrator.settings import LoraSettings
from tests.export.left_runs import BEST, FINDING, WEAK, left_search, settings_of

Find = Callable[[str], Trained]


@pytest.fixture
def find(tmp_path: Path) -> Find:
    """Find a trial of a search whose checkpoints nobody reads."""
    (tmp_path / "model").mkdir()
    run = left_search(tmp_path / "run", tmp_path / "model", settings_of("someone/base"))
    return lambda name: find_trained(run, name)


def test_neither_the_card_nor_the_settings_beside_it_hold_the_query_of_an_address(find: Find) -> None:
    trained = find("best")
    data = trained.settings.data.model_copy(update={"train": "https://host/pairs.jsonl?part=canary"})
    signed = replace(trained, settings=trained.settings.model_copy(update={"data": data}))
    assert "https://host/pairs.jsonl" in text_of(signed).replace("\\", "")
    assert "canary" not in text_of(signed) + json.dumps(signed.reproduction().json_ready())


def text_of(trained: Trained, **how: str) -> str:
    return model_card(trained, Publication(**how))


def test_the_hub_reads_base_model_licences_data_tags_and_each_score_as_one_of_its_own_prompts(find: Find) -> None:
    data: Any = ModelCard(text_of(find("best"), licence="apache-2.0", data_licence="cc-by-4.0")).data
    assert data["base_model"] == "someone/base"
    assert data["license"] == "apache-2.0"
    assert data["data_license"] == "cc-by-4.0"
    assert data["datasets"] == ["someone/pairs"]
    assert data["library_name"] == "transformers"
    assert {"simpo", "preference-optimization"} <= set(data["tags"])
    assert [(each.dataset_name, each.metric_value) for each in data.eval_results] == [
        ("held-out prompts", 65.62),
        ("the search's prompts", 60.0),
    ]


def test_a_licence_that_nobody_gave_is_unknown_and_one_that_the_hub_does_not_list_is_named(find: Find) -> None:
    assert ModelCard(text_of(find("best"))).data["license"] == "unknown"
    named = ModelCard(text_of(find("best"), licence="Llama 3 Community")).data
    assert (named["license"], named["license_name"]) == ("other", "Llama 3 Community")


def test_people_read_method_paper_hyperparameters_data_judge_versions_and_how_to_do_it_again(find: Find) -> None:
    text = text_of(find("best"))
    for told in (
        "| method | simpo |",
        "arXiv:2405.14734",
        "| beta | 2.5 |",
        "| gamma_over_beta | 0.5 |",
        "| learning_rate | 0.0003 |",
        "| batch_size | 16 |",
        "| data | someone/pairs |",
        "held-out prompts: judge verifier",
        "prefers the chosen response | of 75.0 % of 8 held-out pairs",
        "torch 2.13.0",
        "daa train training.json",
        "Spent: ",
    ):
        assert told in text, told


def test_a_number_stands_with_its_interval_and_its_seeds(find: Find) -> None:
    text = text_of(find("best"))
    assert "| held-out prompts | 65.6 (5" in text
    assert "| 40 | 0 | 80 | 0, 1 |" in text
    assert "| the search's prompts | 60.0 (55.0–65.0) | 100 | 2 | 80 | 0 |" in text
    assert "The weights are those of seed 0, which alone wins 68.8 (" in text


def test_the_best_tells_the_answer_of_its_search_and_another_trial_that_it_is_not_the_best(find: Find) -> None:
    best, weak = find("best"), find(WEAK.id)
    assert f"- {BEST.id} wins 65.6 %" in text_of(best)
    assert "not the best" not in text_of(best)
    assert f"This is not the best trial of its search, which is {BEST.id}." in text_of(weak)


def test_what_a_guard_found_is_told_and_stays_one_line(find: Find) -> None:
    assert f"- a guard found: {plain(FINDING)}\n" in text_of(find("best"))
    quiet = find("best")
    assert "no guard" in text_of(replace(quiet, scores=[replace(score, findings=()) for score in quiet.scores]))


def test_no_text_of_a_run_adds_a_picture_a_link_or_a_heading_to_the_card(find: Find) -> None:
    hostile = "\r# heading ![x](https://x) [click](https://x) <img src=x>"
    best = find("best")
    scores = [replace(score, judge=f"judge {hostile}", findings=(hostile,)) for score in best.scores]
    text = text_of(replace(best, scores=scores, sentences=[hostile]), base=hostile, data_licence=hostile).split("\n---\n", 1)[1]
    assert text.count("heading") > 5 and "```sh\nvllm serve" in text
    assert not re.search(r"(?<!\\)!?\[\w+(?<!\\)\]|(?<!\\)<img|[\r\n] *# heading", text)


def test_what_is_not_known_is_called_unknown(find: Find) -> None:
    bare = replace(find("best"), scores=(), versions={}, training={}, step=None)
    text = text_of(bare)
    assert "Unknown: this run judged nothing." in text
    assert "| versions | not written down |" in text
    assert "win_rate" not in text.split("---")[1]


def test_a_method_that_cannot_be_found_from_here_has_a_card_all_the_same(find: Find) -> None:
    own = replace(find("best"), trial=Trial("001-mine", "nowhere:Mine", {"gamma": 1.5}, {}))
    text = text_of(own)
    assert "| method | nowhere:Mine |" in text
    assert "| gamma | 1.5 |" in text
    assert "| paper | unknown |" in text


def test_a_run_that_took_over_anothers_training_says_so(find: Find) -> None:
    assert "went on with the training of 001-x from step 10" in text_of(replace(find("best"), took_over=("001-x", 10)))


@pytest.mark.parametrize(("rank", "room"), [(4, 8), (16, 16), (17, 32), (200, 256)])
def test_an_adapter_is_served_with_room_for_its_rank(rank: int, room: int, find: Find) -> None:
    lora = LoraSettings(rank=rank)
    settings = find("best").settings
    settings = settings.model_copy(update={"training": settings.training.model_copy(update={"lora": lora})})
    text = text_of(replace(find("best"), settings=settings), form="adapter")
    assert f"vllm serve someone/base --enable-lora --max-lora-rank {room} --lora-modules {BEST.id}=PATH" in text


def test_a_trial_of_several_rounds_says_that_they_shared_its_steps(find: Find) -> None:
    rounds = {"count": 1, "scorers": [{"kind": "length"}]}
    best = replace(find("best"), settings=settings_of("someone/base", rounds=rounds))
    said = "trained its 3 rounds one after the other within these steps"
    assert said not in text_of(best)
    of_three = replace(best, trial=replace(best.trial, rounds={"count": 3}))
    assert said in text_of(of_three)
    assert said not in text_of(replace(of_three, command="rounds"))
