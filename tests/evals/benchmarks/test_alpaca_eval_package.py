"""The installed alpaca_eval reads our files and says what we say, and sends our judge the very prompts that we send."""

import csv
import importlib.util
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evals.benchmarks.alpaca_eval2 import difficulties, gamed_rows, is_switched, preference, score_annotations
from evals.benchmarks.files import DATA_VARIABLE, read_csv, read_rows
from evals.benchmarks.formats import Completion, annotation, leaderboard_row
from evals.benchmarks.length_control import length_controlled
from evals.benchmarks.score import BenchmarkScore
from evals.benchmarks.writing import write_annotations, write_json, write_leaderboard, write_model_outputs
from evals.protocols.alpaca_eval2 import question_messages
from tests.evals.benchmarks.official import DATA, needs_data

needs_package = pytest.mark.skipif(importlib.util.find_spec("alpaca_eval") is None, reason="alpaca_eval is not installed")
pytestmark = [needs_data, needs_package]

SCRIPT = Path(__file__).parent / "alpaca_eval_package.py"
JUDGE = "weighted_alpaca_eval_gpt4_turbo"
EVALUATED = "gemma-2b-it"
WITH_COMPLETIONS = (EVALUATED, "gpt-3.5-turbo-1106", "vicuna-13b-v1.5")
MODELS = (*WITH_COMPLETIONS, "claude-2.1", "alpaca-7b", "FuseChat-Gemma-2-9B-Instruct", "FuseChat-Llama-3.1-8B-Instruct")
FAILED = "with failed judgments"
EXACT = ("win_rate", "standard_error", "n_wins", "n_wins_base", "n_draws", "n_total", "discrete_win_rate")
# Texts that look like parts of the judge's template.
ODD = [
    {"instruction": "{output_1} {output_2}", "output_1": "{instruction}", "output_2": " {output_1}\n"},
    {"instruction": "a{output_2}", "output_1": "{output_2} <|im_end|> b", "output_2": "<|im_start|>user\nc"},
]

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Found:
    """What the package found in `folder`; `scores` are ours, of the same annotations."""

    folder: Path
    said: Mapping[str, Any]
    annotations: Mapping[str, Sequence[Row]]
    scores: Mapping[str, BenchmarkScore]


@pytest.fixture(scope="module", autouse=True)
def data() -> Iterator[None]:
    """The benchmark data are found."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(DATA_VARIABLE, str(DATA))
        yield


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """All that the tests look at, from one process: importing the package takes longer than running it."""
    folder = tmp_path_factory.mktemp("alpaca_eval")
    baseline = read_rows(DATA / "preference_text" / "baseline_outputs.jsonl.gz")
    outputs = public_outputs()
    annotations = {model: annotated(model, baseline, outputs[model]) for model in MODELS}
    annotations[FAILED] = [{**row, "generator_2": FAILED} for row in annotations["claude-2.1"]]
    for position in (0, 17, 400):
        annotations[FAILED][position]["preference"] = None
    scores = {}
    for model, rows in annotations.items():
        write_annotations(folder / model / "annotations.json", rows[::-1])
        (scores[model],) = score_annotations(rows)
    write_model_outputs(folder / "baseline.json", baseline)
    write_model_outputs(folder / "model_outputs.json", [{**b, **row} for b, row in zip(baseline, outputs[EVALUATED], strict=True)])
    write_leaderboard(folder / "leaderboard.csv", [scores["claude-2.1"], scores["alpaca-7b"]])
    write_json(folder / "completions.json", [completed(row) for row in annotations[EVALUATED]])
    gamed = str(DATA / "alpaca_eval2" / "df_gamed_reconstructed.csv.gz")
    template = str(DATA / "alpaca_eval2" / "judge" / "alpaca_eval_clf.txt")
    task = {"models": list(annotations), "with_completions": WITH_COMPLETIONS, "odd": ODD, "template": template}
    task["hub"] = {"df_gamed.csv": gamed}
    (folder / "task.json").write_text(json.dumps(task))
    done = subprocess.run([sys.executable, str(SCRIPT), str(folder)], capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr[-4000:]
    return Found(folder, json.loads((folder / "found.json").read_text()), annotations, scores)


def public_outputs() -> Mapping[str, Sequence[Row]]:
    """The models' outputs and official preferences, in official order."""
    rows: dict[str, list[Row]] = defaultdict(list)
    for row in read_rows(DATA / "preference_text" / "alpaca_eval2_raw.jsonl.gz"):
        rows[row["generator"]].append(row)
    return rows


def annotated(model: str, baseline: Sequence[Row], outputs: Sequence[Row]) -> list[dict[str, Any]]:
    """Annotations as an evaluation of ours writes them, from the recorded log-probabilities where there are some."""
    recorded = {row["index"]: row for row in read_csv(DATA / "alpaca_eval2/public/judge_logprobs.csv.gz") if row["model"] == model}
    rows = []
    for theirs, row in zip(baseline, outputs, strict=True):
        told = recorded.get(str(row["index"]))
        logprobs = {letter: float(told[f"lp_{letter}"]) for letter in "mM" if told[f"lp_{letter}"]} if told else {}
        letters = logprobs.get("m"), logprobs.get("M")
        value = preference(*letters, is_switched(theirs["instruction"])) if told else row["preference"]
        assert value == pytest.approx(row["preference"], abs=1e-9)
        completion = Completion(logprobs, price=0.01, seconds=0.2, tokens=900, version="judge", date="2024-01-01")
        rows.append(annotation(theirs, (theirs["generator"], model), row["output"], value, JUDGE, completion))
    return rows


def completed(row: Row) -> dict[str, Any]:
    """What the judge is sent for an annotation, and what it answered."""
    return {"messages": sent(row, is_switched(row["instruction"])), "completion": row["preference_raw_completion"]}


def sent(row: Row, switched: bool) -> list[list[str]]:
    messages = question_messages(row["instruction"], row["output_1"], row["output_2"], switched)
    return [[message.role, message.content] for message in messages]


@pytest.mark.parametrize("model", [*MODELS, FAILED])
def test_the_package_finds_our_win_rates_and_counts_in_our_annotations(model: str, found: Found) -> None:
    ours, theirs = leaderboard_row(found.scores[model]), found.said["metrics"][model]
    for said in (theirs["winrate"], theirs["cross_validated"]):
        assert [said[key] for key in EXACT] == pytest.approx([ours[key] for key in EXACT], abs=1e-9)


@pytest.mark.parametrize("model", MODELS)
def test_the_packages_length_control_of_our_annotations_is_ours(model: str, found: Found) -> None:
    theirs, score = found.said["metrics"][model], found.scores[model]
    assert theirs["cross_validated"]["length_controlled_winrate"] == pytest.approx(score.score, abs=0.2)
    # Above 10 all fits are alike, and their losses differ by less than the package's solver is exact.
    assert (theirs["c"] > 10) == (score.details["lc_c"] > 10)
    at_c = controlled_at(theirs["c"], found.annotations[model])
    assert theirs["at_c"]["length_controlled_winrate"] == pytest.approx(at_c, abs=0.02)


def test_failed_judgments_do_not_move_the_rows_after_them(found: Found) -> None:
    whole, failed = (found.said["metrics"][model]["at_c"]["length_controlled_winrate"] for model in ("claude-2.1", FAILED))
    assert failed == pytest.approx(whole, abs=0.3)
    assert failed == pytest.approx(found.scores[FAILED].score, abs=0.2)
    assert found.scores[FAILED].unreadable == 3


@pytest.mark.parametrize("model", WITH_COMPLETIONS)
def test_the_packages_parser_reads_the_preference_in_our_raw_completions(model: str, found: Found) -> None:
    rows, parsed = found.annotations[model], found.said["parsed"][model]
    for row, value in zip(rows, parsed, strict=True):
        if value is None:
            assert (row["preference"], row["output_1"]) == (1.5, row["output_2"])
        else:
            assert (3 - value if is_switched(row["instruction"]) else value) == pytest.approx(row["preference"], abs=1e-12)
    assert sum(value is not None for value in parsed) > 800


def test_model_outputs_are_byte_for_byte_what_pandas_writes(found: Found) -> None:
    assert found.said["outputs"] == [True, True]


def test_the_package_sends_our_judge_our_prompts_for_all_instructions(found: Found) -> None:
    assert found.said["evaluated"] == {"unknown": [], "unasked": 0}


def test_texts_that_look_like_the_template_are_sent_as_the_package_sends_them(found: Found) -> None:
    assert [sent(row, switched=False) for row in ODD] == found.said["odd"]


def test_a_whole_evaluation_by_the_package_writes_what_we_write(found: Found) -> None:
    theirs = read_rows(found.folder / "evaluated" / JUDGE / "annotations.json")
    ours = read_rows(found.folder / EVALUATED / "annotations.json")
    assert {frozenset(row) for row in theirs} == {frozenset(row) for row in ours}
    told = ("instruction", "dataset", "generator_1", "output_1", "generator_2", "output_2", "annotator", "preference_raw_completion")
    for one, other in zip(theirs, ours, strict=True):
        assert [one[key] for key in told] == [other[key] for key in told]
        assert one["preference"] == pytest.approx(other["preference"], abs=1e-9)


def test_the_package_puts_its_row_on_our_leaderboard(found: Found) -> None:
    with (found.folder / "evaluated" / JUDGE / "leaderboard.csv").open(encoding="utf-8") as lines:
        table = {row[""]: row for row in csv.DictReader(lines)}
    assert set(table) == {EVALUATED, "claude-2.1", "alpaca-7b"}
    for model, row in table.items():
        ours = leaderboard_row(found.scores[model])
        assert row["mode"] == ours["mode"]
        assert [float(row[key]) for key in EXACT] == pytest.approx([ours[key] for key in EXACT], abs=1e-9)
        assert float(row["length_controlled_winrate"]) == pytest.approx(ours["length_controlled_winrate"], abs=0.2)
        assert int(row["avg_length"]) == ours["avg_length"]


def controlled_at(c: float, rows: Sequence[Row]) -> float:
    lengths = np.array([len(row["output_1"]) - len(row["output_2"]) for row in rows], dtype=np.float64)
    difficulty = np.array([difficulties()[row["instruction"]] for row in rows])
    return length_controlled(np.array([row["preference"] - 1 for row in rows]), lengths, difficulty, gamed_rows(), c).win_rate
