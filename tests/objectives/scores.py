"""PairScores for tests of objectives: every measurement that any method may ask for."""

from dataclasses import replace

import torch
from torch import Tensor

from orchestrator.objectives.contract import Objective, PairLoss, State, as_state
from orchestrator.policy.scores import PairScores, ResponseScores, map_tensors, policy_measurements

STRIKING = (0.0, -1e-9, -0.5, -3.0, -87.5, -300.0, -1000.0)
SHIFTS = (0.0, 5.0, 1e4, -1e4)


def measured(logp: Tensor, length: Tensor, log_ratio: Tensor, reward: Tensor, shared: Tensor) -> ResponseScores:
    """All measurements of responses, `shared` being the length of the prefix; what the policy gives carries gradients.

    `log_ratio` is what the policy has above the reference, as far as the reference can be a probability.
    """
    reference = (logp - log_ratio).clamp(max=0).detach()
    share = shared / length.clamp(min=1)
    return ResponseScores(
        logp=logp.detach().clone().requires_grad_(),
        length=length,
        reference_logp=reference,
        reward=reward,
        extra_reference_logp=1.05 * reference[..., None],
        prefix_logp=(logp * share).detach().requires_grad_(),
        reference_prefix_logp=reference * share,
        position_kl=((logp - reference).abs() / 2).detach().requires_grad_(),
        log_collision=0.9 * logp.detach(),
    )


def pair_of(logps: list[Tensor], lengths: list[Tensor], log_ratios: list[Tensor], rewards: list[Tensor]) -> PairScores:
    """Pairs from both sides' figures, (B,) each; the mismatched responses are the chosen ones of the prompts before."""
    shared = lengths[0].minimum(lengths[1])
    columns = zip(logps, lengths, log_ratios, rewards, strict=True)
    chosen, rejected = (measured(logp, length, ratio, reward, shared) for logp, length, ratio, reward in columns)
    steps = (torch.arange(len(shared)) % 3 - 1).to(chosen.logp.dtype)
    return PairScores(chosen, rejected, steps, mismatched=map_tensors(lambda values: values.detach().roll(1, 0), chosen))


def random_scores(pairs: int, seed: int = 0, dtype: torch.dtype = torch.float64, spread: float = 1.0) -> PairScores:
    """Plausible scores of `pairs` pairs; `spread` is how far the policy is from the reference, in nats."""
    chance = torch.Generator().manual_seed(seed)
    lengths = [torch.randint(1, 60, (pairs,), generator=chance) for _ in range(2)]
    logps = [-length * (0.2 + torch.rand(pairs, generator=chance, dtype=dtype)) for length in lengths]
    ratios = [spread * torch.randn(pairs, generator=chance, dtype=dtype) for _ in range(2)]
    rewards = [lift + torch.rand(pairs, generator=chance, dtype=dtype) for lift in (1.0, 0.0)]
    return pair_of(logps, lengths, ratios, rewards)


def extreme_scores(dtype: torch.dtype = torch.float32) -> PairScores:
    """Every combination of striking mean log-probabilities, lengths 1 and 50, and references that are near, equal or far."""
    cases = [(w, r, length, dw, dr) for w in STRIKING for r in STRIKING for length in (1, 50) for dw in SHIFTS for dr in SHIFTS]
    chosen, rejected, length, *ratios = (torch.tensor(column, dtype=dtype) for column in zip(*cases, strict=True))
    rewards = [torch.ones_like(chosen), torch.zeros_like(chosen)]
    return pair_of([chosen * length, rejected * length], [length.long()] * 2, ratios, rewards)


def at_reference(pairs: int = 8, dtype: torch.dtype = torch.float64) -> PairScores:
    """The policy is the reference: where every run starts. The further reference differs a little."""
    scores = random_scores(pairs, dtype=dtype, spread=0.0)
    assert scores.neighbour_step is not None
    return replace(scores, neighbour_step=scores.neighbour_step * 0)


def with_others(scores: PairScores) -> PairScores:
    """The same pairs with up to two further responses to each prompt; every second prompt lacks one, every third both."""

    def further(chosen: Tensor, rejected: Tensor) -> Tensor:
        values = torch.stack([chosen, rejected], dim=1).detach().roll(1, 0).clone()
        values[::2, 1] = 0
        values[::3] = 0
        return values

    others = map_tensors(further, scores.chosen, scores.rejected)
    return replace(scores, others=replace(others, logp=others.logp.requires_grad_()))


def part(scores: PairScores, where: slice) -> PairScores:
    """Some of the pairs."""
    return map_tensors(lambda values: values[where], scores)


def altered(scores: PairScores, **changes: Tensor | None) -> PairScores:
    """The scores with these measurements in place of both sides' own."""
    return replace(scores, chosen=replace(scores.chosen, **changes), rejected=replace(scores.rejected, **changes))


def leaves_of(scores: PairScores) -> dict[str, Tensor]:
    """What carries gradients, named as in "chosen.logp"."""
    return {".".join(place): value for place, value in policy_measurements(scores).items() if value.requires_grad}


def gradients(objective: Objective, scores: PairScores, state: State) -> tuple[PairLoss, dict[str, Tensor]]:
    """The outcome, and the gradients of the summed loss by what the policy gives."""
    outcome, leaves = objective(scores, state), leaves_of(scores)
    return outcome, dict(zip(leaves, torch.autograd.grad(outcome.loss.sum(), [*leaves.values()], materialize_grads=True), strict=True))


def after(objective: Objective, state: State, outcome: PairLoss) -> State:
    """The state after a step on this one batch."""
    return objective.next_state(state, as_state(outcome.statistics))
