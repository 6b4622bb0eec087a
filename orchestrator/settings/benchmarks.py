"""The settings of benchmark runs: which benchmarks, who judges, how answers are made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveInt, model_validator

from orchestrator.settings.evaluation import JudgeSettings
from orchestrator.settings.section import DEFAULT_CACHE, Section

BenchmarkName = Literal["alpaca_eval2", "arena_hard_v0.1", "arena_hard_v2.0", "mt_bench"]


class AnsweringSettings(Section):
    """How the models answer. `max_tokens` is the benchmark's own unless given; MT-Bench's categories have their own temperatures.

    `engine_gpus` GPUs go to the one engine that answers for every model in turn, by tensor parallelism where there are several; by default
    one, where the cluster has any.
    """

    temperature: NonNegativeFloat = 0.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    max_tokens: PositiveInt | None = None
    max_model_len: PositiveInt | None = None
    gpu_memory_utilization: Annotated[float, Field(gt=0, lt=1)] = 0.6
    engine_gpus: NonNegativeFloat | None = None


class CapabilitySettings(Section):
    """Tasks of lm-evaluation-harness that ask for text, the first `limit` questions of each; `task_files` is a directory of own tasks."""

    tasks: Annotated[tuple[str, ...], Field(min_length=1)] = ("gsm8k", "triviaqa")
    limit: PositiveInt | None = 200
    task_files: Path | None = None


class BenchmarkSettings(Section):
    """A run of benchmarks, which need a judge, of the capability guard, which needs none, or of both.

    `limit` takes that many prompts of each benchmark, always the same ones; a larger sample holds the smaller. A score for which more than
    the share `max_unreadable` of verdicts could not be read is refused. MT-Bench is graded turn by turn with the reference answers of
    `mt_bench_references`, or compared with the answers in the file `mt_bench_baseline`.
    """

    benchmarks: tuple[BenchmarkName, ...] = ()
    judge: JudgeSettings | None = None
    capability: CapabilitySettings | None = None
    answering: AnsweringSettings = AnsweringSettings()
    limit: PositiveInt | None = None
    max_unreadable: Annotated[float, Field(ge=0, lt=1)] = 0.1
    mt_bench_references: Literal["gpt-4", "gpt-4-1106-preview"] = "gpt-4"
    mt_bench_baseline: Path | None = None
    cache: Path = DEFAULT_CACHE

    @model_validator(mode="after")
    def _has_work(self) -> BenchmarkSettings:
        if not self.benchmarks and self.capability is None:
            raise ValueError("neither `benchmarks` nor `capability` is given: name at least one benchmark or task")
        if self.benchmarks and self.judge is None:
            raise ValueError("benchmarks are judged: give a [judge]")
        return self
