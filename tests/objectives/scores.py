"""PairScores for tests of objectives."""

import torch

from orchestrator.policy.scores import PairScores, ResponseScores

STRIKING = (0.0, -1e-9, -0.5, -3.0, -87.5, -300.0, -1000.0)


def random_scores(pairs: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> PairScores:
    """Plausible scores of `pairs` pairs; the policy's log-probabilities carry gradients."""
    chance = torch.Generator().manual_seed(seed)

    def side(reward: float) -> ResponseScores:
        length = torch.randint(1, 60, (pairs,), generator=chance)
        logp = (-length * (0.2 + torch.rand(pairs, generator=chance, dtype=dtype))).requires_grad_()
        reference = logp.detach() + torch.randn(pairs, generator=chance, dtype=dtype)
        return ResponseScores(logp, length, reference, reward + torch.rand(pairs, generator=chance, dtype=dtype))

    steps = torch.randint(-1, 2, (pairs,), generator=chance).to(dtype)
    return PairScores(side(1.0), side(0.0), steps)


def extreme_scores(dtype: torch.dtype = torch.float32) -> PairScores:
    """Every combination of striking mean log-probabilities, lengths 1 and 50, and a reference that is near, equal or far."""
    cases = [(w, rejected, length, shift) for w in STRIKING for rejected in STRIKING for length in (1, 50) for shift in (0.0, 5.0, -1e4)]
    chosen, rejected, lengths, shifts = (torch.tensor(column, dtype=dtype) for column in zip(*cases, strict=True))

    def side(mean: torch.Tensor, shift: torch.Tensor, reward: float) -> ResponseScores:
        logp = (mean * lengths).requires_grad_()
        return ResponseScores(logp, lengths.long(), logp.detach() + shift, torch.full_like(mean, reward))

    return PairScores(side(chosen, shifts, 1.0), side(rejected, -shifts, 0.0), torch.zeros_like(chosen))


def at_reference(pairs: int = 8) -> PairScores:
    """The policy is the reference: where every run starts."""
    scores = random_scores(pairs)
    assert scores.neighbour_step is not None

    def side(response: ResponseScores) -> ResponseScores:
        return ResponseScores(response.logp, response.length, response.logp.detach(), response.reward)

    return PairScores(side(scores.chosen), side(scores.rejected), scores.neighbour_step * 0)


def part(scores: PairScores, where: slice) -> PairScores:
    """Some of the pairs."""

    def side(response: ResponseScores) -> ResponseScores:
        known = (response.known_reference_logp[where], response.known_reward[where])
        return ResponseScores(response.logp[where], response.length[where], *known)

    steps = None if scores.neighbour_step is None else scores.neighbour_step[where]
    return PairScores(side(scores.chosen), side(scores.rejected), steps)
