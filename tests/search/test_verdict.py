"""The answer of a search: does it hold the truth as often as it says, and does it claim no more than it knows?"""

import math
from dataclasses import asdict
from itertools import combinations
from statistics import fmean

import numpy as np
import pytest
from scipy import stats

from orchestrator.search.leaderboard import BASE
from orchestrator.search.ledger import Event, Events
from orchestrator.search.trial import Trial
from orchestrator.search.verdict import Answer, Difference, answer, finalists
from tests.search import events as made
from tests.search.finals import NOISE, Finals, noisy

EQUAL = {"simpo": 0.5, "ipo": 0.5, "rpo_bwd": 0.5, "dpo": 0.5}
SEARCHES = 300


def told(events: list[Event]) -> Answer:
    """The answer of a ledger that has one."""
    found = answer(Events(events))
    assert found is not None
    return found


def difference(found: Answer, second: str) -> Difference:
    """The best's difference to another."""
    return next(each for each in found.differences if each.second == second)


def joined(*names: str) -> list[Event]:
    """Trials that the search scored, named by their methods."""
    return [event for name in names for event in (made.joined(Trial(name, name.split("-")[0], {}, {})), made.scored(name, 10, 60.0))]


@pytest.mark.parametrize(
    "finals",
    [
        Finals(EQUAL),
        Finals({"simpo": 0.6, "ipo": 0.55, "dpo": 0.5}),
        Finals(EQUAL, seeds=2, seed_deviation=0.03),
        Finals({"simpo": 0.6, "dpo": 0.5}, seeds=2, seed_deviation=0.05),
        Finals({"simpo": 0.6, "ipo": 0.55, "dpo": 0.5}, seeds=3, seed_deviation=0.02),
    ],
    ids=["equals", "different", "equals with seeds", "two with far apart seeds", "three seeds"],
)
def test_the_intervals_hold_the_truth_of_all_at_once_and_equals_are_told_apart_no_more_often_than_said(finals: Finals) -> None:
    chance = np.random.default_rng(7)
    truth = {name: 100 * rate for name, rate in finals.rates.items()} | {BASE: 50.0}
    rates_held, differences_held, wrong = [], [], []
    for _ in range(SEARCHES):
        found = told(finals.events(chance))
        rates_held.append(all(each.low <= truth[each.trial] <= each.high for each in found.finalists))
        differences_held.append(all(each.low <= truth[each.first] - truth[each.second] <= each.high for each in found.differences))
        wrong.append(any(each.is_real and truth[each.first] == truth[each.second] for each in found.differences))
    assert fmean(rates_held) >= 0.93
    assert fmean(differences_held) >= 0.93
    assert fmean(wrong) <= 0.07


def test_a_difference_as_large_as_the_detectable_one_is_found_in_four_of_five_searches() -> None:
    chance = np.random.default_rng(8)
    claimed = fmean(told(Finals({"simpo": 0.55}).events(chance)).differences[0].detectable for _ in range(50))
    real = [told(Finals({"simpo": 0.5 + claimed / 100}).events(chance)).differences[0].is_real for _ in range(SEARCHES)]
    assert fmean(real) == pytest.approx(0.8, abs=0.07)


def test_more_seeds_find_a_difference_that_few_seeds_hide() -> None:
    chance = np.random.default_rng(9)
    rates = {"simpo": 0.62, "ipo": 0.5, "dpo": 0.5}
    share = {
        seeds: fmean(difference(told(Finals(rates, 100, seeds, 0.02).events(chance)), BASE).is_real for _ in range(60)) for seeds in (2, 4)
    }
    assert share[2] < share[4]
    assert share[4] > 0.9


def test_the_best_of_many_flatters_itself_on_the_searchs_prompts_and_not_on_fresh_ones() -> None:
    chance = np.random.default_rng(10)
    chosen_by, fresh = [], []
    for _ in range(60):
        levels = 0.5 + NOISE * chance.standard_normal(40)
        trials = {f"dpo-{number}": noisy(levels, chance) for number in range(30)}
        events = [event for name, found in trials.items() for event in (*joined(name)[:1], made.scored_by(name, 10, found))]
        best = told(events).best
        later = made.held_out(best.trial, noisy(0.5 + NOISE * chance.standard_normal(200), chance))
        chosen_by.append(best.win_rate)
        fresh.append(told([*events, later]).best.win_rate)
    assert fmean(chosen_by) > 53
    assert fmean(fresh) == pytest.approx(50, abs=1)


def test_the_intervals_hold_the_truth_also_of_finalists_that_were_chosen_for_their_luck_with_a_seed() -> None:
    chance = np.random.default_rng(14)
    held = []
    for _ in range(150):
        truth = {
            f"{'dpo' if number < 5 else 'simpo'}-{number}": rate for number, rate in enumerate(0.5 + 0.03 * chance.standard_normal(20))
        }
        luck = {name: 0.015 * chance.standard_normal() for name in truth}
        seen = {name: 100 * (rate + luck[name] + 0.025 * chance.standard_normal()) for name, rate in truth.items()}
        events = [event for name in truth for event in (*joined(name)[:1], made.scored(name, 10, seen[name]))]
        shared = NOISE * chance.standard_normal(100)
        for row in finalists(Events(events), 3):
            for seed, drawn in enumerate((luck[row.trial], 0.015 * chance.standard_normal())):
                events.append(made.held_out(row.trial, noisy(truth[row.trial] + drawn + shared, chance), seed))
        held.append(all(each.low <= 100 * truth[each.trial] <= each.high for each in told(events).finalists))
    assert fmean(held) >= 0.93


def two_by_two() -> tuple[dict[str, np.ndarray], list[Event]]:
    """Two finalists under two and three seeds on 30 prompts: seeds by prompts, and the ledger."""
    chance = np.random.default_rng(11)
    ease = 0.55 + 0.2 * chance.standard_normal(30)
    scores = {
        name: np.clip(ease + gain + 0.06 * chance.standard_normal((seeds, 1)) + 0.15 * chance.standard_normal((seeds, 30)), 0, 1)
        for name, gain, seeds in (("simpo", 0.1, 2), ("dpo", 0.0, 3))
    }
    held = [made.held_out(name, made.verdicts(*row.tolist()), seed) for name, rows in scores.items() for seed, row in enumerate(rows)]
    return scores, [*joined("simpo", "dpo"), *held]


def assert_wilsons(span: tuple[float, float], mean: float, error: float, quantile: float) -> None:
    """Each bound of a rate's lead over one half is a rate itself, and `mean` is `quantile` errors of that rate away from it."""
    trials = (0.5 + mean) * (0.5 - mean) / error**2
    for bound in span:
        rate = 0.5 + bound / 100
        assert abs(bound / 100 - mean) == pytest.approx(quantile * math.sqrt(rate * (1 - rate) / trials))
    assert span[0] < 100 * mean < span[1]


def test_the_figures_are_those_of_the_textbooks() -> None:
    scores, events = two_by_two()
    between = sum((len(rows) - 1) * rows.mean(1).var(ddof=1) for rows in scores.values()) / 3
    rest = [rows - rows.mean(0) - rows.mean(1, keepdims=True) + rows.mean() for rows in scores.values()]
    within = sum((residual**2).sum() / 29 / 30 for residual in rest) / 3
    scores[BASE] = np.full((1, 30), 0.5)
    seeds = {"simpo": 1 / 2, "dpo": 1 / 3, BASE: 0.0}
    plain = {}
    for first, second in combinations(scores, 2):
        gap = scores[first].mean(0) - scores[second].mean(0)
        of_prompts, per_seed = gap.var(ddof=1) / 30, seeds[first] + seeds[second]
        total = of_prompts + per_seed * (between - within)
        freedom = math.floor(total**2 / (of_prompts**2 / 29 + (per_seed * between) ** 2 / 3))
        plain[first, second] = gap.mean(), math.sqrt(total), freedom
    assert between > within
    ps = [2 * stats.t.sf(abs(mean) / error, freedom) for mean, error, freedom in plain.values()]
    by_size = np.argsort(ps)
    corrected = np.minimum(1, np.maximum.accumulate(np.sort(ps) * [3, 2, 1]))
    holm = {list(plain)[number]: p for number, p in zip(by_size, corrected, strict=True)}
    found = told(events)
    assert (found.best.trial, found.seed_deviation) == ("simpo", pytest.approx(100 * math.sqrt(between - within)))
    assert {(each.first, each.second) for each in found.differences} == {("simpo", "dpo"), ("simpo", BASE)}
    for each in found.differences:
        mean, error, freedom = plain[each.first, each.second]
        quantile = float(stats.t.ppf(1 - 0.05 / 3 / 2, freedom))
        half = quantile * error
        assert each.difference == pytest.approx(100 * mean)
        if each.second == BASE:
            assert_wilsons((each.low, each.high), mean, error, quantile)
        else:
            assert (each.low, each.high) == pytest.approx((100 * (mean - half), 100 * (mean + half)))
        assert each.p == pytest.approx(holm[each.first, each.second])
        assert each.detectable == pytest.approx(100 * (half + stats.t.ppf(0.8, freedom) * error))


def test_one_seed_and_one_finalist_are_a_plain_t_test_against_one_half() -> None:
    scores = [0.9, 0.4, 0.8, 0.6, 1.0, 0.7]
    found = told([*joined("simpo"), made.held_out("simpo", made.verdicts(*scores))])
    error = stats.sem(scores)
    p = 2 * stats.t.sf(abs(fmean(scores) - 0.5) / error, 5)
    assert found.seed_deviation is None
    assert [each.second for each in found.differences] == [BASE]
    assert found.differences[0].p == pytest.approx(p)
    # So few prompts leave much unseen.
    unseen = stats.norm.ppf(0.975) ** 2 / (6 + stats.norm.ppf(0.975) ** 2)
    assert found.best.low == pytest.approx(100 * fmean(scores) * (1 - unseen))
    assert (found.best.seeds, found.best.prompts) == (1, 6)


def test_the_best_is_compared_with_the_base_model_plain_dpo_and_the_runner_up_in_this_order() -> None:
    rates = {"dpo": 0.2, "simpo": 0.7, "ipo": 0.9, "rpo_bwd": 0.6}
    held = [made.held_out(name, made.verdicts(rate, rate, rate - 0.1)) for name, rate in rates.items()]
    found = told([*joined(*rates), *held])
    assert [each.trial for each in found.finalists] == ["ipo", "simpo", "rpo_bwd", "dpo"]
    assert [(each.first, each.second) for each in found.differences] == [("ipo", BASE), ("ipo", "dpo"), ("ipo", "simpo")]
    assert all(each.difference > 0 and each.low < each.difference < each.high for each in found.differences)


def test_a_best_that_is_plain_dpo_is_compared_with_the_base_model_and_the_runner_up_alone() -> None:
    held = [made.held_out("dpo", made.verdicts(0.9, 0.8, 0.9)), made.held_out("simpo", made.verdicts(0.5, 0.6, 0.5))]
    assert [each.second for each in told([*joined("dpo", "simpo"), *held]).differences] == [BASE, "simpo"]


def test_unreadable_verdicts_are_left_out_prompt_by_prompt_under_all_seeds() -> None:
    seeds = [made.verdicts(1.0, None, 0.5, 0.4), made.verdicts(0.0, 1.0, 0.7, None)]
    found = told([*joined("simpo"), *(made.held_out("simpo", each, seed) for seed, each in enumerate(seeds))])
    assert (found.best.prompts, found.best.win_rate) == (2, pytest.approx(100 * (0.5 + 0.6) / 2))


def test_two_finalists_are_compared_on_the_prompts_that_are_readable_of_both() -> None:
    held = [made.held_out("simpo", made.verdicts(0.9, 1.0, None, 0.8)), made.held_out("ipo", made.verdicts(None, 0.2, 0.9, 0.1))]
    assert difference(told([*joined("simpo", "ipo"), *held]), "ipo").difference == pytest.approx(100 * (0.8 + 0.7) / 2)


def test_without_two_prompts_in_common_nothing_is_known() -> None:
    held = [made.held_out("simpo", made.verdicts(0.9, 1.0, None, None)), made.held_out("ipo", made.verdicts(None, 0.2, 0.9, 0.1))]
    gap = difference(told([*joined("simpo", "ipo"), *held]), "ipo")
    assert (gap.low, gap.high, gap.p, gap.detectable, gap.is_real) == (-100, 100, 1.0, 100, False)
    assert gap.difference == pytest.approx(100 * (0.95 - 0.4))
    single = told([*joined("simpo"), made.held_out("simpo", made.verdicts(1.0))])
    assert (single.best.low, single.best.high, single.differences) == (0, 100, (Difference("simpo", BASE, 50.0, -50.0, 50.0, 1.0, 50.0),))
    unread = [made.held_out("simpo", made.verdicts(1.0, None), 0), made.held_out("simpo", made.verdicts(None, 1.0), 1)]
    assert not told([*joined("simpo"), *unread]).is_fresh


def test_finalists_that_agree_on_every_prompt_are_not_surely_equal() -> None:
    same = made.verdicts(*[1.0, 0.0, 0.5, 1.0] * 5)
    found = told([*joined("simpo", "ipo"), made.held_out("simpo", same), made.held_out("ipo", same)])
    gap = difference(found, found.finalists[1].trial)
    assert (gap.difference, gap.is_real) == (0.0, False)
    assert gap.low < 0 < gap.high
    always = told([*joined("simpo"), made.held_out("simpo", made.verdicts(*[1.0] * 100))])
    assert (always.best.win_rate, always.best.high) == (100.0, 100.0)
    assert 90 < always.best.low < 100


def test_few_prompts_that_say_almost_the_same_are_no_proof_either() -> None:
    found = told([*joined("simpo"), made.held_out("simpo", made.verdicts(0.99, 0.98, 0.999, 0.97, 0.995))])
    assert difference(found, BASE).p == 2 * 0.5**5
    assert found.best.low < 60
    alike = told([*joined("simpo"), made.held_out("simpo", made.verdicts(*[1 - 1e-11] * 50))])
    assert 90 < alike.best.low < alike.best.win_rate <= alike.best.high <= 100


def test_few_prompts_that_all_say_the_same_are_no_proof() -> None:
    always, never = made.verdicts(*[1.0] * 5), made.verdicts(*[0.0] * 5)
    alone = told([*joined("simpo"), made.held_out("simpo", always)])
    assert difference(alone, BASE).p == 2 * 0.5**5 and not difference(alone, BASE).is_real
    both = told([*joined("simpo", "ipo"), made.held_out("simpo", always), made.held_out("ipo", never)])
    # Of the three pairs the surest is corrected by all three.
    assert difference(both, "ipo").p == 3 * 2 * 0.5**5


def searched(rates: dict[str, float], trials: int) -> list[Event]:
    """A search without held-out prompts: the named trials, and others that were far behind."""
    chance = np.random.default_rng(12)
    named = rates | {f"orpo-{number}": 0.2 for number in range(trials - len(rates))}
    levels = {name: noisy(rate + np.zeros(50), chance) for name, rate in named.items()}
    return [event for name in named for event in (*joined(name)[:1], made.scored_by(name, 10, levels[name]))]


def test_on_fresh_prompts_it_does_not_matter_how_many_checkpoints_the_search_scored() -> None:
    _, events = two_by_two()
    assert told([*events, made.scored("simpo", 5, 55.0), made.scored("dpo", 5, 45.0)]) == told(events)


def test_without_held_out_prompts_the_answer_is_the_searchs_own_and_says_so() -> None:
    found = told(searched({"simpo": 0.7, "ipo": 0.65, "rpo_bwd": 0.6, "dpo": 0.5}, 6))
    assert not found.is_fresh
    assert [each.trial for each in found.finalists] == ["simpo", "ipo", "dpo"]
    assert [each.second for each in found.differences] == [BASE, "dpo", "ipo"]
    assert (found.seed_deviation, found.best.checkpoint) == (None, "simpo/10/model")
    differences = [{**asdict(each), "is_real": each.is_real} for each in found.differences]
    assert found.as_dict() == {**asdict(found), "differences": differences}


def test_without_held_out_prompts_the_more_checkpoints_were_scored_the_more_is_asked_of_the_best() -> None:
    rates = {"simpo": 0.57, "dpo": 0.5}
    few, more, many = (difference(told(searched(rates, trials)), BASE) for trials in (2, 4, 40))
    assert few.difference == many.difference
    assert more.p < 1
    assert more.p == pytest.approx(few.p / math.comb(3, 2) * math.comb(5, 2))
    assert many.high - many.low > few.high - few.low
    assert many.p == pytest.approx(few.p / 3 * math.comb(41, 2)) or many.p == 1.0


def test_without_held_out_prompts_a_lucky_trial_on_few_prompts_is_not_the_best() -> None:
    whole, lucky = made.verdicts(*[0.6, 0.5] * 20), made.verdicts(1.0, 0.9, 1.0)
    events = [*joined("simpo")[:1], made.scored_by("simpo", 20, whole), *joined("dpo")[:1], made.scored_by("dpo", 10, lucky)]
    assert told(events).best.trial == "simpo"


def test_no_choice_among_equals_on_the_searchs_own_prompts_is_called_better_than_the_base_model() -> None:
    chance = np.random.default_rng(13)
    wrong = []
    for _ in range(100):
        trials = {f"dpo-{number}": noisy(np.full(40, 0.5), chance) for number in range(20)}
        events = [event for name, found in trials.items() for event in (*joined(name)[:1], made.scored_by(name, 10, found))]
        wrong.append(any(each.is_real for each in told(events).differences))
    assert fmean(wrong) <= 0.07


def test_the_finalists_are_the_best_and_the_best_plain_dpo_where_it_is_not_among_them() -> None:
    rates = {"simpo": 70.0, "ipo": 65.0, "dpo-a": 60.0, "dpo-b": 55.0}
    events = [event for name, rate in rates.items() for event in (*joined(name)[:1], made.scored(name, 10, rate))]
    named = {count: [row.trial for row in finalists(Events([made.baseline(), *events]), count)] for count in (1, 2, 3, 9)}
    assert named == {
        1: ["simpo", "dpo-a"],
        2: ["simpo", "ipo", "dpo-a"],
        3: ["simpo", "ipo", "dpo-a"],
        9: ["simpo", "ipo", "dpo-a", "dpo-b"],
    }


def test_while_nothing_is_scored_there_is_no_answer() -> None:
    assert answer(Events()) is None
    assert answer(Events([made.baseline(), *joined("dpo")[:1]])) is None


def test_the_same_difference_told_from_the_other_side_changes_its_sign_alone() -> None:
    one = Difference("a", "b", 2.0, -1.0, 5.0, 0.2, 4.0)
    assert one.turned() == Difference("b", "a", -2.0, -5.0, 1.0, 0.2, 4.0)
    assert one.turned().turned() == one
