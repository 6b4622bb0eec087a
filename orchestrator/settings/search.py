"""Which methods compete, over which ranges."""

from __future__ import annotations

from collections.abc import Container
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from orchestrator.distributions import Choice, Distribution, LogUniform, Uniform
from orchestrator.settings.benchmarks import CapabilitySettings
from orchestrator.settings.evaluation import JudgeSettings
from orchestrator.settings.section import AnyValue, Section
from orchestrator.settings.training import TrainingSettings

CONTROL = "dpo"
POPULATIONS = {"pbt", "pb2"}


class RangeSettings(Section):
    """A hyperparameter's range: `low` and `high` (and `log`), or `options`."""

    low: float | None = None
    high: float | None = None
    log: bool = False
    options: Annotated[tuple[AnyValue, ...], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _one_form(self) -> RangeSettings:
        if (self.options is None) == (self.low is None or self.high is None):
            raise ValueError("a range is either low and high, or options")
        if self.options is not None and (self.low is not None or self.high is not None or self.log):
            raise ValueError("a range with options has no low, high or log")
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError("low must be below high")
        if self.log and (self.low or 0) <= 0:
            raise ValueError("a logarithmic range needs low above 0")
        return self

    @property
    def ends(self) -> tuple[float | int | str | bool, ...]:
        """The options, or the lowest and the highest value."""
        return self.options if self.options is not None else tuple(end for end in (self.low, self.high) if end is not None)

    def distribution(self, whole: bool = False) -> Distribution:
        """The same range as objectives declare theirs; with `whole`, that of a setting which is a whole number, as both ends are."""
        if self.options is not None:
            return Choice(self.options)
        assert self.low is not None and self.high is not None
        between = LogUniform if self.log else Uniform
        return between(int(self.low), int(self.high), whole=True) if whole else between(self.low, self.high)


class SearchSettings(Section):
    """Which methods compete, over which ranges, and how the weak are stopped.

    The first trial of each method is its published default, the others are proposed by `searcher`, which knows each method apart.
    `allocation` says who gets the next trial: the method with the fewest, or the most promising. `space` replaces the ranges of a method
    (`space.dpo.beta`) or lets training settings vary, of all methods (`space.training.learning_rate`) or otherwise of one
    (`space.dpo.learning_rate`). A grid has `grid_points` of a continuous range.

    In a race all trials answer the same prompts in the same order. One that is worse than the leader by more than `margin` points is
    dropped, with a chance of at most `error_rate` in the whole search that this hits a checkpoint's best trial. One that is behind by
    more than `doubt` standard errors of the difference is set aside: with 2 the pick is nearly as good as that of full evaluation, with 1
    it costs least, with inf only the surely worse leave; at the first rung of a race of more than 16 trials it is larger by what their
    number adds to the leader's luck. The last checkpoint is scored on all prompts, each one before it on
    1/`prompt_growth` of the next one's. `reduction_factor` is that of asha and hyperband. A trial whose health shows one of `censor` at a
    checkpoint ends there.

    With hyperband, pbt and pb2 a trial waits at each checkpoint, without workers, until the scheduler asks for more of it. With pbt and
    pb2 a weak trial takes up the training of a strong one of its method, under a changed learning rate and hyperparameters of the method.

    `trackers` are told each score, beside TensorBoard's files, which are always written.
    """

    methods: Annotated[tuple[str, ...], Field(min_length=1)] = (
        "dpo",
        "ipo",
        "simpo",
        "alphapo",
        "alpha_dpo",
        "epsilon_dpo",
        "minor_dpo",
    )
    trials: PositiveInt = 20
    searcher: Literal["tpe", "cmaes", "random", "grid", "bohb", "nsga2"] = "tpe"
    grid_points: PositiveInt = 3
    allocation: Literal["equal", "bandit"] = "equal"
    scheduler: Literal["racing", "asha", "hyperband", "median", "pbt", "pb2", "none"] = "racing"
    error_rate: Annotated[float, Field(gt=0, lt=1)] = 0.05
    margin: NonNegativeFloat = 0.0
    doubt: Annotated[float, Field(gt=0, allow_inf_nan=True)] = 2.0
    prompt_growth: Annotated[float, Field(ge=1)] = 2.0
    reduction_factor: Annotated[float, Field(gt=1)] = 3.0
    censor: tuple[Literal["diverging", "drifting", "falling", "length"], ...] = ("diverging",)
    space: dict[str, dict[str, RangeSettings]] = {}
    trackers: tuple[Literal["wandb", "mlflow", "trackio"], ...] = ()
    seed: NonNegativeInt = 0

    @property
    def arms(self) -> tuple[str, ...]:
        """The methods that compete: `methods`, and plain DPO as the control when it is not among them.

        Their first turns come in this order. Where there are not enough trials for all, the control's is the first.
        """
        arms = self.methods if CONTROL in self.methods else (*self.methods, CONTROL)
        return arms if self.trials >= len(arms) else (CONTROL, *(name for name in arms if name != CONTROL))

    def own_training(self, method: str, hyperparameters: Container[str]) -> dict[str, RangeSettings]:
        """A method's ranges of training settings: those that are none of its `hyperparameters`."""
        ranges = self.space.get(method, {})
        return {key: given for key, given in ranges.items() if key not in hyperparameters and key in TrainingSettings.model_fields}

    @property
    def pauses(self) -> bool:
        """True when trials wait at each checkpoint for the scheduler to ask for more of them."""
        return self.scheduler in {"hyperband", *POPULATIONS}

    @property
    def takes_over(self) -> bool:
        """True when trials take up each other's training."""
        return self.scheduler in POPULATIONS


class BudgetSettings(Section):
    """What a search may spend at the most; reaching a bound ends it with what is known. None is no bound.

    `gpu_hours` are those of all GPUs that the search holds, of a worker group that joins later from its first trial, `hours` of wall time,
    `judgments` verdicts that are asked for; `cost` is what the judge is paid, in the currency of its prices. What the last comparison of
    the finalists needs is kept back.
    """

    gpu_hours: PositiveFloat | None = None
    hours: PositiveFloat | None = None
    judgments: PositiveInt | None = None
    cost: PositiveFloat | None = None

    def of_time(self) -> BudgetSettings:
        """The bounds that time reaches by itself."""
        return BudgetSettings(gpu_hours=self.gpu_hours, hours=self.hours)


class FinalsSettings(Section):
    """The last comparison, on prompts that the search never used: the best `finalists` and the best plain DPO, under `seeds` seeds each.

    `judge` is another judge than the search's, where one is given. `capability` are tasks that the base model and each finalist's best
    checkpoint are asked at last, to see what a win rate was bought with.
    """

    finalists: PositiveInt = 3
    seeds: PositiveInt = 3
    judge: JudgeSettings | None = None
    capability: CapabilitySettings | None = None
