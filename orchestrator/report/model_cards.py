"""The card of a trained model, as the Hugging Face hub shows it: what it is, how it was made, what it wins, and how sure that is."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evals.vllm_engine import allowed_rank
from orchestrator.errors import SettingsError
from orchestrator.figures import with_interval
from orchestrator.objectives import Objective, method_named
from orchestrator.preferences.sources import is_hub_name
from orchestrator.report import words
from orchestrator.report.plain_text import plain
from orchestrator.search.trial import Trial
from orchestrator.settings import Settings

UNKNOWN = "unknown"
CARD, REPRODUCTION = "README.md", "training.json"
# Of the settings of training, those that decide the result; how many tokens fit in memory does not.
_SHOWN = (
    *("learning_rate", "schedule", "warmup", "batch_size", "epochs", "steps", "precision", "weight_decay", "adam_betas"),
    *("gradient_clipping", "lora", "seed"),
)
# A licence of the hub's list is named by such a word.
_LICENCE = re.compile(r"[a-z0-9][a-z0-9.-]*")


@dataclass(frozen=True)
class Score:
    """A win rate against the base model in percent, with its 95 % interval and what it stands on.

    `seeds` are those of the trainings that it is a mean over. `findings` are what guards found in the answers, in sentences.
    """

    prompts: str
    win_rate: float
    low: float
    high: float
    judged: int
    unreadable: int
    judge: str
    decoding: Mapping[str, Any]
    prompts_sha256: str
    mean_length: float | None = None
    seeds: Sequence[int] = ()
    findings: Sequence[str] = ()
    unfinished: float | None = None

    @staticmethod
    def of(prompts: str, card: Mapping[str, Any], seeds: Sequence[int] = ()) -> "Score":
        """From a scorecard in its JSON form."""
        figures = {name: card[name] for name in ("win_rate", "low", "high", "judged", "unreadable", "mean_length")}
        how = {"judge": card.get("judge", UNKNOWN), "decoding": card.get("decoding", {}), "unfinished": card.get("unfinished")}
        findings = tuple(finding["detail"] for finding in card.get("findings", ()))
        return Score(prompts, prompts_sha256=card.get("prompts_sha256", ""), seeds=seeds, findings=findings, **figures, **how)

    @property
    def length(self) -> str:
        """The mean length, and how many answers were cut off; nothing where it is not known."""
        return words.length(self.mean_length, self.unfinished)

    @property
    def rate(self) -> str:
        """The number with its interval."""
        return with_interval(vars(self))


@dataclass(frozen=True)
class Trained:
    """A model that a run left, and what the run's files tell of it.

    `command` is the kind of the run, a `daa` command; `step` that of the checkpoint. `sentences` are the run's answer, `training` what the
    checkpoint's step told of itself, `versions` those of the libraries, () where the run did not write them down. `took_over` is the run
    whose training this one went on with, and the step.
    """

    name: str
    command: str
    model: str
    settings: Settings
    trial: Trial
    step: int | None = None
    scores: Sequence[Score] = ()
    sentences: Sequence[str] = ()
    training: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    took_over: tuple[str, int] | None = None

    @property
    def base(self) -> str:
        """The model that was trained."""
        world = self.settings.world
        return self.settings.model.base or (f"a model made on the spot ({world.kind})" if world else UNKNOWN)

    @property
    def method(self) -> type[Objective] | None:
        """The method's class; None for one of the user's own that cannot be found from here."""
        try:
            return method_named(self.trial.method)
        except SettingsError:
            return None

    @property
    def shared_rounds(self) -> int:
        """How many rounds shared the steps of this one training, as those of a search do; 1 for all others."""
        rounds = self.trial.rounds_settings(self.settings.rounds)
        return rounds.count if rounds and self.command == "search" else 1

    def reproduction(self) -> Settings:
        """The settings that train this model again, by themselves: its method, its hyperparameters and its own training."""
        trial, settings = self.trial, self.settings
        own = {
            "method": trial.method,
            "hyperparameters": dict(trial.hyperparameters),
            "data": settings.data.published(),
            "training": trial.training_settings(settings.training),
            "selection": trial.selection_settings(settings.selection),
            "rounds": trial.rounds_settings(settings.rounds),
        }
        return settings.model_copy(update=own)


@dataclass(frozen=True)
class Publication:
    """What only who publishes a model knows, and the form it leaves in: "full", "merged" or "adapter"."""

    form: str = "full"
    licence: str = UNKNOWN
    data_licence: str = UNKNOWN
    base: str | None = None


def model_card(trained: Trained, how: Publication) -> str:
    """The card: YAML for the hub, then Markdown for people."""
    from jinja2 import Environment, PackageLoader

    environment = Environment(loader=PackageLoader("orchestrator.report"), trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    environment.filters |= {"plain": plain, "number": _number}
    method = trained.method
    return environment.get_template("model_card.md").render(
        front_matter=front_matter(trained, how),
        trained=trained,
        how=how,
        base=how.base or trained.base,
        paper=(method.paper if method else "") or UNKNOWN,
        summary=(method.__doc__ or "").split("\n\n")[0] if method else "",
        own=method(**trained.trial.hyperparameters).hyperparameters() if method else trained.trial.hyperparameters,
        training=(training := _training(trained)),
        lora_rank=allowed_rank(training["lora"]["rank"]) if "lora" in training else None,
        data=_data(trained),
        command=f"daa {'rounds' if trained.settings.rounds else 'train'} {REPRODUCTION} --dir runs/again",
        findings=dict.fromkeys(finding for score in trained.scores for finding in score.findings),
    )


def front_matter(trained: Trained, how: Publication) -> str:
    """What the hub reads: licence, base model, data sets, tags, and the scores as a model index."""
    from huggingface_hub import EvalResult, ModelCardData

    known = _LICENCE.fullmatch(how.licence) is not None
    results = [
        EvalResult(
            task_type="text-generation",
            dataset_type="preference-evaluation",
            dataset_name=score.prompts,
            # The hub counts two scores of one type and configuration as two of one data set.
            dataset_config=score.prompts,
            dataset_args={"prompts_sha256": score.prompts_sha256, "judge": score.judge},
            metric_type="win_rate",
            metric_name=f"win rate against the base model in %, 95 % interval {score.low:.1f} to {score.high:.1f}",
            metric_value=round(score.win_rate, 2),
        )
        for score in trained.scores
    ]
    data = ModelCardData(
        base_model=how.base or trained.base,
        datasets=[part.source for part in trained.settings.data.sources if is_hub_name(part.source)] or None,
        library_name="peft" if how.form == "adapter" else "transformers",
        license=how.licence if known else "other",
        license_name=None if known else how.licence,
        metrics=["win_rate"] if results else None,
        model_name=trained.name if results else None,
        eval_results=results or None,
        pipeline_tag="text-generation",
        tags=["daa-orchestrator", "preference-optimization", "direct-alignment", trained.trial.method],
        data_license=how.data_licence,
    )
    return data.to_yaml()


def _training(trained: Trained) -> dict[str, Any]:
    """What the trial was trained with, by name, without what was not used."""
    settings = trained.reproduction().training
    found = {name: getattr(settings, name) for name in _SHOWN}
    lora = settings.lora.model_dump(exclude_none=True) if settings.lora else None
    return {name: value for name, value in (found | {"lora": lora}).items() if value is not None}


def _data(trained: Trained) -> list[str]:
    """The sources of the pairs, in words."""
    settings = trained.settings
    sources = [
        part.named + (f", weight {part.weight:g}" if part.weight != 1 else "") + (f", the first {part.limit}" if part.limit else "")
        for part in settings.data.sources
    ]
    own = ["the model's own answers, made in rounds"] if settings.rounds else []
    return sources + own or ["made on the spot" if settings.world else UNKNOWN]


def _number(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
