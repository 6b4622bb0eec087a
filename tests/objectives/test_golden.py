"""Losses and gradients equal those of the authors' own code, where the vectors are at hand."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from orchestrator.objectives import METHODS, Objective, make_objective
from orchestrator.policy.scores import PairScores, ResponseScores
from orchestrator.policy.scoring import ResponseLogits, neighbour_step

VECTORS = Path(__file__).parents[3] / "shared" / "golden" / "methods.json"
pytestmark = pytest.mark.skipif(not VECTORS.is_file(), reason="the authors' vectors are not beside this checkout")

Hyperparameters = Mapping[str, Any]
SETTINGS: dict[str, Callable[[Hyperparameters], tuple[str, dict[str, float]]]] = {
    "dpo": lambda h: ("dpo", {"beta": h["beta"]}),
    "cdpo": lambda h: ("dpo", {"beta": h["beta"], "label_smoothing": h["label_smoothing"]}),
    "ipo_length_normalized": lambda h: ("ipo", {"beta": h["beta"]}),
    "ipo_summed": lambda h: ("ipo", {"beta": h["beta"], "length_normalized": False}),
    "simpo": lambda h: ("simpo", {"beta": h["beta"], "gamma_over_beta": h["gamma_beta_ratio"]}),
    "alphapo": lambda h: ("alphapo", {"alpha": h["alpha"], "beta": h["beta"], "gamma_over_beta": h["gamma"] / h["beta"]}),
    "minor_dpo": lambda h: ("minor_dpo", {"beta": h["beta"]}),
    "rpo_bwd_kl": lambda h: ("rpo_bwd", {"beta": h["beta"], "eta": h["eta (gt_reward_scale)"]}),
    "rpo_fwd_kl": lambda h: ("rpo_fwd", {"beta": h["beta"], "eta": h["eta (gt_reward_scale)"]}),
    "rpo_sq": lambda h: ("rpo_sq", {"beta": h["beta"], "eta": h["eta (gt_reward_scale)"]}),
}


def cases(*methods: str) -> list[Any]:
    if not VECTORS.is_file():
        return []
    found = [case for case in json.loads(VECTORS.read_text())["cases"] if case["method"] in methods]
    return [pytest.param(case, id=f"{case['method']}-{number}") for number, case in enumerate(found)]


@pytest.mark.parametrize("case", cases(*SETTINGS))
def test_losses_and_gradients_equal_the_authors(case: dict[str, Any]) -> None:
    name, hyperparameters = SETTINGS[case["method"]](case["hyperparameters"])
    objective: Objective = METHODS[name](**hyperparameters)
    chosen, rejected = (side(case["inputs"], which) for which in ("chosen", "rejected"))
    outcome = objective(PairScores(chosen, rejected), objective.initial_state())
    outcome.loss.sum().backward()
    agree(outcome.loss, expected(case, "losses"))
    assert chosen.logp.grad is not None
    assert rejected.logp.grad is not None
    gradients = expected(case, "grads")
    agree(chosen.logp.grad, gradients["policy_chosen_logps"])
    agree(rejected.logp.grad, gradients["policy_rejected_logps"])


@pytest.mark.parametrize("case", cases("epsilon_dpo"))
def test_epsilon_dpo_takes_the_authors_steps_and_keeps_their_beta(case: dict[str, Any]) -> None:
    inputs = case["inputs"]
    policy, reference = (response_logits(inputs, f"{which}_logits") for which in ("policy", "reference"))
    steps = neighbour_step(policy, reference, case["hyperparameters"]["epsilon"])
    assert steps.tolist() == case["steps"]
    objective = make_objective(
        "epsilon_dpo", {"beta": case["hyperparameters"]["beta_initial"], "epsilon": case["hyperparameters"]["epsilon"]}
    )
    (chosen, rejected), (chosen_reference, rejected_reference) = policy.sums(), reference.sums()
    agree(chosen, case["policy_chosen_logps"], relative=1e-6)
    agree(rejected_reference, case["reference_rejected_logps"], relative=1e-6)
    length = torch.ones(len(chosen), dtype=torch.long)
    scores = PairScores(ResponseScores(chosen, length, chosen_reference), ResponseScores(rejected, length, rejected_reference), steps)
    outcome = objective(scores, {"beta": case["hyperparameters"]["beta"]})
    agree(outcome.loss, case["losses"], relative=1e-6)
    after = objective.next_state({"beta": case["hyperparameters"]["beta"]}, {"step": float(outcome.statistics["step"])})
    assert after["beta"] == pytest.approx(state_value(case["state_after"]), rel=1e-6)


def side(inputs: Mapping[str, Any], which: str) -> ResponseScores:
    logp = torch.tensor(inputs[f"policy_{which}_logps"], dtype=torch.float64, requires_grad=True)
    known = (inputs.get(f"reference_{which}_logps"), inputs.get(f"{which}_rewards"))
    reference, reward = (None if values is None else torch.tensor(values, dtype=torch.float64) for values in known)
    return ResponseScores(logp, torch.tensor(inputs[f"{which}_lengths"]), reference, reward)


def expected(case: Mapping[str, Any], what: str) -> Any:
    """The peer's figures; where its own arithmetic failed, the same formula in high precision."""
    return case[f"{what}_highprec"] if case.get("reference_nonfinite") else case[what]


def agree(found: torch.Tensor, wanted: list[float | None], relative: float = 1e-9) -> None:
    for ours, theirs in zip(found.tolist(), wanted, strict=True):
        if theirs is not None:
            assert ours == pytest.approx(theirs, rel=relative, abs=1e-300)


def response_logits(inputs: Mapping[str, Any], which: str) -> ResponseLogits:
    logits = torch.tensor(inputs[which], dtype=torch.float64)
    tokens = torch.tensor(inputs["input_ids"])
    counts = torch.tensor(inputs["completion_mask"]).bool()
    return ResponseLogits(logits[:, :-1], tokens[:, 1:], counts[:, 1:])


def state_value(state: Any) -> float:
    return state["beta"] if isinstance(state, dict) else state
