"""What a search will take: against published figures where there are any, and against its own rules."""

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.errors import SettingsError
from orchestrator.estimates import memory
from orchestrator.estimates.amounts import Amounts
from orchestrator.estimates.checking import checked
from orchestrator.estimates.effort import effort
from orchestrator.estimates.estimate import Work, estimated
from orchestrator.estimates.memory import GIB, engine_memory, training_memory
from orchestrator.estimates.obstacles import obstacles
from orchestrator.estimates.pace import Measured, measured, stated
from orchestrator.estimates.ranges import Range
from orchestrator.estimates.shape import Shape
from orchestrator.policy import head
from orchestrator.policy.gpus import Gpu, gpu_named
from orchestrator.search.ledger import Events
from orchestrator.search.plan import make_plan
from orchestrator.settings import Settings

# Llama-3-8B, by its configuration.
EIGHT = Shape(8_030_261_248, 8_030_261_248, 6_979_588_096, 525_336_576, 32, 4096, 14336, 1024, 8192)
AMOUNTS = Amounts(pairs=60_000, pair_tokens=900, response_tokens=600, prompts=400, held_out=405, prompt_tokens=300)


def settings(**sections: Any) -> Settings:
    """A search on GPUs, with these sections changed."""
    given: dict[str, Any] = {
        "model": {"base": "m"},
        "data": {"train": "t.jsonl"},
        "evaluation": {"prompts": "p.jsonl", "held_out": "h.jsonl", "max_tokens": 1024, "max_model_len": 4096},
        "training": {"zero_stage": 3, "gradient_checkpointing": True},
        "judge": {"kind": "openai", "model": "j", "input_price": 2.0, "output_price": 8.0},
        "search": {"trials": 12},
        "cluster": {"workers": 8, "gpus_per_worker": 1, "gpus_per_engine": 1},
    }
    for name, values in sections.items():
        given[name] = given.get(name, {}) | values
    return Settings.model_validate(given)


def work(given: Settings, gpu: str | None = "H100", **changes: Any) -> Work:
    """What is known of a search over pairs of a usual length."""
    plan = make_plan(given, AMOUNTS.pairs, 9.0, AMOUNTS.prompts, AMOUNTS.held_out)
    return Work(given, EIGHT, AMOUNTS, plan, given.search.trials, gpu_named(gpu) if gpu else None, **changes)


@pytest.mark.parametrize(("stage", "gigabytes"), [(0, 120.0), (1, 31.4), (2, 16.6), (3, 1.88)])
def test_weights_gradients_and_optimiser_take_what_the_paper_says(stage: int, gigabytes: float) -> None:
    # Rajbhandari et al. 2020, Figure 1: 7.5 billion weights on 64 GPUs.
    shape = replace(EIGHT, total=7_500_000_000, trained=7_500_000_000)
    found = training_memory(shape, settings(training={"zero_stage": stage}).training, 64, False, False)
    buffers = 2 * 5e8 * (3 if stage == 3 else 1)  # What it gathers and sends at a time is not in the figure.
    assert (found.weights + found.gradients + found.optimiser) * GIB == pytest.approx(1e9 * gigabytes + buffers, rel=0.01)


def test_four_bits_are_those_of_the_layers_and_neither_of_the_embeddings_nor_of_the_last_layer() -> None:
    training = settings(training={"lora": {"quantization": "nf4"}, "zero_stage": 2}).training
    found = training_memory(EIGHT, training, 1, False, False)
    assert found.weights == pytest.approx((0.56 * EIGHT.trunk + 2 * (EIGHT.total - EIGHT.trunk)) / GIB)


def test_a_reference_whose_logits_are_compared_is_held_whole_and_one_whose_scores_are_cached_is_not() -> None:
    training = settings().training
    assert training_memory(EIGHT, training, 8, True, True).reference == pytest.approx(2 * EIGHT.total / GIB)
    assert training_memory(EIGHT, training, 8, False, True).reference == 0
    longest = 3 * AMOUNTS.response_tokens
    assert estimated(work(settings(search={"methods": ["dpo"]}))).memory == training_memory(EIGHT, training, 8, False, True, longest)
    assert estimated(work(settings(search={"methods": ["epsilon_dpo"]}))).memory == training_memory(EIGHT, training, 8, True, True, longest)


def test_a_long_pairs_logits_are_held_at_once() -> None:
    usual, long, longest = (
        training_memory(EIGHT, settings(training={"lora": {}}).training, 8, False, False, tokens).head for tokens in (500, 3000, 10**6)
    )
    assert usual * GIB == pytest.approx(3 * (512 << 20))
    assert long * GIB == pytest.approx(12 * 3000 * EIGHT.head / EIGHT.hidden)
    assert longest == pytest.approx(head.LONGEST_PAIR * usual)
    assert (memory.AT_ONCE, memory.FEWEST_ROWS) == (head.LOGITS_AT_ONCE * head.ON_GPUS, head.FEWEST_ROWS)
    assert memory.LONGEST_PAIR == head.LONGEST_PAIR


def test_a_worker_begins_with_the_whole_model_and_scores_the_reference_with_another_however_many_share_the_state() -> None:
    # Llama-3-70B: a copy takes 131 GiB, a thirty-second of weights, gradients and optimiser 33.
    seventy = Shape(70_553_706_496, 70_553_706_496, 69_000_000_000, 1_050_673_152, 80, 8192, 28672, 1024, 8192)
    whole = 2 * seventy.total / GIB
    crowded = replace(work(settings(cluster={"workers": 32}, search={"methods": ["dpo"]})), shape=seventy)
    memory = estimated(crowded).memory
    assert memory is not None and memory.training.high < 79 < whole
    assert memory.starting == pytest.approx(whole)
    logits = 12 * 3 * AMOUNTS.response_tokens * seventy.head / seventy.hidden / GIB
    assert memory.scoring == pytest.approx(whole + memory.gradients + memory.optimiser + whole / 32 + logits, abs=0.2)
    assert memory.total.expected > memory.scoring
    (refused,) = [each for each in obstacles(crowded, estimated(crowded)) if each.where == "model.base"]
    assert refused.is_certain and "begins with the whole model, 131 GiB" in refused.what
    # One copy fits, and what lies beside it does not; where the scores are in the cache, none is loaded.
    larger = replace(crowded, gpu=gpu_named("H200"))
    (warned,) = [each for each in obstacles(larger, estimated(larger)) if each.where == "[training]"]
    assert "the scores that are not in the cache yet" in warned.what and not warned.is_certain


def test_an_adapter_s_reference_is_the_policy_without_it_and_other_models_are_copies() -> None:
    lora = {"training": {"zero_stage": 2, "lora": {}}}
    alone, other = (estimated(work(settings(**lora, model=model))).memory for model in ({}, {"reference": {"x": 1.0}}))
    assert alone is not None and other is not None
    assert alone.scoring == 0 < other.scoring


def test_what_the_optimiser_s_step_holds_is_part_of_what_a_worker_needs() -> None:
    # Qwen2.5-7B over two H100s, stage 2: weights, and 20 bytes for each of the half whose state a worker has.
    seven = Shape(7_615_616_512, 7_615_616_512, 6_525_618_176, 544_997_376, 28, 3584, 18944, 512, 32_768)
    shared = replace(work(settings(training={"zero_stage": 2}, cluster={"workers": 2}, search={"methods": ["simpo"]})), shape=seven)
    memory = estimated(shared).memory
    assert memory is not None and sum(memory.parts.values()) < 79
    assert memory.stepping * GIB == pytest.approx((2 + 20 / 2) * seven.total)
    (refused,) = [each for each in obstacles(shared, estimated(shared)) if each.where == "[training]"]
    assert refused.is_certain
    # Stage 3 goes by groups of a billion weights.
    whole, spread = (training_memory(EIGHT, settings().training, count, False, False) for count in (1, 16))
    assert whole.stepping - whole.resting == pytest.approx(8e9 / GIB)
    assert spread.stepping - spread.resting == pytest.approx(8 * EIGHT.total / 16 / GIB)


def test_an_engine_that_takes_turns_finds_no_room_beside_a_worker_at_rest_and_finds_some_with_a_smaller_share() -> None:
    # Llama-3.2-3B on one H100: weights and optimiser take 41.9 GiB, and an engine 0.6 of 79.
    three = Shape(3_212_749_824, 3_212_749_824, 2_818_747_392, 394_002_432, 28, 3072, 8192, 1024, 131_072)
    turns = {"turns": True, "workers": 1, "gpus_per_worker": 0.6, "gpus_per_engine": 0.4}
    crowded, roomy = (
        replace(work(settings(training={"zero_stage": 2}, cluster=turns, evaluation=share, search={"methods": ["dpo"]})), shape=three)
        for share in ({}, {"gpu_memory_utilization": 0.4})
    )
    (refused,) = [each for each in obstacles(crowded, estimated(crowded)) if each.where == "cluster.turns"]
    assert refused.is_certain and refused.cure.startswith("lower evaluation.gpu_memory_utilization")
    assert "holds 43 GiB" in refused.what and "takes 47" in refused.what
    assert [each for each in obstacles(roomy, estimated(roomy)) if each.where == "cluster.turns"] == []


def test_an_engine_has_room_for_as_many_sequences_as_its_cache_has_bytes() -> None:
    # 128 KiB a token: 2 (keys, values) x 2 bytes x 32 layers x 1024.
    assert EIGHT.cache_bytes == 131_072
    found = engine_memory(EIGHT, gpu=79.0, share=0.6, longest=4096)
    assert found.sequences == pytest.approx((79 * 0.6 - 2 * EIGHT.total / GIB - 2) * 2 / 1.0, rel=1e-6)


def test_an_engine_over_two_gpus_has_half_the_weights_on_each_and_the_caches_of_both() -> None:
    (one, two) = (estimated(work(settings(cluster={"gpus_per_engine": gpus}))).engine for gpus in (1, 2))
    assert one is not None and two is not None
    assert two.weights == pytest.approx(one.weights / 2)
    assert two.sequences == pytest.approx(2 * one.sequences * two.cache / one.cache)


@pytest.mark.parametrize("scheduler", ["racing", "asha", "median"])
def test_a_search_that_stops_early_is_expected_to_train_and_judge_less_than_a_whole_one(scheduler: str) -> None:
    stopping, whole = (settings(search={"scheduler": name, "trials": 24}) for name in (scheduler, "none"))
    found, all_of_it = (effort(each, make_plan(each, 60_000, 0, 400, 405), 24) for each in (stopping, whole))
    assert all_of_it.checkpoints.expected == 24 * whole.training.checkpoints
    assert found.checkpoints.low < found.checkpoints.expected < all_of_it.checkpoints.expected
    assert found.judgments.low < found.judgments.expected < all_of_it.judgments.expected


def test_without_stops_the_judgments_are_counted_exactly() -> None:
    given = settings(search={"scheduler": "none", "trials": 7}, finals={"finalists": 2, "seeds": 3})
    plan = make_plan(given, 60_000, 0, 400, 405)
    found = estimated(work(given))
    by_checkpoint = sum(rung.prompts for rung in plan.rungs)
    assert found.judgments.expected == 7 * by_checkpoint + 400 + 3 * 3 * 405
    assert found.calls.expected > found.judgments.expected  # Some pairs are asked about in both orders.


def test_money_is_calls_times_what_a_call_costs() -> None:
    once, both = (estimated(work(settings(judge={"order": order}))) for order in ("seeded", "both"))
    assert once.cost is not None and both.cost is not None
    assert both.calls.expected == 2 * both.judgments.expected
    assert both.cost.expected / once.cost.expected == pytest.approx(both.calls.expected / once.calls.expected)
    assert estimated(work(settings(judge={"input_price": 0, "output_price": 0}))).cost is None


def test_a_model_that_has_no_room_is_refused_and_one_that_has_is_not() -> None:
    crowded = work(settings(training={"zero_stage": 0}))
    (refused, *_) = obstacles(crowded, estimated(crowded))
    assert refused.is_certain
    assert "GPU has 79" in refused.what
    assert "zero_stage" in refused.cure
    roomy = work(settings())
    assert [each for each in obstacles(roomy, estimated(roomy)) if each.is_certain] == []


def test_an_a100_of_which_nobody_says_how_large_it_is_refuses_nothing_for_sure_and_the_other_name_is_told() -> None:
    # Ray calls those of 40 and of 80 GB "A100".
    given = settings(training={"zero_stage": 1})
    unsaid, small, large = (obstacles(each, estimated(each)) for each in (work(given, gpu) for gpu in ("A100", "A100-40G", "A100-80G")))
    assert [each.is_certain for each in small] == [True] * len(unsaid)
    assert [(each.is_certain, each.what) for each in unsaid] == [(False, each.what) for each in small]
    assert all("--gpu A100-80G" in each.cure for each in unsaid)
    assert len(large) < len(small)


def test_an_engine_answers_more_prompts_at_a_time_where_vllm_takes_more() -> None:
    # Of the same traffic, a GPU of 80 GB reads the weights once for four times as many, unless it is an A100.
    crowd = replace(AMOUNTS, prompts=5000)
    hundred = replace(gpu_named("H100"), bandwidth=2.0e12)
    more, fewer = (stated(gpu, settings(), EIGHT, crowd, None) for gpu in (hundred, gpu_named("A100-80G")))
    assert more is not None and fewer is not None
    read = [2 * EIGHT.total / together + (300 + 150) * EIGHT.cache_bytes for together in (1024, 256)]
    assert fewer.answer.expected / more.answer.expected == pytest.approx(read[1] / read[0])


def test_an_engine_without_room_for_one_sequence_and_a_full_disk_are_refused() -> None:
    small = work(settings(), gpu="L4")
    assert any(each.where == "[evaluation]" for each in obstacles(small, estimated(small)))
    roomy = work(settings())
    assert [each.where for each in obstacles(roomy, estimated(roomy), free_disk=1.0) if each.is_certain] == ["--dir"]


def test_a_budget_below_what_is_expected_is_told_before_it_is_spent() -> None:
    tight = work(settings(budget={"judgments": 10}))
    (told,) = [each for each in obstacles(tight, estimated(tight)) if each.where == "budget.judgments"]
    assert not told.is_certain


def test_no_time_is_guessed_where_no_speed_is_known() -> None:
    found = estimated(work(settings(), gpu=None))
    assert found.hours is None
    assert found.gpu_hours is None
    assert stated(gpu_named("H100"), settings(), EIGHT, AMOUNTS, None) is not None
    assert stated(Gpu("A6000", 47.5, None, None), settings(), EIGHT, AMOUNTS, None) is None


def test_twice_the_steps_take_twice_the_training_and_two_gangs_half_of_it() -> None:
    pace = measured(Measured((9.0, 2.0, 2.0), 1.0, 5.0, 64, 6.4, 30.0))
    assert pace.step.expected == 2.0  # The first step warms up.
    assert pace.answer.expected == pytest.approx(0.1)
    one, twice, two = (
        estimated(work(settings(**changed), pace=pace)).parts["training"].expected
        for changed in ({"training": {"steps": 400}}, {"training": {"steps": 800}}, {"training": {"steps": 400}, "cluster": {"gangs": 2}})
    )
    assert twice / one == pytest.approx(2, rel=0.05)
    assert two == pytest.approx(one / 2)


def test_a_gpu_is_found_by_the_name_that_its_driver_gives_it() -> None:
    assert gpu_named("NVIDIA H100 80GB HBM3") == gpu_named("h100")
    assert gpu_named("NVIDIA A100-SXM4-80GB").memory > gpu_named("A100").memory
    assert gpu_named("NVIDIA L40").memory == gpu_named("NVIDIA L40S").memory > gpu_named("nvidia l4").memory
    assert gpu_named("NVIDIA GeForce RTX 4090") == gpu_named("rtx_4090") == gpu_named("RTX4090")
    assert gpu_named("A100 80GB PCIe") == gpu_named("A100-80G")
    assert gpu_named("NVIDIA GB200") != gpu_named("NVIDIA B200")
    with pytest.raises(SettingsError, match="no GPU 'NVIDIA GH200 480GB'"):
        gpu_named("NVIDIA GH200 480GB")
    with pytest.raises(SettingsError, match=r"no GPU 'H20'.*\n.*\n.*did you mean 'H200'"):
        gpu_named("H20")


def test_a_ledger_tells_which_figures_lay_where_they_were_expected() -> None:
    told = {"judgments": Range(90, 100, 110).as_dict(), "checkpoints": Range(1, 1, 1).as_dict(), "cost": None, "hours": None}
    score = {"event": "score", "time": 2.0, "trial": "a", "step": 1, "verdicts": {str(n): 1.0 for n in range(95)}}
    card = {"scorecard": {"judged": 95, "unreadable": 0, "cost": 0.0}}
    events = [{"event": "begin", "time": 1.0, "gpus": 0.0}, {"event": "estimate", "time": 1.0, **told}, score | card]
    found = {each.name: each for each in checked(Events(events))}
    assert set(found) == {"judgments", "checkpoints trained"}
    assert (found["judgments"].real, found["judgments"].held) == (95, True)
    assert (found["checkpoints trained"].real, found["checkpoints trained"].held) == (0, False)
    assert checked(Events(events[:1])) == []
