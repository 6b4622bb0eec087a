"""Official benchmarks, recomputed from official files: one module each, all of them named in BENCHMARKS."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from evals.benchmarks import alpaca_eval2, arena_hard, mt_bench
from evals.benchmarks.score import BenchmarkScore

BENCHMARKS: Mapping[str, Callable[[Sequence[Mapping[str, Any]]], list[BenchmarkScore]]] = {
    "alpaca_eval2": alpaca_eval2.score_annotations,
    "arena_hard": arena_hard.score_judgments,
    "mt_bench": mt_bench.score_judgments,
}

__all__ = ["BENCHMARKS", "BenchmarkScore"]
