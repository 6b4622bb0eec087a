"""Official benchmarks, run: from a model's answers and a judge's replies to official files and scores."""

from collections.abc import Callable, Mapping
from pathlib import Path

from evals.benchmarks.sources import ALPACA_EVAL2, ARENA_HARD_V0_1, ARENA_HARD_V2_0, MT_BENCH
from evals.errors import UserError
from evals.protocols.alpaca_eval2 import AlpacaEval2
from evals.protocols.arena_hard import ArenaHard
from evals.protocols.contract import Benchmark
from evals.protocols.mt_bench import MTBench


def make_benchmark(
    name: str, limit: int | None = None, references: str = "gpt-4", baseline_outputs: Path | None = None, swap_sample: int | None = 50
) -> Benchmark:
    """A benchmark by its name, with the settings that concern it. Raises UserError for a name that there is not."""
    makers: Mapping[str, Callable[[], Benchmark]] = {
        ALPACA_EVAL2: lambda: AlpacaEval2(swap_sample, limit),
        ARENA_HARD_V0_1: lambda: ArenaHard("v0.1", limit),
        ARENA_HARD_V2_0: lambda: ArenaHard("v2.0", limit),
        MT_BENCH: lambda: MTBench(references, baseline_outputs, limit),
    }
    if name not in makers:
        raise UserError(f"there is no benchmark {name!r}", "--benchmark", f"choose {', '.join(makers)}")
    return makers[name]()


__all__ = ["Benchmark", "make_benchmark"]
