"""Official benchmarks, run: from a model's answers and a judge's replies to official files and scores."""

from collections.abc import Mapping
from pathlib import Path

from evals.errors import UserError
from evals.protocols.alpaca_eval2 import AlpacaEval2
from evals.protocols.arena_hard import ArenaHard
from evals.protocols.contract import Benchmark
from evals.protocols.mt_bench import MTBench

NAMES = ("alpaca_eval2", "arena_hard_v0.1", "arena_hard_v2.0", "mt_bench")


def make_benchmark(
    name: str, limit: int | None = None, references: str = "gpt-4", baseline_outputs: Path | None = None, swap_sample: int | None = 50
) -> Benchmark:
    """A benchmark by its name, with the settings that concern it. Raises UserError for a name that there is not."""
    benchmarks: Mapping[str, Benchmark] = {
        "alpaca_eval2": AlpacaEval2(swap_sample, limit),
        "arena_hard_v0.1": ArenaHard("v0.1", limit),
        "arena_hard_v2.0": ArenaHard("v2.0", limit),
        "mt_bench": MTBench(references, baseline_outputs, limit),
    }
    if name not in benchmarks:
        raise UserError(f"there is no benchmark {name!r}", "--benchmark", f"choose {', '.join(benchmarks)}")
    return benchmarks[name]


__all__ = ["NAMES", "Benchmark", "make_benchmark"]
