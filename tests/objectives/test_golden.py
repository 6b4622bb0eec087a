"""Losses, gradients and states equal those of the authors' and peers' own code, where the vectors are at hand.

SETTINGS says how each vector's method is spelled here: the name in METHODS and the hyperparameters.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from orchestrator.objectives import METHODS, Objective
from orchestrator.policy.head import ResponseHead, Wanted
from orchestrator.policy.scores import PairScores, ResponseScores, map_tensors
from orchestrator.policy.scoring import beta_step
from orchestrator.selection.alignment_potential import alignment_potential, top_pairs
from tests.objectives.scores import after

VECTORS = Path(__file__).parents[3] / "shared" / "golden" / "methods.json"
pytestmark = pytest.mark.skipif(not VECTORS.is_file(), reason="the authors' vectors are not beside this checkout")

Hyperparameters = Mapping[str, Any]
SETTINGS: dict[str, Callable[[Hyperparameters], tuple[str, dict[str, Any]]]] = {
    "dpo": lambda h: ("dpo", {"beta": h["beta"]}),
    "cdpo": lambda h: ("cdpo", {"beta": h["beta"], "label_smoothing": h["label_smoothing"]}),
    "robust_dpo": lambda h: ("robust_dpo", {"beta": h["beta"], "label_smoothing": h["label_smoothing"]}),
    "ipo_length_normalized": lambda h: ("ipo", {"beta": h["beta"]}),
    "ipo_summed": lambda h: ("ipo", {"beta": h["beta"], "length_normalized": False}),
    "hinge": lambda h: ("hinge", {"beta": h["beta"]}),
    "exo_pair": lambda h: ("exo_pref", {"beta": h["beta"], "label_smoothing": h["label_smoothing"]}),
    "nca_pair": lambda h: ("nca", {"beta": h["beta"]}),
    "bco_pair_no_shift": lambda h: ("bco", {"beta": h["beta"], "shift": False}),
    "bco_pair_shift": lambda h: ("bco", {"beta": h["beta"]}),
    "sppo_hard": lambda h: ("sppo_hard", {"beta": h["beta"]}),
    "apo_zero": lambda h: ("apo_zero", {"beta": h["beta"]}),
    "apo_down": lambda h: ("apo_down", {"beta": h["beta"]}),
    "discopop": lambda h: ("discopop", {"beta": h["beta"], "tau": h["discopop_tau"]}),
    "sigmoid_norm": lambda h: ("ln_dpo", {"beta": h["beta"]}),
    "f_dpo_forward_kl": lambda h: ("f_dpo", {"beta": h["beta"], "divergence": "forward_kl"}),
    "f_dpo_js_divergence": lambda h: ("f_dpo", {"beta": h["beta"], "divergence": "js"}),
    "dpo_plus_sft (RPO of Liu et al.)": lambda h: ("dpo_sft", {"beta": h["beta"], "eta": h["loss_weights"][1]}),
    "aot": lambda h: ("aot", {"beta": h["beta"], "label_smoothing": h["label_smoothing"]}),
    "aot_unpaired": lambda h: ("aot_unpaired", {"beta": h["beta"], "label_smoothing": h["label_smoothing"]}),
    "ld_dpo": lambda h: ("ld_dpo", {"beta": h["beta"], "ld_alpha": h["ld_alpha"]}),
    "nemo_rl_dpo": lambda h: ("dpo", {"beta": h["beta"]}),
    "nemo_rl_dpo_avg": lambda h: ("ln_dpo", {"beta": h["beta"]}),
    "simpo": lambda h: ("simpo", {"beta": h["beta"], "gamma_over_beta": h["gamma_beta_ratio"], "label_smoothing": h["label_smoothing"]}),
    "simpo_hinge": lambda h: ("simpo", {"beta": h["beta"], "gamma_over_beta": h["gamma_beta_ratio"], "loss_type": "hinge"}),
    "alphapo": lambda h: ("alphapo", {"alpha": h["alpha"], "beta": h["beta"], "gamma_over_beta": h["gamma"] / h["beta"]}),
    "cpo_preference_term": lambda h: ("cpo", {"beta": h["beta"], "sft_weight": 0.0}),
    "orpo_odds_ratio_term": lambda h: ("orpo", {"lambda_": h["lambda"], "sft_weight": 0.0}),
    "alpha_dpo": lambda h: ("alpha_dpo", _alpha_dpo(h)),
    "epsilon_dpo": lambda h: ("epsilon_dpo", {"beta": h["beta_initial"], "epsilon": h["epsilon"]}),
    "rpo_bwd_kl": lambda h: ("rpo_bwd", {"beta": h["beta"], "eta": h["eta (gt_reward_scale)"]}),
    "rpo_fwd_kl": lambda h: ("rpo_fwd", {"beta": h["beta"], "eta": h["eta (gt_reward_scale)"]}),
    "rpo_sq": lambda h: ("rpo_sq", {"beta": h["beta"], "eta": h["eta (gt_reward_scale)"]}),
    "nemo_dpo": lambda h: ("dpo", {"beta": h["beta"]}),
    "nemo_ipo": lambda h: ("ipo", {"beta": h["beta"], "length_normalized": False}),
    "exo_exo-pref": lambda h: ("exo_pref", {"beta": h["beta_pi"], "compat": True}),
    "exo_exo-rw": lambda h: ("exo_rw", {"beta": h["beta_pi"], "reward_beta": h["beta_r"]}),
    "exo_dpo-rw": lambda h: ("rpo_bwd", {"beta": h["beta_pi"], "eta": 1 / h["beta_r"]}),
    "minor_dpo": lambda h: ("minor_dpo", {"beta": h["beta"]}),
    "chipo": lambda h: ("chi_po", {"beta": h["beta"], "r_max": None}),
    "kto": lambda h: ("kto", {key: h[key] for key in ("beta", "desirable_weight", "undesirable_weight")}),
    "tdpo1": lambda h: ("tdpo1", {"beta": h["beta"]}),
    "tdpo2": lambda h: ("tdpo2", {"beta": h["beta"], "alpha": h["alpha"]}),
    "beta_dpo": lambda h: ("beta_dpo", {"beta": h["beta0"], "alpha": h["a"], "filter_ratio": 0.0}),
    "mrpo": lambda h: ("mrpo", {"beta": h["beta"], "eta": h["eta"], "alpha": None if h["alpha"] == "adaptive" else h["alpha"]}),
}
SELECTION = "M_AP selection"


def _alpha_dpo(h: Hyperparameters) -> dict[str, Any]:
    known = {"alpha": h["alpha"], "beta": h["beta"], "gamma_over_beta": h["gamma_beta_ratio"], "ema_decay": h["ema_decay"]}
    return known | {"compat": True}


def all_cases() -> list[Any]:
    """Every vector, numbered as in the file."""
    if not VECTORS.is_file():
        return []
    return [pytest.param(case, id=f"{number}-{case['method']}") for number, case in enumerate(json.loads(VECTORS.read_text())["cases"])]


def cases(*methods: str, without: bool = False) -> list[Any]:
    """The vectors of these methods, or of all others."""
    return [case for case in all_cases() if (case.values[0]["method"] in methods) is not without]


def objective_of(case: Mapping[str, Any]) -> Objective:
    """The method of a vector with its hyperparameters."""
    name, hyperparameters = SETTINGS[case["method"]](case["hyperparameters"])
    return METHODS[name](**hyperparameters)


def test_there_are_sixty_one_vectors_and_all_are_used() -> None:
    assert len(all_cases()) == 61
    assert {case.values[0]["method"] for case in all_cases()} == {*SETTINGS, SELECTION}


FROM_LOGITS = ("epsilon_dpo", "exo_exo-pref", "exo_exo-rw", "exo_dpo-rw")


@pytest.mark.parametrize("case", cases(*FROM_LOGITS, "ld_dpo", SELECTION, without=True))
def test_losses_and_gradients_equal_the_authors(case: dict[str, Any]) -> None:
    objective = objective_of(case)
    scores = pair_scores(case["inputs"])
    outcome = objective(scores, state_before(case, objective))
    outcome.loss.sum().backward()
    agree(outcome.loss, case, "losses")
    for name in case["grads"]:
        side = scores.chosen if "chosen" in name else scores.rejected
        found = side.position_kl if "position_kl" in name else side.logp
        assert found is not None
        agree(torch.zeros_like(found) if found.grad is None else found.grad, case, "grads", name)
    if "state_after" in case:
        assert after(objective, state_before(case, objective), outcome) == pytest.approx(case["state_after"], rel=1e-9)


@pytest.mark.parametrize("case", cases("bco_pair_shift", "kto", "beta_dpo"))
def test_the_state_after_a_step_is_the_authors(case: dict[str, Any]) -> None:
    objective = objective_of(case)
    scores = pair_scores(case["inputs"])
    found = after(objective, state_before(case, objective), objective(scores, state_before(case, objective)))
    gap = scores.log_ratio_margin.detach()
    wanted = {
        "bco": {"reward_mean": case["hyperparameters"].get("delta"), "count": 2 * len(gap)},
        "kto": {"kl": case.get("kl")},
        "beta_dpo": {
            "draws": 1,
            "gap_mean": 0.9 * 0.4 + 0.1 * float(gap.mean()),
            "gap_std": 0.9 * 4.0 + 0.1 * float(gap.std(correction=0)),
        },
    }[objective.name]
    assert found == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("case", cases("ld_dpo"))
def test_length_desensitised_losses_and_token_gradients_equal_the_authors(case: dict[str, Any]) -> None:
    inputs, objective = case["inputs"], objective_of(case)
    tokens = {
        side: [torch.tensor(row, dtype=torch.float64, requires_grad=True) for row in inputs[f"policy_{side}_token_logps"]]
        for side in ("chosen", "rejected")
    }
    shared = [min(len(chosen), len(rejected)) for chosen, rejected in zip(tokens["chosen"], tokens["rejected"], strict=True)]

    def response(side: str) -> ResponseScores:
        reference = torch.tensor(inputs[f"reference_{side}_logps"], dtype=torch.float64)  # already desensitised: its tail is empty
        prefix = torch.stack([row[:count].sum() for row, count in zip(tokens[side], shared, strict=True)])
        logp, length = torch.stack([row.sum() for row in tokens[side]]), torch.tensor([len(row) for row in tokens[side]])
        return ResponseScores(logp, length, reference, prefix_logp=prefix, reference_prefix_logp=reference)

    outcome = objective(PairScores(response("chosen"), response("rejected")), {})
    outcome.loss.sum().backward()
    agree(outcome.loss, case, "losses")
    for side, rows in tokens.items():
        for row, wanted in zip(rows, case["grads"][f"policy_{side}_token_logps"], strict=True):
            assert row.grad is not None
            agree(row.grad, {"row": wanted}, "row")


@pytest.mark.parametrize("case", cases("epsilon_dpo"))
def test_epsilon_dpo_takes_the_authors_steps_losses_gradients_and_beta(case: dict[str, Any]) -> None:
    inputs, objective, state = case["inputs"], objective_of(case), {"beta": case["hyperparameters"]["beta"]}
    counts = torch.tensor(inputs["completion_mask"]).bool()[:, 1:]
    policy, reference = (torch.tensor(inputs[f"{which}_logits"], dtype=torch.float64)[:, :-1] for which in ("policy", "reference"))
    policy.requires_grad_()
    found = measured(policy, reference, torch.tensor(inputs["input_ids"])[:, 1:], counts, case["hyperparameters"]["epsilon"])
    sums = {name: torch.zeros(counts.shape, dtype=torch.float64).masked_scatter(counts, values).sum(-1) for name, values in found.items()}
    separations = [torch.sub(*sums[name].detach().chunk(2)) for name in ("logp", "smaller", "larger")]
    steps = beta_step(*separations)
    assert steps.tolist() == case["steps"]
    sides = [halves(sums["logp"]), halves(sums["reference"]), halves(counts.sum(-1))]
    chosen, rejected = (ResponseScores(logp, length, known) for logp, known, length in zip(*sides, strict=True))
    agree(chosen.logp, case, "policy_chosen_logps")
    agree(rejected.known_reference_logp, case, "reference_rejected_logps")
    outcome = objective(PairScores(chosen, rejected, steps), state)
    outcome.loss.sum().backward()
    agree(outcome.loss, case, "losses")
    agree_on_logits(policy, case)
    assert after(objective, state, outcome)["beta"] == pytest.approx(case["state_after"]["beta"], rel=case["state_rtol"])


@pytest.mark.parametrize("case", cases(*FROM_LOGITS[1:]))
def test_losses_of_several_responses_equal_the_authors(case: dict[str, Any]) -> None:
    inputs, objective = case["inputs"], objective_of(case)
    counts = torch.tensor(inputs["attention_mask"]).bool()
    counts[:, : inputs["prompt_len"]] = False
    counts = counts[:, 1:]
    policy = torch.tensor(inputs["policy_logits"], dtype=torch.float64)[:, :-1].clone().requires_grad_()
    logps = measured(policy, policy.detach(), torch.tensor(inputs["input_ids"])[:, 1:], counts, 0.1)["logp"]
    sums = torch.zeros(counts.shape, dtype=torch.float64).masked_scatter(counts, logps).sum(-1)
    rewards = torch.tensor(inputs["rewards"], dtype=torch.float64)
    order = rewards.argsort(descending=True) if case["method"] == "exo_exo-pref" else torch.arange(len(rewards))
    reference = torch.tensor(inputs["reference_logps"], dtype=torch.float64)
    responses = ResponseScores(sums, counts.sum(-1), reference, rewards)
    scores = PairScores.of_candidates(map_tensors(lambda values: values[order][None], responses))
    outcome = objective(scores, {})
    outcome.loss.sum().backward()
    # The authors' dpo-rw is a cross-entropy: the divergence and the target's entropy, which no gradient sees.
    target = (rewards / case["hyperparameters"]["beta_r"]).log_softmax(-1)
    constant = -(target.exp() * target).sum() if case["method"] == "exo_dpo-rw" else 0.0
    agree(outcome.loss + constant, case, "losses")
    agree_on_logits(policy, case)


@pytest.mark.parametrize("case", cases(SELECTION))
def test_the_authors_pairs_are_selected(case: dict[str, Any]) -> None:
    settings, inputs = case["hyperparameters"], case["inputs"]
    explicit, implicit = inputs["rm_margin"], inputs["abs_mean_logp_margin"]
    flat = [0.0] * len(explicit)
    potential = {
        "rm-logp": lambda: alignment_potential(explicit, implicit),
        "rm-xlogp": lambda: alignment_potential(explicit, implicit, settings["logp_weight"]),
        "rm_margin": lambda: alignment_potential(explicit, flat),
        "logp_margin_norm_abs": lambda: alignment_potential(flat, implicit),
    }[settings["metric"]]()
    assert top_pairs(potential, settings["select_ratio"]) == case["selected_indices_ascending_score"]


def pair_scores(inputs: Mapping[str, Any]) -> PairScores:
    """A vector's inputs; the policy's measurements carry gradients."""

    def given(name: str, requires_grad: bool = False) -> torch.Tensor | None:
        return None if name not in inputs else torch.tensor(inputs[name], dtype=torch.float64, requires_grad=requires_grad)

    def side(which: str) -> ResponseScores:
        logp, length = given(f"policy_{which}_logps", True), torch.tensor(inputs[f"{which}_lengths"])
        assert logp is not None
        # In the vectors with two references, `reference` is the further model and `reference2` the start of training.
        main, further = given(f"reference2_{which}_logps"), given(f"reference_{which}_logps")
        extra = None if main is None or further is None else further[:, None]
        kl = given(f"{which}_position_kl", True)
        return ResponseScores(logp, length, further if main is None else main, given(f"{which}_rewards"), extra, position_kl=kl)

    policy, reference = given("policy_KL_logps"), given("reference_KL_logps")
    mismatched = None if policy is None else ResponseScores(policy, torch.ones(len(policy)), reference)
    return PairScores(side("chosen"), side("rejected"), mismatched=mismatched)


def state_before(case: Mapping[str, Any], objective: Objective) -> Mapping[str, float]:
    """The state that the vector was made in."""
    if case["method"] == "beta_dpo":
        return {key: case["hyperparameters"][key] for key in ("gap_mean", "gap_std")}
    return case.get("state_before", objective.initial_state())


def agree(found: torch.Tensor, case: Mapping[str, Any], *path: str) -> None:
    """Equal, to a relative 1e-9, to the formula in high precision where the vector has it, else to the peer's figures.

    The peer's own figures lose digits where 1 - sigmoid rounds to 0, and are None where they are not finite; a value that is None in
    high precision too is outside float64.
    """
    what, *rest = path
    values: Any = case.get(f"{what}_highprec", case[what])
    for key in rest:
        values = values[key] if key in values else case[what][key]
    assert len(found) == len(values)
    for ours, theirs in zip(found.tolist(), values, strict=True):
        if theirs is not None:
            assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-300)


def agree_on_logits(policy: torch.Tensor, case: Mapping[str, Any]) -> None:
    """Gradients by logits, (rows, positions, vocabulary), equal to a relative 1e-9 of the largest."""
    wanted = torch.tensor(case["grads"]["policy_logits"], dtype=torch.float64)[:, :-1]
    assert policy.grad is not None
    assert torch.allclose(policy.grad, wanted, rtol=1e-9, atol=1e-9 * float(wanted.abs().max()))


def measured(
    policy: torch.Tensor, reference: torch.Tensor, labels: torch.Tensor, counts: torch.Tensor, epsilon: float
) -> dict[str, torch.Tensor]:
    """What the head measures of the tokens that count, its weights being such that states are logits."""
    plain = torch.nn.Linear(policy.shape[-1], policy.shape[-1], bias=False, dtype=torch.float64)
    plain.weight.data = torch.eye(policy.shape[-1], dtype=torch.float64)
    head = ResponseHead(plain.requires_grad_(False))
    wanted = Wanted(labels[counts], [int(counts.sum())], epsilon, reference=(reference[counts], head))
    known = head(reference[counts], Wanted(labels[counts], [int(counts.sum())]))["logp"]
    return {**head(policy[counts], wanted), "reference": known}


def halves(rows: torch.Tensor) -> list[torch.Tensor]:
    """The chosen side's rows and the rejected side's."""
    return list(rows.chunk(2))
