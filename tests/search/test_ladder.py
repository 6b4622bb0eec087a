"""A proxy prunes only while it surely ranks trials as the judge does, and some of what it would prune is judged all the same."""

import math
import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import SettingsError
from orchestrator.search.ladder import (
    Action,
    Measure,
    RankCorrelation,
    Trust,
    correlations,
    figures,
    may_prune,
    prune,
    rank_correlation,
)
from orchestrator.search.ledger import Events
from orchestrator.settings import LadderSettings
from orchestrator.settings_file import check_settings
from tests.search.events import scored

RULES = LadderSettings(prune=True)
TRUSTED = Trust(True, "it is trusted", RankCorrelation(20, 0.9, 0.7))
# Few different values, so that there are ties on either side, on both, and throughout.
PAIRS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=2, max_size=25)
VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=20)


def sides(pairs: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """The proxy's figures and the judge's."""
    return [float(a) for a, _ in pairs], [float(b) for _, b in pairs]


def agreeing(count: int) -> list[tuple[float, float]]:
    """Trials that both sides rank alike."""
    return [(number / count, 40.0 + number) for number in range(count)]


@settings(deadline=None)
@given(PAIRS)
def test_tau_is_the_tau_b_of_scipy(pairs: list[tuple[float, float]]) -> None:
    stats = pytest.importorskip("scipy.stats")
    found, expected = rank_correlation(*sides(pairs)).tau, stats.kendalltau(*sides(pairs), variant="b").statistic
    if math.isnan(expected):
        assert found is None
    else:
        assert found == pytest.approx(expected, abs=1e-12)


@settings(deadline=None)
@given(PAIRS)
def test_the_bound_lies_below_tau_and_only_order_counts(pairs: list[tuple[float, float]]) -> None:
    proxy, truth = sides(pairs)
    found = rank_correlation(proxy, truth)
    assert -1 <= found.low <= (1 if found.tau is None else max(found.tau, -1))
    assert rank_correlation([math.exp(value) for value in proxy], [3 * value - 7 for value in truth]) == found
    assert rank_correlation(truth, proxy) == found
    turned = rank_correlation([-value for value in proxy], truth).tau
    assert (None if turned is None else -turned) == found.tau


def test_agreement_of_many_trials_is_surer_than_that_of_few_and_of_fewer_than_five_says_nothing() -> None:
    bounds = [rank_correlation(*sides(agreeing(count))).low for count in (8, 12, 20, 40)]
    assert bounds == sorted(bounds) and 0.75 < bounds[0] < bounds[-1] < 1
    assert [rank_correlation(*sides(agreeing(count))).low for count in (2, 4)] == [-1, -1]
    assert rank_correlation([], []) == RankCorrelation(0)
    assert rank_correlation([0.5] * 9, list(range(9))) == RankCorrelation(9)


def test_a_figure_that_one_trial_alone_makes_vary_gives_no_bound() -> None:
    found = rank_correlation([0.0] * 19 + [1.0], [float(number) for number in range(20)])
    assert found.tau is not None and found.low == -1


@pytest.mark.parametrize(("tau", "most"), [(0.3, 0.02), (0.5, 0.05)])
def test_a_proxy_no_better_than_the_bound_is_ever_trusted_in_few_searches(tau: float, most: float) -> None:
    assert share_ever_trusted(tau, 400) <= most


def test_a_good_proxy_is_trusted_in_most_searches() -> None:
    assert share_ever_trusted(0.9, 100) >= 0.9


def share_ever_trusted(tau: float, searches: int) -> float:
    """The share of searches of 20 trials in which a proxy of normal figures is trusted after any of the trials."""
    chance = random.Random(5)
    ever = 0
    for _ in range(searches):
        pairs = [normal_pair(chance, tau) for _ in range(20)]
        ever += any(may_prune(pairs[:count], RULES).may_prune for count in range(1, 21))
    return ever / searches


def normal_pair(chance: random.Random, tau: float) -> tuple[float, float]:
    """Two normal variables with this tau between them."""
    rho, first = math.sin(math.pi * tau / 2), chance.gauss(0, 1)
    return first, rho * first + math.sqrt(1 - rho**2) * chance.gauss(0, 1)


@pytest.mark.parametrize(
    ("pairs", "rules", "reason"),
    [
        (agreeing(7), RULES, "7 trials have both figures, and 8 are needed"),
        ([(0.5, float(n)) for n in range(9)], RULES, "one of the figures is the same for all trials"),
        ([(n % 3, float(n)) for n in range(12)], RULES, "and 0.5 is needed"),
        (agreeing(12), LadderSettings(), "it could prune, and ladder.prune is off"),
    ],
)
def test_a_proxy_that_may_not_prune_says_why(pairs: Sequence[tuple[float, float]], rules: LadderSettings, reason: str) -> None:
    trust = may_prune(pairs, rules)
    assert not trust.may_prune and reason in trust.reason
    decision = prune(trust, {"a": 0.1, "b": 0.9}, "a", rules, below_before=1)
    assert (decision.action, decision.reason) == (Action.JUDGE, trust.reason)


def test_a_proxy_loses_its_right_when_the_correlation_falls_and_can_win_it_back() -> None:
    good, bad = agreeing(12), [(-float(n), 60.0 + n) for n in range(6)]
    assert may_prune(good, RULES).may_prune
    assert not may_prune(good + bad, RULES).may_prune
    assert may_prune(good + bad + [(1.0 + n, 70.0 + n) for n in range(60)], RULES).may_prune


@settings(deadline=None)
@given(VALUES, st.sampled_from([0.25, 0.3, 0.5, 0.7, 0.75]), st.integers(1, 5))
def test_the_best_share_is_judged_and_one_in_so_many_of_the_rest(values: list[float], keep: float, audit: int) -> None:
    rules = RULES.model_copy(update={"keep": keep, "audit": audit})
    named = {f"{number:02d}": value for number, value in enumerate(values)}
    below = 0
    actions: dict[str, Action] = {}
    for trial in named:
        decision = prune(TRUSTED, named, trial, rules, below)
        actions[trial], below = decision.action, below + decision.is_below
    kept = [named[trial] for trial, action in actions.items() if action is Action.JUDGE]
    rest = [named[trial] for trial, action in actions.items() if action is not Action.JUDGE]
    assert len(kept) >= keep * len(values)
    assert not rest or max(rest) < min(kept)
    assert len(rest) <= (1 - keep) * len(values)
    assert sum(action is Action.AUDIT for action in actions.values()) == math.ceil(len(rest) / audit)


def test_an_unknown_figure_is_judged_and_stands_in_nobodys_way() -> None:
    values = {"a": 0.1, "b": 0.9, "c": math.nan}
    assert prune(TRUSTED, values, "c", RULES, below_before=1).is_judged
    assert prune(TRUSTED, values, "d", RULES, below_before=1).is_judged
    found = prune(TRUSTED, values, "a", RULES, below_before=1)
    assert found.action is Action.PRUNE and not found.is_judged
    assert found.reason == "0.1 is number 2 of 2 at this step, of which the best 1 are judged; it is trusted"
    assert prune(TRUSTED, {"a": 0.1}, "a", RULES, below_before=1).is_judged


def told(trial: str, step: int, win_rate: float, **proxies: float) -> dict[str, Any]:
    """A score with what the proxies said."""
    validation = proxies.pop("validation", None)
    training = {} if validation is None else {"validation_accuracy": validation}
    return scored(trial, step, win_rate) | {"training": training, "proxies": proxies}


def test_figures_are_those_of_each_trials_last_step_and_the_most_verdicts_there() -> None:
    few = told("a", 8, 90.0, validation=0.8)
    few["scorecard"]["judged"] = 10
    events = [
        told("a", 8, 60.0, validation=0.7),
        few,
        told("a", 4, 55.0, validation=0.6),
        told("b", 4, 50.0, validation=0.5, reward_model=0.4),
        scored("c", 4, 45.0),
        {key: value for key, value in told("e", 4, 0.0, validation=0.1).items() if key != "scorecard"},
        told("f", 4, 70.0, validation=math.nan),
    ]
    assert figures(events, Measure.VALIDATION) == [(0.7, 60.0), (0.5, 50.0)]
    assert figures(events, Measure.REWARD_MODEL) == [(0.4, 50.0)]


def test_every_proxy_with_figures_has_its_correlation_the_cheapest_first() -> None:
    found = correlations(Events(told(f"{n}", 4, 40.0 + n, local_judge=0.3 + n / 40, validation=0.9 - n / 40) for n in range(12)))
    assert [(of.rung, of.measured.tau, of.measured.trials) for of in found] == [("validation", -1, 12), ("local_judge", 1, 12)]
    assert str(found[1].measured) == "tau 1.00 (95 % above 0.95) over 12 trials"
    assert correlations(Events([scored("a", 4, 50.0)])) == []


BASE = {"model": {"base": "m"}, "data": {"train": "t"}, "evaluation": {"prompts": "p"}, "judge": {"kind": "verifier"}}


@pytest.mark.parametrize(
    ("ladder", "message"),
    [
        ({"rungs": ["validation", "reward_model"]}, "reward_model is among the rungs and has no model: give [ladder.reward_model]"),
        ({"rungs": ["local_judge"]}, "local_judge is among the rungs and has no model"),
        ({"reward_model": {"kind": "reward_model", "model": "m"}}, "reward_model has a model and is not among the rungs"),
        ({"rungs": ["validation", "validation"]}, "rungs names a measure twice"),
        ({"rungs": [], "prune": True}, "prune is on and there is no measure to go by"),
        ({"keep": 1.0}, "ladder.keep"),
    ],
)
def test_a_ladder_that_cannot_stand_is_refused(ladder: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as refused:
        check_settings(BASE | {"ladder": ladder}, "settings.toml")
    assert message in refused.value.what


def test_pruning_by_held_out_pairs_needs_some() -> None:
    with pytest.raises(SettingsError, match="hold some out"):
        check_settings(BASE | {"ladder": {"prune": True}, "data": {"train": "t", "validation_pairs": 0}}, "settings.toml")


def test_a_whole_ladder_is_accepted() -> None:
    models = {"reward_model": {"kind": "reward_model", "model": "r"}, "local_judge": {"kind": "vllm", "model": "j"}}
    ladder = {"rungs": ["validation", "reward_model", "local_judge"], "prune": True, **models}
    assert check_settings(BASE | {"ladder": ladder}, "settings.toml").ladder.local_judge is not None
