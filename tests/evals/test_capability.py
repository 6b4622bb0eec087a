"""The capability guard: real tasks of lm-evaluation-harness, their data local, asked of a model made here."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from evals.asking import Keep, Question, Reply, forget
from evals.benchmarks.score import BenchmarkScore
from evals.capability import CapabilitySuite, losses
from evals.errors import UserError
from evals.protocols.answering import Candidate

QUESTIONS = 40
TASK = """
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
output_type: {kind}
test_split: test
doc_to_text: "What is {{{{a}}}} plus {{{{b}}}}?"
doc_to_target: "{{{{answer}}}}"
num_fewshot: {shots}
fewshot_split: test
generation_kwargs: {{until: ["\\n"], do_sample: false, max_gen_toks: 8}}
metric_list: [{{metric: {metric}, aggregation: {mean}, higher_is_better: true}}]
"""


@dataclass
class Calculator:
    """Adds, but is wrong about every `wrong_every`-th question; goes on after the answer, as models do."""

    wrong_every: int
    repeats_itself: bool = True
    name: str = "calculator"
    mute_after: int = 1000

    def __post_init__(self) -> None:
        self.identity = f"calculator {self.wrong_every}"
        self.asked: list[Question] = []

    def ask(self, questions: Sequence[Question], keep: Keep = forget) -> list[Reply]:
        self.asked += questions
        sums = [[int(word) for word in q.messages[-1].content.strip("?").split() if word.isdigit()] for q in questions]
        right = [Reply(f"{sum(s) + (n % self.wrong_every == 0)}\nWhat is next?") for n, s in enumerate(sums)]
        return right[: self.mute_after] + [Reply(failure="longer than the context")] * len(right[self.mute_after :])


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("tasks")
    data = directory / "sums.jsonl"
    data.write_text("".join(json.dumps({"a": n, "b": 2, "answer": str(n + 2)}) + "\n" for n in range(QUESTIONS)))

    def write(name: str, kind: str, metric: str, mean: str, shots: int = 0) -> str:
        task = TASK.format(name=name, data=data, kind=kind, metric=metric, mean=mean, shots=shots)
        (directory / f"{name}.yaml").write_text(task)
        return task

    write("sums", "generate_until", "exact_match", "mean", shots=2)
    write("chrf_sums", "generate_until", "chrf", "chrf")
    choice = write("likelier", "multiple_choice", "acc", "mean").replace('"{{answer}}"', '0\ndoc_to_choice: ["1", "2"]')
    (directory / "likelier.yaml").write_text(choice)
    (directory / "suite.yaml").write_text("group: suite\ntask:\n  - gsm8k\n")
    return directory


def test_right_answers_are_counted_and_few_shot_examples_are_turns_of_a_conversation(tasks: Path) -> None:
    model = Calculator(wrong_every=4)
    (score,) = CapabilitySuite(("sums",), 20, tasks).measure(model, Candidate("mine", "adapters/mine"))
    assert (score.benchmark, score.model, score.score, score.judged) == ("capability sums", "mine", 75.0, 20)
    assert score.low < 75 < score.high
    assert sum(share**2 for share in score.influence.values()) ** 0.5 == pytest.approx(score.standard_error)
    first = model.asked[0]
    assert [message.role for message in first.messages] == ["user", "assistant", "user", "assistant", "user"]
    assert first.messages[-1].content == "What is 0 plus 2?"
    assert (first.decoding.max_tokens, first.decoding.temperature, first.adapter) == (8, 0.0, "adapters/mine")


def test_what_was_surely_lost_is_a_finding_and_what_may_be_chance_is_none(tasks: Path) -> None:
    suite = CapabilitySuite(("sums",), None, tasks)
    before, worse, same = (suite.measure(Calculator(every), Candidate(name)) for every, name in ((20, "base"), (2, "tuned"), (13, "other")))
    (finding,) = losses(worse, before)
    assert finding.guard == "capability"
    assert finding.share == pytest.approx(0.45)
    assert finding.detail.startswith("capability sums fell by 45.0 points (95 % ")
    assert finding.detail.endswith("against base")
    assert losses(same, before) == losses(before, before) == losses(before, worse) == []


@pytest.mark.parametrize(
    ("task", "what"), [("likelier", "probabilities of given answers"), ("chrf_sums", "no share of right answers"), ("sms", "no task 'sms'")]
)
def test_tasks_that_cannot_be_asked_are_refused(tasks: Path, task: str, what: str) -> None:
    suite = CapabilitySuite((task,), 2, tasks)
    with pytest.raises(UserError, match=what):
        suite.check()
        suite.measure(Calculator(2), Candidate("mine"))


def test_what_can_be_known_before_a_model_is_asked_is_refused_before(tasks: Path, tmp_path: Path) -> None:
    gone = (tasks / "sums.yaml").read_text().replace("sums.jsonl", "gone.jsonl").replace("task: sums", "task: gone")
    (tmp_path / "gone.yaml").write_text(gone)
    CapabilitySuite(("sums",), 2, tasks).check()
    for task, directory, what in (("gone", tmp_path, "cannot be loaded"), ("likelier", tasks, "not for text")):
        with pytest.raises(UserError, match=what):
            CapabilitySuite((task,), 2, directory).check()


@pytest.mark.parametrize(
    ("ours", "theirs", "what"),
    [
        ("{{a}} plus", "{{c}} plus", "'c' is undefined"),
        ('"{{answer}}"', "!function gone.answer", "gone"),
        ('"{{answer}}"', "!function needy.answer", "No module named 'nobody_has_this'"),
    ],
)
def test_a_task_whose_own_file_is_at_fault_is_refused_with_the_fault(
    ours: str, theirs: str, what: str, tasks: Path, tmp_path: Path
) -> None:
    (tmp_path / "needy.py").write_text("import nobody_has_this\n")
    (tmp_path / "mine.yaml").write_text((tasks / "sums.yaml").read_text().replace("task: sums", "task: mine").replace(ours, theirs))
    with pytest.raises(UserError, match=f"cannot be loaded: .*{what}") as refused:
        CapabilitySuite(("mine",), 20, tmp_path).check()
    assert refused.value.where == "mine"


def test_a_group_of_ones_own_may_name_tasks_of_the_harness(tasks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The hub is not knocked at.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    # Its data are on the hub, and named as what is missing.
    with pytest.raises(UserError, match="cannot be loaded"):
        CapabilitySuite(("suite",), 2, tasks).check()


def test_a_harness_that_is_not_installed_is_named_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("evals.capability.version", none)
    with pytest.raises(UserError, match="not installed") as refused:
        CapabilitySuite(task_files=Path("never seen before")).check()
    assert refused.value.cure == "pip install 'daa-orchestrator[capability]'"


def test_data_that_cannot_be_had_are_named(tasks: Path, tmp_path: Path) -> None:
    (tmp_path / "gone.yaml").write_text(
        (tasks / "sums.yaml").read_text().replace("sums.jsonl", "gone.jsonl").replace("task: sums", "task: gone")
    )
    with pytest.raises(UserError, match="cannot be loaded"):
        CapabilitySuite(("gone",), 2, tmp_path).measure(Calculator(2), Candidate("mine"))


@pytest.mark.parametrize(("mute_after", "judged"), [(10, 10), (0, 0)])
def test_a_question_that_could_not_be_asked_is_no_wrong_answer(tasks: Path, mute_after: int, judged: int) -> None:
    def measure() -> BenchmarkScore:
        return CapabilitySuite(("sums",), 20, tasks).measure(Calculator(1000, mute_after=mute_after), Candidate("mine"))[0]

    if judged:
        assert (measure().score, measure().judged, measure().unreadable) == (pytest.approx(90), judged, 20 - judged)
    else:
        with pytest.raises(UserError, match="mine answered none of the 20 questions of sums: longer than the context"):
            measure()
