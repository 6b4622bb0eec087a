"""beta-DPO: the batch chooses beta, and which of its pairs count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.distributions import LogUniform, Uniform
from orchestrator.objectives.contract import Objective, PairLoss, State, as_state, moving_average, sigmoid_loss
from orchestrator.policy.scores import Needs, PairScores

if TYPE_CHECKING:
    from torch import Tensor

_SMALLEST_BETA = 1e-3
_SMALLEST_DEVIATION = 0.01


@dataclass(frozen=True)
class BetaDPO(Objective):
    """beta-DPO: batches whose pairs are easier than usual get a larger beta, and pairs far from the usual margin are left out.

    The usual margin is a moving average over the steps before this one. Of the global batch, the share 1 - `filter_ratio` is drawn,
    without replacement, with weights exp(-((D - mean) / std)^2 / 2); the draw depends on the number of steps only. `compat` updates
    the average before its use, from zero, as the authors' code does; a batch of one pair then has no deviation. Choose it for data of
    uneven quality.
    """

    name = "beta_dpo"
    paper = "Wu et al. 2024, arXiv:2407.08639"
    status = "code-checked"
    search_space = {"beta": LogUniform(0.01, 0.5), "alpha": Uniform(0.0, 1.0), "filter_ratio": Uniform(0.0, 0.5)}
    needs = Needs(reference=True, whole_batch=True)

    beta: float = 0.1
    alpha: float = 0.6
    filter_ratio: float = 0.2
    ema_decay: float = 0.9
    compat: bool = False

    def __call__(self, pair: PairScores, state: State) -> PairLoss:
        """-log s(sg[max(1e-3, beta (1 + alpha (mean D - M)))] D), mean over the pairs kept, M the running mean of D"""
        gap = pair.log_ratio_margin.detach()
        statistics = {"gap_mean": gap.mean(), "gap_std": gap.std(correction=1 if self.compat else 0)}
        usual = self._usual(state, as_state(statistics))
        kept = self._kept(gap, usual, int(state.get("draws", 0)))
        share = kept.to(gap.dtype) / kept.sum()
        beta = (self.beta * (1 + self.alpha * ((gap * share).sum() - usual["gap_mean"]))).clamp(min=_SMALLEST_BETA)
        loss = sigmoid_loss(beta * pair.log_ratio_margin) * share * len(gap)
        return PairLoss(loss, beta * pair.chosen.log_ratio, beta * pair.rejected.log_ratio, statistics)

    def initial_state(self) -> State:
        """No step was seen; the authors' averages are zero then."""
        return {"draws": 0.0} | ({"gap_mean": 0.0, "gap_std": 0.0} if self.compat else {})

    def next_state(self, state: State, averaged: State) -> State:
        """Moving averages of the batches' mean and standard deviation of D; a batch without spread, as the first is, teaches none."""
        drawn = {**state, "draws": state.get("draws", 0.0) + 1}
        if not self.compat and averaged["gap_std"] < _SMALLEST_DEVIATION:
            return drawn
        return drawn | dict(moving_average(state, averaged, self.ema_decay))

    def compared_anew(self, state: State) -> State:
        """The averages begin anew; draws are counted on."""
        return {**self.initial_state(), "draws": state.get("draws", 0.0)}

    def _usual(self, state: State, batch: State) -> State:
        """The mean and deviation of D that this step is compared with."""
        if self.compat:
            return moving_average(state, batch, self.ema_decay)
        return state if "gap_mean" in state else batch

    def _kept(self, gap: Tensor, usual: State, draws: int) -> Tensor:
        """Which pairs count, (B,) bool; drawn on the CPU, so that every rank and device draws the same."""
        import torch

        count = max(1, int(len(gap) * (1 - self.filter_ratio) + 1e-9))
        if count == len(gap):
            return torch.ones_like(gap, dtype=torch.bool)
        generator = torch.Generator().manual_seed(draws)
        noise = -torch.rand(len(gap), generator=generator, dtype=torch.float64).clamp(min=1e-300).log()
        log_weight = -0.5 * ((gap.double().cpu() - usual["gap_mean"]) / max(usual["gap_std"], _SMALLEST_DEVIATION)) ** 2
        # The largest of log-weights plus Gumbel noise are a weighted draw without replacement.
        chosen = (log_weight - noise.clamp(min=1e-300).log()).topk(count).indices
        return torch.zeros(len(gap), dtype=torch.bool).index_fill(0, chosen, True).to(gap.device)
