"""The typed settings of a run, read from TOML and written, resolved, as JSON."""

from __future__ import annotations

from collections.abc import Container, Mapping
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeFloat, PositiveInt, ValidationError, model_validator

from orchestrator.errors import SettingsError
from orchestrator.settings.benchmarks import AnsweringSettings, BenchmarkSettings, CapabilitySettings
from orchestrator.settings.data import DataSettings, MixtureSettings
from orchestrator.settings.evaluation import (
    CustomJudgeSettings,
    EvaluationSettings,
    JudgeSettings,
    OpenAISettings,
    ReferenceSettings,
    ReplaySettings,
    RewardModelSettings,
    VerifierSettings,
    VllmJudgeSettings,
)
from orchestrator.settings.ladder import LadderSettings
from orchestrator.settings.rounds import EvolutionSettings, GenerationSettings, RevisionSettings, RoundsSettings
from orchestrator.settings.search import BudgetSettings, FinalsSettings, RangeSettings, SearchSettings
from orchestrator.settings.section import DEFAULT_CACHE, Address, AnyValue, ModelName, Section
from orchestrator.settings.selection import SelectionSettings
from orchestrator.settings.training import LoraSettings, TrainingSettings
from orchestrator.worlds.recipes import TasksRecipe, TextRecipe, World


class ModelSettings(Section):
    """The model to align, and those it is compared with: Hugging Face directories or hub identifiers.

    `reference` is the frozen model of methods that have one, by default the base model; several with weights that sum to 1 are mixed by
    their log-probabilities. `references` are further ones, for methods that use more than one.
    """

    base: ModelName | None = None
    reference: dict[ModelName, float] = {}
    references: tuple[ModelName, ...] = ()

    @model_validator(mode="after")
    def _mixed(self) -> ModelSettings:
        if self.reference and abs(sum(self.reference.values()) - 1) > 1e-6:
            raise ValueError(f"the weights of model.reference sum to {sum(self.reference.values()):g}: let them sum to 1")
        return self


class ClusterSettings(Section):
    """What each part gets. `gangs` groups of `workers` train trials at the same time; `engines` answer prompts beside them.

    A run begins when `least_gangs` of the groups find room, by default all; the others join it with nodes that join the cluster.
    With `turns` one group and the engine use the same GPUs, one at a time: the engine sleeps while the group trains, and gives its memory
    back. A worker and the engine then ask for parts of a GPU. Nodes that are not there are asked for where the cluster has an autoscaler,
    and waited for, for `wait_s` seconds. `isolation` "gang" keeps worker groups alive from trial to trial; "run"
    starts a new group for each trial.
    """

    workers: PositiveInt = 1
    gangs: PositiveInt = 1
    least_gangs: PositiveInt | None = None
    engines: PositiveInt = 1
    cpus_per_worker: NonNegativeFloat = 1.0
    gpus_per_worker: NonNegativeFloat = 0.0
    gpus_per_engine: NonNegativeFloat = 0.0
    turns: bool = False
    isolation: Literal["gang", "run"] = "gang"
    max_attempts: PositiveInt = 3
    wait_s: NonNegativeFloat = 0.0

    @model_validator(mode="after")
    def _take_turns(self) -> ClusterSettings:
        if not self.turns:
            if 0 < self.gpus_per_worker < 1:
                what = f"a worker holds {self.gpus_per_worker:g} of a GPU, and whoever has the rest would use it at the same time"
                cure = "set gpus_per_worker = 1, or turns = true with gpus_per_worker = 0.6 and gpus_per_engine = 0.4"
                raise SettingsError(what, "cluster.gpus_per_worker", cure)
            return self
        if self.gangs > 1:
            raise ValueError(
                "with turns one worker group shares its GPUs with the engines, and gangs is more: set gangs = 1, or turns = false"
            )
        if self.gpus_per_worker + self.gpus_per_engine > 1:
            raise ValueError(
                "with turns a worker and an engine share a GPU, and gpus_per_worker and gpus_per_engine are more than one together: "
                "set them to 0.6 and 0.4"
            )
        if self.engines > 1 and self.gpus_per_engine:
            # Ray looks for the GPU of which least is left: the second engine comes to that of the first, where no worker then fits.
            what = f"with turns Ray would put several engines on one GPU, and engines is {self.engines}"
            raise SettingsError(what, "cluster.engines", "set engines = 1, or turns = false with GPUs of their own for engines")
        return self

    @model_validator(mode="after")
    def _share_gpus(self) -> ClusterSettings:
        if self.workers > 1 and 0 < self.gpus_per_worker <= 0.5:
            raise ValueError("two workers of a group would share a GPU, which NCCL refuses: set gpus_per_worker above 0.5")
        if self.gpus_per_worker > 1:
            what = f"a worker trains on one GPU, and gpus_per_worker is {self.gpus_per_worker:g}"
            raise SettingsError(what, "cluster.gpus_per_worker", "give gpus_per_worker = 1 and more workers")
        if self.gpus_per_engine > 1 and not self.gpus_per_engine.is_integer():
            what = f"Ray gives a part of one GPU or whole ones, and gpus_per_engine is {self.gpus_per_engine:g}"
            raise SettingsError(what, "cluster.gpus_per_engine", f"give gpus_per_engine = {int(self.gpus_per_engine)}, or 1 at most")
        return self

    @property
    def first_gangs(self) -> int:
        """How many groups must have room when the run begins."""
        return self.gangs if self.least_gangs is None else min(self.least_gangs, self.gangs)

    @property
    def tensor_parallel(self) -> int:
        """Over how many GPUs an engine spreads its model."""
        return max(1, int(self.gpus_per_engine))

    def check_engines(self) -> None:
        """Refuse engines that no GPU is kept for where workers have some: they would use that of a worker. Raises SettingsError."""
        if self.gpus_per_worker and not self.gpus_per_engine:
            cure = "set gpus_per_engine = 1, or with turns gpus_per_worker = 0.6 and gpus_per_engine = 0.4"
            raise SettingsError("workers have GPUs, and engines have none", "cluster.gpus_per_engine", cure)

    def check_shares(self, memory: float) -> None:
        """Refuse engines of which each uses the share `memory` of its GPU's, where Ray puts too many on one. Raises SettingsError."""
        together = min(self.engines, int(1 / self.gpus_per_engine + 1e-6)) if self.gpus_per_engine else 1
        if together > 1 and together * memory > 1:
            what = f"{together} engines would share a GPU, each with {memory:g} of its memory"
            cure = f"set gpus_per_engine = 1, or evaluation.gpu_memory_utilization to {0.9 / together:.2g} at most"
            raise SettingsError(what, "cluster.gpus_per_engine", cure)


class Settings(Section):
    """A whole run. `world` makes a model and its data; without it, `model`, `data` and the evaluation's prompts are given.

    `reference_cache` is where reference scores are kept, a path or any URL that fsspec opens; by default below `cache`.
    `method` and `hyperparameters` are what `daa train` trains unless its command line says otherwise; a search has its own list.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$")] = "search"
    world: Annotated[TasksRecipe | TextRecipe, Field(discriminator="kind")] | None = None
    method: str | None = None
    hyperparameters: dict[str, AnyValue] = {}
    model: ModelSettings = ModelSettings()
    data: DataSettings = DataSettings()
    training: TrainingSettings = TrainingSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    judge: JudgeSettings
    search: SearchSettings = SearchSettings()
    finals: FinalsSettings = FinalsSettings()
    budget: BudgetSettings = BudgetSettings()
    ladder: LadderSettings = LadderSettings()
    selection: SelectionSettings = SelectionSettings()
    rounds: RoundsSettings | None = None
    cluster: ClusterSettings = ClusterSettings()
    cache: Path = DEFAULT_CACHE
    reference_cache: Address | None = None

    @property
    def made_by_world(self) -> dict[str, object]:
        """The settings that a world fills in, by path; without one the first three must be given."""
        return {
            "model.base": self.model.base,
            "data.train": self.data.train or self.data.mixture or None,
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
        if self.hyperparameters and self.method is None:
            raise ValueError("hyperparameters are given and no method: set `method`")
        if len(set(self.search.methods)) < len(self.search.methods):
            raise ValueError("search.methods names a method twice")
        if self.ladder.prune and "validation" in self.ladder.rungs and not self.data.validation_pairs:
            raise ValueError("ladder.prune goes by pairs that are held out, and data.validation_pairs is 0: hold some out")
        if self.data.streaming and self.rounds is not None:
            raise ValueError("rounds take prompts and pairs from data in memory: leave data.streaming out, or give a smaller file")
        self.training.check_workers(self.cluster.workers)
        self.cluster.check_shares(self.evaluation.gpu_memory_utilization)
        self._check_prices()
        self._check_searched_sections()
        return self

    def _check_prices(self) -> None:
        """What may be spent on a judge is known only of one that has a price."""
        for name, judge in (("judge", self.judge), ("finals.judge", self.finals.judge)):
            if self.budget.cost is not None and isinstance(judge, OpenAISettings) and not judge.price:
                raise ValueError(f"budget.cost is given and {name} has no price: set {name}.input_price and {name}.output_price")

    def _check_searched_sections(self) -> None:
        for owner in ("training", "selection", "rounds"):
            self.check_searched(owner, self.search.space.get(owner, {}), f"search.space.{owner}")

    def check_searched(self, owner: str, ranges: Mapping[str, RangeSettings], where: str) -> None:
        """Every setting of a section that the search may choose must be possible, with all others as they are. Raises ValueError."""
        plain = {name: getattr(self, name) for name in Settings.model_fields} | {"search": self.search.model_copy(update={"space": {}})}
        section = getattr(self, owner)
        for key, searched in ranges.items():
            if section is None or key not in type(section).model_fields:
                continue
            self._check_range(f"{where}.{key}", searched, type(section).number(key) is not None, ranges)
            for value in searched.ends:
                try:
                    Settings.model_validate(plain | {owner: section.model_dump() | {key: value}})
                except (ValidationError, SettingsError) as error:
                    told = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error.what
                    reason = told.removeprefix("Value error, ")
                    raise ValueError(f"{where}.{key} may not be {value}: {reason}") from error

    def _check_range(self, where: str, searched: RangeSettings, is_number: bool, others: Container[str]) -> None:
        """Refuse a range over what cannot be one, and what makes no difference."""
        key, space = where.rpartition(".")[-1], self.search.space
        if searched.options is None and not is_number:
            raise ValueError(f"{where} is no number between others: give options")
        if key == "checkpoints":
            what = "trials are compared at their checkpoints, of which all have equally many"
            raise ValueError(f"{where}: {what}: remove the range, and set training.checkpoints")
        has_steps = self.training.steps is not None or "steps" in others or "steps" in space.get("training", {})
        if key == "epochs" and (has_steps or self.rounds is not None or "selection" in space):
            what = "how long trials train, steps say where they are given, and with rounds or searched selections the settings' own epochs"
            raise ValueError(f"{where} has no effect: {what}; remove the range")

    def check_search(self) -> None:
        """Refuse what a search cannot do and a single run can. Raises SettingsError."""
        self.cluster.check_engines()
        searched = [ranges["schedule"].options or () for ranges in self.search.space.values() if "schedule" in ranges]
        schedules = (self.training.schedule, *chain(*searched))
        late = [schedule for schedule in schedules if schedule in {"cosine", "linear"}]
        if late and self.search.scheduler != "none":
            what = f"early stopping compares trials on the way, where a {late[0]} schedule has not cooled down yet"
            cure = 'set training.schedule = "constant" or "wsd", or search.scheduler = "none"'
            raise SettingsError(what, "training.schedule", cure)

    def with_world(self, world: World) -> Settings:
        """The same run on what its world made."""
        rounds = self.rounds
        if rounds is not None and rounds.prompts is None:
            rounds = rounds.model_copy(update={"prompts": world.practice})
        return self.model_copy(
            update={
                "world": None,
                "model": self.model.model_copy(update={"base": str(world.model)}),
                "data": self.data.model_copy(update={"train": str(world.train)}),
                "rounds": rounds,
                "evaluation": self.evaluation.model_copy(update={"prompts": world.prompts, "held_out": world.held_out}),
            }
        )

    def json_ready(self) -> dict[str, Any]:
        """The resolved settings as plain JSON values."""
        return self.model_dump(mode="json")


__all__ = [
    "AnsweringSettings",
    "BenchmarkSettings",
    "BudgetSettings",
    "CapabilitySettings",
    "ClusterSettings",
    "CustomJudgeSettings",
    "DataSettings",
    "EvaluationSettings",
    "EvolutionSettings",
    "FinalsSettings",
    "GenerationSettings",
    "JudgeSettings",
    "LadderSettings",
    "LoraSettings",
    "MixtureSettings",
    "ModelSettings",
    "OpenAISettings",
    "RangeSettings",
    "ReferenceSettings",
    "ReplaySettings",
    "RevisionSettings",
    "RewardModelSettings",
    "RoundsSettings",
    "SearchSettings",
    "Section",
    "SelectionSettings",
    "Settings",
    "TrainingSettings",
    "VerifierSettings",
    "VllmJudgeSettings",
]
