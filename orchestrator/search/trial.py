"""A trial: one method with one setting of its hyperparameters; and the space they are drawn from."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from orchestrator.distributions import Distribution
from orchestrator.objectives import Objective, make_objective, method_named
from orchestrator.settings import RangeSettings, RoundsSettings, SearchSettings, Section, SelectionSettings, Settings, TrainingSettings

TRAINING, SELECTION, ROUNDS = "training", "selection", "rounds"
# What a sample says besides the method and its hyperparameters: the sections of the settings that a search may vary.
SHARED = (TRAINING, SELECTION, ROUNDS)
_SECTIONS: Mapping[str, type[Section]] = {TRAINING: TrainingSettings, SELECTION: SelectionSettings, ROUNDS: RoundsSettings}
ORIGIN = "origin"
# What a sample and its scores are called by, beside the method and its settings.
NUMBER = "number"
GENERATION = "generation"
Space = Mapping[str, Mapping[str, Distribution]]


@dataclass(frozen=True)
class Origin:
    """Where a run took up another's training, with other hyperparameters: at a `step` of the run `trial`. Its `generation` is 2 or more."""

    trial: str
    step: int
    generation: int

    @staticmethod
    def of(sample: Mapping[str, Any]) -> "Origin | None":
        """The origin that a flat sample names; None for a run that trains from the start."""
        owned = _owned(sample, ORIGIN)
        return Origin(**owned) if owned else None

    def as_sample(self) -> dict[str, Any]:
        """As it stands in a flat sample."""
        return {f"{ORIGIN}.{key}": value for key, value in asdict(self).items()}


@dataclass(frozen=True)
class Trial:
    """`hyperparameters` are the method's own; `training`, `selection` and `rounds` replace settings of these sections for this trial."""

    id: str
    method: str
    hyperparameters: Mapping[str, Any]
    training: Mapping[str, Any]
    selection: Mapping[str, Any] = field(default_factory=dict)
    rounds: Mapping[str, Any] = field(default_factory=dict)

    @staticmethod
    def from_sample(number: int, sample: Mapping[str, Any]) -> "Trial":
        """From the flat form that a searcher proposes: {"method": "dpo", "dpo.beta": 0.1, "training.learning_rate": 1e-6}.

        The id tells the content apart too, so that a number proposed again after a fault never takes over another trial's files. A run
        that took up another's training ends it with its generation: `003-dpo-ab12@2`.
        """
        method = sample["method"]
        digest = hashlib.sha256(json.dumps(sample, sort_keys=True, default=str).encode()).hexdigest()
        parts = {owner: _owned(sample, owner) for owner in (method, *SHARED)}
        origin = Origin.of(sample)
        generation = f"@{origin.generation}" if origin else ""
        name = f"{number:03d}-{method_named(method).name}-{digest[:4]}{generation}"
        return Trial(name, method, parts[method], **{owner: parts[owner] for owner in SHARED})

    def objective(self) -> Objective:
        """The method, ready to be called."""
        return make_objective(self.method, self.hyperparameters)

    def training_settings(self, base: TrainingSettings) -> TrainingSettings:
        """The run's training settings with this trial's own."""
        return TrainingSettings.model_validate(base.model_dump() | dict(self.training))

    def selection_settings(self, base: SelectionSettings) -> SelectionSettings:
        """Which pairs the run is trained on."""
        return SelectionSettings.model_validate(base.model_dump() | dict(self.selection))

    def rounds_settings(self, base: RoundsSettings | None) -> RoundsSettings | None:
        """The rounds that the run is trained in, None for one on the given pairs alone."""
        return None if base is None else RoundsSettings.model_validate(base.model_dump() | dict(self.rounds))

    def described(self) -> dict[str, Any]:
        """What varies, in one flat dictionary, for tables; names of selection and rounds with their section."""
        named = {f"{owner}.{key}": value for owner in (SELECTION, ROUNDS) for key, value in getattr(self, owner).items()}
        return {**self.hyperparameters, **self.training, **named}

    def as_event(self) -> dict[str, Any]:
        """What the ledger keeps of it when it joins."""
        parts = {owner: dict(getattr(self, owner)) for owner in SHARED}
        told = {owner: part for owner, part in parts.items() if part or owner == TRAINING}
        return {"method": self.method, "hyperparameters": dict(self.hyperparameters), **told}


def trial_of(event: Mapping[str, Any]) -> Trial:
    """The trial of the ledger's event that it joined."""
    return Trial(event["trial"], event["method"], event["hyperparameters"], **{owner: event.get(owner, {}) for owner in SHARED})


def shared_settings(settings: Settings) -> dict[str, dict[str, Any]]:
    """The values of the sections that all trials share, for what a trial does not vary."""
    return {owner: section.model_dump() for owner in SHARED if (section := getattr(settings, owner)) is not None}


def joint_space(search: SearchSettings) -> dict[str, dict[str, Distribution]]:
    """The ranges of every method under its name, and of shared settings under their section's; the settings' own ranges go first.

    Those of training that are a method's alone stand under METHOD.training.
    """
    space = {name: dict(method_named(name).search_space) for name in search.arms}
    for owner, ranges in search.space.items():
        trained = {} if owner in _SECTIONS else own_training(search, owner)
        for key, given in ranges.items():
            kind, place = (TrainingSettings, f"{owner}.{TRAINING}") if key in trained else (_SECTIONS.get(owner), owner)
            space.setdefault(place, {})[key] = given.distribution(whole=kind is not None and kind.number(key) is int)
    return space


def own_training(search: SearchSettings, method: str) -> dict[str, RangeSettings]:
    """What may vary in the training of a method's trials as in no others."""
    return search.own_training(method, method_named(method)().hyperparameters())


def training_ranges(search: SearchSettings, method: str) -> dict[str, RangeSettings]:
    """What may vary in the training of a method's trials: its own ranges, and those that all methods share."""
    return {**search.space.get(TRAINING, {}), **own_training(search, method)}


def published_samples(methods: Sequence[str], space: Space, shared: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each method's published defaults, and the `shared_settings`, as a flat sample.

    What is outside its range is left to the searcher, and so is what the settings leave open.
    """
    samples = []
    for name in methods:
        defaults = {name: method_named(name)().hyperparameters(), **shared}
        flat = {}
        for place, distribution in ranges_of(name, space).items():
            owner, _, key = place.rpartition(".")
            if (value := defaults[owner][key]) is not None and distribution.contains(value):
                flat[place] = value
        samples.append({"method": name} | flat)
    return samples


def searched_selections(settings: Settings) -> list[SelectionSettings]:
    """The selections that a search may choose and that keep the fewest pairs: each metric, with the least share and the strictest bound."""
    ranges = settings.search.space.get(SELECTION, {})
    if not ranges:
        return []
    ends: dict[str, Any] = {key: given.ends for key, given in ranges.items()}
    strict = {key: pick(ends[key]) for key, pick in (("fraction", min), ("eta", max), ("tau", max)) if key in ends}
    base = settings.selection.model_dump() | strict
    metrics = ends.get("metric", [settings.selection.metric])
    return [SelectionSettings.model_validate(base | {"metric": metric}) for metric in metrics]


def ranges_of(method: str, space: Space) -> dict[str, Distribution]:
    """What may vary in a method's trials, its own and what training shares, by its name in a flat sample."""
    ranges = {f"{owner}.{key}": distribution for owner in (method, *SHARED) for key, distribution in space.get(owner, {}).items()}
    return ranges | {f"{TRAINING}.{key}": distribution for key, distribution in space.get(f"{method}.{TRAINING}", {}).items()}


def _owned(sample: Mapping[str, Any], owner: str) -> dict[str, Any]:
    split = ((key.rpartition("."), value) for key, value in sample.items())
    return {name: value for (before, _, name), value in split if before == owner}
