"""What a settings file names that can be looked at beforehand, whichever kind of run it is for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.doctor.findings import Finding, of_error, ok
from orchestrator.errors import SettingsError
from orchestrator.settings import (
    BenchmarkSettings,
    ClusterSettings,
    JudgeSettings,
    MixtureSettings,
    Settings,
)
from orchestrator.settings.reward import RewardSettings
from orchestrator.settings_file import check_settings, is_of_reward, load_reward_settings, read_toml, validated


@dataclass(frozen=True)
class EngineStart:
    """How an engine is started: the context, the share of a GPU's memory and over how many GPUs the model is spread."""

    max_model_len: int | None = None
    gpu_memory_utilization: float = 0.6
    gpus: int = 1


@dataclass(frozen=True)
class Subject:
    """The models (the first is the one that engines load), judges, data, prompts and cache of a run, and what it wants of a cluster.

    `judges` are different ones: the search's, that of the finals and those of the ladder. `precision` is that of training, "" without any.
    """

    models: tuple[str, ...] = ()
    judges: tuple[JudgeSettings, ...] = ()
    sources: tuple[MixtureSettings, ...] = ()
    prompts: tuple[Path, ...] = ()
    cache: Path | None = None
    cluster: ClusterSettings | None = None
    engine: EngineStart = EngineStart()
    optional: tuple[str, ...] = ()
    precision: str = ""

    @property
    def all_models(self) -> tuple[str, ...]:
        """The models that are loaded from files, those of judges among them."""
        judged = filter(None, (judge.local_model for judge in self.judges))
        return tuple(dict.fromkeys((*self.models, *judged)))


def read_subject(file: Path | None) -> tuple[Subject, list[Finding]]:
    """What a file names, and whether it can be used; without a file, nothing of both."""
    if file is None:
        return Subject(), []
    try:
        return subject_of(file), [ok("settings", str(file))]
    except SettingsError as error:
        return Subject(), [of_error("settings", error)]


def subject_of(file: Path) -> Subject:
    """Read the settings of a search, of a reward model or of a benchmark run. Raises SettingsError."""
    values, text = read_toml(file)
    if {"benchmarks", "capability"} & values.keys():
        return _of_benchmarks(validated(BenchmarkSettings, values, str(file), text))
    if is_of_reward(values):
        return _of_reward(load_reward_settings(file))
    return _of_run(check_settings(values, str(file), text))


def _of_run(settings: Settings) -> Subject:
    answering, model = settings.evaluation, settings.model
    return Subject(
        models=tuple(filter(None, (model.base, *model.reference, *model.references, *_scoring_models(settings)))),
        judges=_different([settings.judge, settings.finals.judge, *settings.ladder.models.values()]),
        sources=settings.data.sources,
        prompts=tuple(filter(None, (answering.prompts, answering.held_out))),
        cache=settings.cache.expanduser().resolve(),
        cluster=settings.cluster,
        engine=EngineStart(answering.max_model_len, answering.gpu_memory_utilization, settings.cluster.tensor_parallel),
        optional=_optional(settings),
        precision=settings.training.precision,
    )


def _of_reward(settings: RewardSettings) -> Subject:
    models = tuple(filter(None, (settings.model.base,)))
    cache, precision = settings.cache.expanduser().resolve(), settings.training.precision
    return Subject(models, (), settings.data.sources, (), cache, settings.cluster, precision=precision)


def _of_benchmarks(settings: BenchmarkSettings) -> Subject:
    answering, optional = settings.answering, ("lm-eval",) if settings.capability else ()
    engine = EngineStart(answering.max_model_len, answering.gpu_memory_utilization)
    return Subject(judges=_different([settings.judge]), cache=settings.cache.expanduser().resolve(), engine=engine, optional=optional)


def _different(judges: Sequence[JudgeSettings | None]) -> tuple[JudgeSettings, ...]:
    """Each judge once."""
    return tuple({judge.model_dump_json(): judge for judge in judges if judge is not None}.values())


def _scoring_models(settings: Settings) -> Iterator[str | None]:
    """The models that score responses in rounds, where they are loaded here."""
    return (scorer.local_model for scorer in (settings.rounds.scorers if settings.rounds is not None else ()))


def _optional(settings: Settings) -> tuple[str, ...]:
    """Packages outside the plain installation that the settings need."""
    lora = settings.training.lora
    wanted = {
        "lm-eval": settings.finals.capability is not None,
        "bitsandbytes": lora is not None and lora.quantization is not None,
        "cmaes": settings.search.searcher == "cmaes",
        "hpbandster": settings.search.searcher == "bohb",
        "scikit-learn": settings.search.scheduler == "pb2",
    }
    return tuple(name for name, is_wanted in wanted.items() if is_wanted)
