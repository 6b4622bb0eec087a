"""The typed settings of a run, read from TOML and written, resolved, as JSON."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from orchestrator.distributions import Choice, Distribution, LogUniform, Uniform
from orchestrator.errors import DataFormatError, SettingsError
from orchestrator.worlds.recipes import TasksRecipe, TextRecipe, World

if TYPE_CHECKING:
    import torch


class Section(BaseModel):
    """A part of the settings: immutable, and no key without a meaning."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelSettings(Section):
    """The model to align: a Hugging Face directory or a hub identifier."""

    base: str | None = None


class DataSettings(Section):
    """Preference pairs: a JSONL or Parquet file. `context` bounds prompt and response in tokens; `limit` takes the first rows only."""

    train: Path | None = None
    context: PositiveInt = 2048
    limit: PositiveInt | None = None


class TrainingSettings(Section):
    """How every trial trains. `batch_size` counts pairs per optimiser step over all workers; without `steps`, `epochs` decides."""

    learning_rate: PositiveFloat = 5e-7
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.1
    batch_size: PositiveInt = 128
    micro_batch_size: PositiveInt = 2
    epochs: PositiveFloat = 1.0
    steps: PositiveInt | None = None
    checkpoints: PositiveInt = 4
    precision: Literal["fp32", "bf16"] = "bf16"
    zero_stage: Literal[0, 1, 2, 3] = 2
    gradient_clipping: PositiveFloat | None = 1.0
    gradient_checkpointing: bool = False
    weight_decay: NonNegativeFloat = 0.0
    adam_betas: tuple[float, float] = (0.9, 0.95)
    seed: NonNegativeInt = 0

    @property
    def dtype(self) -> torch.dtype:
        """The weights' precision as torch names it."""
        import torch

        return torch.bfloat16 if self.precision == "bf16" else torch.float32

    def accumulation(self, world_size: int) -> int:
        """Micro-batches per worker and step. Raises SettingsError when `batch_size` does not divide."""
        per_round = world_size * self.micro_batch_size
        if self.batch_size % per_round:
            nearest = max(1, round(self.batch_size / per_round)) * per_round
            raise SettingsError(
                f"a batch of {self.batch_size} pairs cannot be split into micro-batches of {self.micro_batch_size} on {world_size} workers",
                "training.batch_size",
                f"use batch_size = {nearest}, or another micro_batch_size",
            )
        return self.batch_size // per_round

    def total_steps(self, pairs: int) -> int:
        """Optimiser steps for a data set of `pairs`. Raises DataFormatError when there is not one whole batch."""
        if pairs < self.batch_size:
            raise DataFormatError(
                f"{pairs} pairs are fewer than one batch of {self.batch_size}",
                "training.batch_size",
                "use more data or a smaller batch_size",
            )
        return self.steps or max(1, math.floor(self.epochs * (pairs // self.batch_size)))

    def checkpoint_steps(self, pairs: int) -> list[int]:
        """The steps after which a checkpoint is written and scored: evenly spaced, the last step among them."""
        steps = self.total_steps(pairs)
        count = min(self.checkpoints, steps)
        return [math.ceil(steps * (number + 1) / count) for number in range(count)]


class EvaluationSettings(Section):
    """Which prompts score a checkpoint, and how they are answered. `held_out` prompts are used once, for the winner.

    A score for which more than the share `max_unreadable` of verdicts could not be read is refused.
    """

    prompts: Path | None = None
    held_out: Path | None = None
    temperature: NonNegativeFloat = 0.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    max_tokens: PositiveInt = 512
    seed: NonNegativeInt = 0
    max_model_len: PositiveInt | None = None
    gpu_memory_utilization: Annotated[float, Field(gt=0, lt=1)] = 0.6
    max_unreadable: Annotated[float, Field(ge=0, lt=1)] = 0.1


class VerifierSettings(Section):
    """Right beats wrong, by each prompt's own `answer` or `pattern`."""

    kind: Literal["verifier"]


class ReferenceSettings(Section):
    """The response closer to the prompt's `reference` wins (chrF); differences up to `tie_margin` points are ties."""

    kind: Literal["reference"]
    tie_margin: NonNegativeFloat = 0.0


class OpenAISettings(Section):
    """A model behind an OpenAI-compatible endpoint. The key is read from the environment variable `api_key_env`."""

    kind: Literal["openai"]
    model: str
    base_url: str | None = None
    api_key_env: str = "OPENAI_API_KEY"
    protocol: Literal["logprobs", "text"] = "logprobs"
    max_concurrency: PositiveInt = 16
    timeout_s: PositiveFloat = 60.0
    max_attempts: PositiveInt = 6


class VllmJudgeSettings(Section):
    """A model in an actor of this cluster, which compares by the log-probabilities of two tokens."""

    kind: Literal["vllm"]
    model: str
    gpus: NonNegativeFloat = 1.0


JudgeSettings = Annotated[VerifierSettings | ReferenceSettings | OpenAISettings | VllmJudgeSettings, Field(discriminator="kind")]


class RangeSettings(Section):
    """A hyperparameter's range: `low` and `high` (and `log`), or `options`."""

    low: float | None = None
    high: float | None = None
    log: bool = False
    options: tuple[float | int | str | bool, ...] | None = None

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

    def distribution(self) -> Distribution:
        """The same range as objectives declare theirs."""
        if self.options is not None:
            return Choice(self.options)
        assert self.low is not None and self.high is not None
        return LogUniform(self.low, self.high) if self.log else Uniform(self.low, self.high)


class SearchSettings(Section):
    """Which methods compete, over which ranges, and how the weak are stopped.

    The first trials are the methods' published defaults, the others are proposed by `searcher`. `space` replaces the ranges of a method
    (`space.dpo.beta`) or lets training settings vary (`space.training.learning_rate`).
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
    searcher: Literal["optuna", "random"] = "optuna"
    scheduler: Literal["asha", "none"] = "asha"
    reduction_factor: Annotated[float, Field(gt=1)] = 3.0
    space: dict[str, dict[str, RangeSettings]] = {}
    seed: NonNegativeInt = 0


class ClusterSettings(Section):
    """What each part gets. `gangs` groups of `workers` train trials at the same time; `engines` answer prompts beside them.

    `isolation` "gang" keeps worker groups alive from trial to trial; "run" starts a new group for each trial.
    """

    workers: PositiveInt = 1
    gangs: PositiveInt = 1
    engines: PositiveInt = 1
    cpus_per_worker: NonNegativeFloat = 1.0
    gpus_per_worker: NonNegativeFloat = 0.0
    gpus_per_engine: NonNegativeFloat = 0.0
    isolation: Literal["gang", "run"] = "gang"
    max_attempts: PositiveInt = 3


class Settings(Section):
    """A whole run. `world` makes a model and its data; without it, `model`, `data` and the evaluation's prompts are given."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$")] = "search"
    world: Annotated[TasksRecipe | TextRecipe, Field(discriminator="kind")] | None = None
    model: ModelSettings = ModelSettings()
    data: DataSettings = DataSettings()
    training: TrainingSettings = TrainingSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    judge: JudgeSettings
    search: SearchSettings = SearchSettings()
    cluster: ClusterSettings = ClusterSettings()
    cache: Path = Path("~/.cache/daa-orchestrator")

    @property
    def made_by_world(self) -> dict[str, object]:
        """The settings that a world fills in, by path; without one the first three must be given."""
        return {
            "model.base": self.model.base,
            "data.train": self.data.train,
            "evaluation.prompts": self.evaluation.prompts,
            "evaluation.held_out": self.evaluation.held_out,
        }

    @model_validator(mode="after")
    def _possible(self) -> Settings:
        given = [path for path, value in self.made_by_world.items() if value is not None]
        required = [path for path in self.made_by_world if path not in given and path != "evaluation.held_out"]
        if self.world is None and required:
            raise ValueError(f"{', '.join(required)} must be given when no [world] makes them")
        if self.world is not None and given:
            raise ValueError(f"[world] makes {', '.join(given)} itself: remove one or the other")
        if self.search.scheduler == "asha" and self.training.schedule == "cosine":
            raise ValueError(
                "early stopping compares trials at the same step, where a cosine schedule has not cooled down yet: "
                'set training.schedule = "constant" or search.scheduler = "none"'
            )
        if len(set(self.search.methods)) < len(self.search.methods):
            raise ValueError("search.methods names a method twice")
        self.training.accumulation(self.cluster.workers)
        self._check_searched_training()
        return self

    def _check_searched_training(self) -> None:
        """Every training setting that the search may choose must be possible."""
        for key, searched in self.search.space.get("training", {}).items():
            if key not in type(self.training).model_fields:
                continue
            for value in searched.options if searched.options is not None else (searched.low, searched.high):
                try:
                    TrainingSettings.model_validate(self.training.model_dump() | {key: value}).accumulation(self.cluster.workers)
                except (ValidationError, SettingsError) as error:
                    reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error.what
                    raise ValueError(f"search.space.training.{key} may not be {value}: {reason}") from error

    def with_world(self, world: World) -> Settings:
        """The same run on what its world made."""
        return self.model_copy(
            update={
                "world": None,
                "model": ModelSettings(base=str(world.model)),
                "data": self.data.model_copy(update={"train": world.train}),
                "evaluation": self.evaluation.model_copy(update={"prompts": world.prompts, "held_out": world.held_out}),
            }
        )

    def json_ready(self) -> dict[str, Any]:
        """The resolved settings as plain JSON values."""
        return self.model_dump(mode="json")
