"""`daa eval` as a user gives it: official prompts of three benchmarks, a judge in vLLM, a kill in the middle, adapters, the guard."""

import json
import signal
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from evals.benchmarks.files import DATA_VARIABLE, read_rows
from tests.cluster.judge_model import make_candidate, make_judge
from tests.cluster.small_search import RunningCommand, wait_until
from tests.evals.benchmarks.official import DATA, needs_data
from tests.evals.tiny_model import make_adapter

pytestmark = [needs_data, pytest.mark.cluster, pytest.mark.timeout(1200)]
BENCHMARKS = ("alpaca_eval2", "arena_hard_v0.1", "mt_bench")
LIMIT = 10
SETTINGS = """
benchmarks = {benchmarks}
limit = {limit}
cache = "{root}/cache"
[answering]
max_tokens = 24
[judge]
kind = "vllm"
model = "{root}/judge"
swap_sample = 4
[capability]
tasks = ["sums"]
task_files = "{root}/tasks"
"""
TASK = """
task: sums
dataset_path: json
dataset_kwargs: {{data_files: {{test: {root}/tasks/sums.jsonl}}}}
output_type: generate_until
test_split: test
doc_to_text: "What is {{{{a}}}} plus one?"
doc_to_target: "{{{{b}}}}"
generation_kwargs: {{until: ["\\n"], do_sample: false, max_gen_toks: 4}}
metric_list: [{{metric: exact_match, aggregation: mean, higher_is_better: true}}]
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models, tasks and settings."""
    root = tmp_path_factory.mktemp("benchmarks")
    texts = [row["instruction"] for row in read_rows(DATA / "preference_text" / "baseline_outputs.jsonl.gz")]
    make_candidate(root / "base", texts, seed=1)
    for seed in (2, 3):
        make_adapter(root / f"adapter-{seed}", root / "base", seed)
    make_judge(root / "judge", texts)
    (root / "tasks").mkdir()
    (root / "tasks" / "sums.jsonl").write_text("".join(json.dumps({"a": n, "b": str(n + 1)}) + "\n" for n in range(6)))
    (root / "tasks" / "sums.yaml").write_text(TASK.format(root=root))
    (root / "benchmarks.toml").write_text(SETTINGS.format(root=root, benchmarks=json.dumps(BENCHMARKS), limit=LIMIT))
    return root


def start(root: Path) -> RunningCommand:
    models = [str(root / name) for name in ("base", "adapter-2", "adapter-3")]
    return RunningCommand("eval", *models, "--settings", str(root / "benchmarks.toml"), "--dir", str(root / "run"))


def replies(root: Path, model: str) -> list[Mapping[str, Any]]:
    """The whole lines in the files of the model's replies."""
    lines = [line for file in (root / "cache" / "replies").glob("*.jsonl") for line in file.read_text().splitlines(keepends=True)]
    return [row for line in lines if line.endswith("\n") and f"/{model} " in (row := json.loads(line))["model"]]


def engine_starts(log: Path) -> int:
    return log.read_text().count("Enforce eager set")


def test_models_are_scored_and_after_a_kill_in_the_middle_no_reply_is_asked_for_twice(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DATA_VARIABLE, str(DATA))
    first = start(root)
    wait_until(lambda: len(replies(root, "judge")) > 5, 400, "the judge has begun")
    first.process.send_signal(signal.SIGKILL)
    wait_until(lambda: not first.processes(), 120, "nothing is left of the killed driver's processes")
    at_the_kill = len(replies(root, "judge"))

    output = start(root).wait(600)

    asked = Counter(row["key"] for row in replies(root, "judge"))
    assert max(asked.values()) == 1
    assert at_the_kill < len(asked)
    assert {row["model"] for row in replies(root, "base")}
    content = json.loads((root / "run" / "scorecards.json").read_text())
    check_scorecards(content["scorecards"])
    check_comparisons(content["comparisons"])
    assert engine_starts(root / "run" / "logs" / "engine.log") == 2, "one for each of the two commands"
    assert "capability sums" in output
    assert "Traceback" not in output


def check_scorecards(cards: list[Mapping[str, Any]]) -> None:
    """Each model has a score with its doubt on each benchmark, and each says how it came about."""
    names = {"alpaca_eval2", "arena_hard", "mt_bench", "capability sums"}
    assert {(card["benchmark"], card["model"]) for card in cards} == {(n, m) for n in names for m in ("base", "adapter-2", "adapter-3")}
    for card in cards:
        assert card["low"] <= card["score"] <= card["high"]
        if not card["benchmark"].startswith("capability"):
            assert card["unreadable"] == 0
            assert card["prompts"] == LIMIT
            assert len(card["prompts_sha256"]) == 64
            assert card["judge"].startswith("vllm ")
            assert card["decoding"]["max_tokens"] == 24
            assert 0 <= card["unfinished"] <= 1
    of_two_seats = [card["swap_consistency"] for card in cards if card["benchmark"] in {"alpaca_eval2", "arena_hard"}]
    assert all(0 <= share <= 1 for share in of_two_seats)
    assert len({card["score"] for card in cards if card["benchmark"] == "mt_bench"}) > 1, "adapters answer as themselves"


def check_comparisons(rows: list[Mapping[str, Any]]) -> None:
    """The adapters are compared with the base on the same prompts."""
    assert {row["against"] for row in rows} == {"base"}
    assert {row["model"] for row in rows} == {"adapter-2", "adapter-3"}
    assert all(row["low"] <= row["difference"] <= row["high"] and 0 <= row["p"] <= 1 for row in rows)
