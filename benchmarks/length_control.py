"""How long length control takes here and in alpaca_eval, on the same annotations in the same run.

`python benchmarks/length_control.py --data DIR`, where DIR holds alpaca_eval2/ and preference_text/. Every repeat times both, one after
the other; the package's function reads the gamed verdicts from a file, which is part of what it does.
"""

import gzip
import os
import resource
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any
from unittest.mock import patch

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from evals.benchmarks.alpaca_eval2 import difficulties, gamed_rows, score_annotations
from evals.benchmarks.files import DATA_VARIABLE, benchmark_file, read_rows
from evals.benchmarks.length_control import length_controlled

# Ours, in milliseconds.
TARGETS = {"cross-validated": 20.0, "fixed c": 2.0}

Row = Mapping[str, Any]
Measured = Callable[[], float]


@dataclass(frozen=True)
class Timing:
    """Medians over the repeats, in milliseconds, and the length-controlled win rates."""

    ours: float
    theirs: float
    our_rate: float
    their_rate: float


def main(
    data: Annotated[Path, typer.Option(help="The benchmark data.", envvar=DATA_VARIABLE)],
    model: Annotated[str, typer.Option(help="One of the models in preference_text/.")] = "claude-2.1",
    repeats: Annotated[int, typer.Option(help="Pairs of runs.", min=1)] = 30,
) -> None:
    os.environ |= {DATA_VARIABLE: str(data), "HF_HUB_OFFLINE": "1"}
    started = megabytes()
    rows = annotations(model)
    read = megabytes()
    score_annotations(rows)
    scored = megabytes()
    timings = compare(data, rows, repeats)
    console = Console()
    console.print(table(model, repeats, timings))
    console.print(
        f"peak resident memory: {started:.0f} MB after imports, {read:.0f} MB with the annotations read, {scored:.0f} MB after scoring, "
        f"{megabytes():.0f} MB with alpaca_eval"
    )
    late = [name for name, target in TARGETS.items() if timings[name].ours > target]
    console.print(f"targets missed: {', '.join(late)}" if late else "both targets are met")


def annotations(model: str) -> Sequence[Row]:
    """The model's official annotations."""
    baseline = read_rows(benchmark_file("preference_text/baseline_outputs.jsonl"))
    outputs = [row for row in read_rows(benchmark_file("preference_text/alpaca_eval2_raw.jsonl")) if row["generator"] == model]
    return [
        {
            "instruction": theirs["instruction"],
            "output_1": theirs["output"],
            "generator_1": theirs["generator"],
            "output_2": row["output"],
            "generator_2": model,
            "annotator": "weighted_alpaca_eval_gpt4_turbo",
            "preference": row["preference"],
        }
        for theirs, row in zip(baseline, outputs, strict=True)
    ]


def compare(data: Path, rows: Sequence[Row], repeats: int) -> Mapping[str, Timing]:
    """Each measurement by both."""
    import pandas as pd
    from alpaca_eval.metrics import glm_winrate

    frame = pd.DataFrame(list(rows))
    features = inputs(rows)
    c = length_controlled(*features, gamed_rows()).c
    fixed = {**glm_winrate.GLM_INFO["length_controlled_v1"], "kwargs": {"n_splits": 0, "C": c}}

    def theirs(glm_info: Any = None) -> float:
        found = glm_winrate.get_length_controlled_winrate(
            frame, save_weights_dir=None, glm_info=glm_info, is_add_glm_preference_inplace=False
        )
        return found["length_controlled_winrate"]

    with tempfile.NamedTemporaryFile(suffix=".csv") as gamed, patch.object(glm_winrate, "hf_hub_download", lambda **_: gamed.name):
        gamed.write(gzip.decompress((data / "alpaca_eval2" / "df_gamed_reconstructed.csv.gz").read_bytes()))
        gamed.flush()
        return {
            "all figures of annotations": timed(lambda: score_annotations(rows)[0].score, theirs, repeats),
            "cross-validated": timed(lambda: length_controlled(*features, gamed_rows()).win_rate, theirs, repeats),
            "fixed c": timed(lambda: length_controlled(*features, gamed_rows(), c).win_rate, lambda: theirs(fixed), repeats),
        }


def inputs(rows: Sequence[Row]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Preferences, length differences and difficulties."""
    lengths = np.array([len(row["output_1"]) - len(row["output_2"]) for row in rows], dtype=np.float64)
    known = difficulties()
    return np.array([row["preference"] - 1 for row in rows]), lengths, np.array([known[row["instruction"]] for row in rows])


def timed(ours: Measured, theirs: Measured, repeats: int) -> Timing:
    """Both once unmeasured, then in pairs."""
    our_rate, their_rate = ours(), theirs()
    pairs = [(milliseconds(ours), milliseconds(theirs)) for _ in range(repeats)]
    return Timing(median(one for one, _ in pairs), median(other for _, other in pairs), our_rate, their_rate)


def milliseconds(measured: Measured) -> float:
    started = time.perf_counter()
    measured()
    return 1000 * (time.perf_counter() - started)


def megabytes() -> float:
    """The process's largest resident memory so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def table(model: str, repeats: int, timings: Mapping[str, Timing]) -> Table:
    drawn = Table(
        "", "ours, ms", "alpaca_eval, ms", "ratio", "target, ms", "our LC", "its LC", title=f"{model}, medians of {repeats} pairs"
    )
    for name, timing in timings.items():
        target = f"{TARGETS[name]:.0f}" if name in TARGETS else ""
        ratio = f"{timing.theirs / timing.ours:.1f}"
        rates = (f"{timing.our_rate:.4f}", f"{timing.their_rate:.4f}")
        drawn.add_row(name, f"{timing.ours:.2f}", f"{timing.theirs:.2f}", ratio, target, *rates)
    return drawn


if __name__ == "__main__":
    typer.run(main)
