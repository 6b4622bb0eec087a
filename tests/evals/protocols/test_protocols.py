"""Benchmarks as they are run: what the judge is sent, and what becomes of its replies, against the public record."""

import csv
import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evals.asking import Keep, Question, Reply, forget
from evals.benchmarks.files import read_rows
from evals.benchmarks.formats import Outputs
from evals.benchmarks.recompute import scores_of
from evals.chat_models.openai_model import OpenAIModel, OpenAIModelSettings
from evals.chat_models.remembering import remembered
from evals.errors import DataFormatError, SettingsError, UnreadableVerdictsError, UserError
from evals.judging import Match, Verdict
from evals.protocols import alpaca_eval2, make_benchmark
from evals.protocols.alpaca_eval2 import AlpacaEval2
from evals.protocols.answering import Candidate, answer, decoding_for
from evals.protocols.arena_hard import ArenaHard
from evals.protocols.contract import aligned
from evals.protocols.mt_bench import MTBench
from evals.protocols.running import check_readable, evaluate
from tests.evals.benchmarks.official import DATA, needs_data
from tests.evals.fake_server import Answer, FakeServer, completion, failure

pytestmark = needs_data


@pytest.fixture(autouse=True)
def data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAA_EVAL_DATA", str(DATA))


class Recorded:
    """A judge whose replies were recorded, by the question's id."""

    name, identity = "recorded", "recorded"
    repeats_itself: bool = True

    def __init__(self, replies: Mapping[str, Reply]) -> None:
        self.replies = replies

    def ask(self, questions: Sequence[Question], keep: Keep = forget) -> list[Reply]:
        return [self.replies.get(question.id, Reply()) for question in questions]


class Longer:
    """A judge of pairs that is surer of the longer answer the longer it is."""

    name = "longer"

    def judge(self, matches: Sequence[Match]) -> list[Verdict]:
        return [Verdict(m.prompt.id, len(m.candidate) / (len(m.candidate) + len(m.baseline))) for m in matches]


def alpaca_outputs(model: str) -> Outputs:
    rows = read_rows(DATA / "preference_text/alpaca_eval2_raw.jsonl.gz")
    return Outputs(model, {str(row["index"]): (row["output"],) for row in rows if row["generator"] == model})


def recorded_letters(model: str) -> dict[str, Reply]:
    with gzip.open(DATA / "alpaca_eval2/public/judge_logprobs.csv.gz", "rt") as lines:
        rows = [row for row in csv.DictReader(lines) if row["model"] == model]
    letters = {row["index"]: {"m": row["lp_m"], "M": row["lp_M"]} for row in rows}
    return {name: Reply(logprobs={key: float(v) for key, v in told.items() if v}) for name, told in letters.items()}


@pytest.mark.parametrize("model", ["gpt-3.5-turbo-1106", "gemma-2b-it"])
def test_recorded_replies_of_the_official_judge_give_the_official_row(model: str) -> None:
    published = {row["model"]: row for row in read_csv(DATA / "alpaca_eval2/public/leaderboard_rows.csv")}
    if model not in published:
        pytest.skip(f"{model} is not in this record")
    evaluation = evaluate(AlpacaEval2(swap_sample=0), alpaca_outputs(model), Recorded(recorded_letters(model)))
    (score,) = evaluation.scores
    assert score.details["win_rate"] == pytest.approx(float(published[model]["win_rate"]), abs=1e-6)
    assert score.score == pytest.approx(float(published[model]["length_controlled_winrate"]), abs=0.2)
    assert (score.judged, score.unreadable) == (805, 0)


def test_alpaca_evals_order_is_the_recorded_one() -> None:
    with gzip.open(DATA / "alpaca_eval2/public/judge_logprobs.csv.gz", "rt") as lines:
        rows = [row for row in csv.DictReader(lines) if row["model"] == "gpt-3.5-turbo-1106"]
    outputs = alpaca_outputs("gpt-3.5-turbo-1106")
    questions = {question.id: question for question in AlpacaEval2(swap_sample=0).questions(outputs)}
    for row in rows:
        text = questions[row["index"]].messages[1].content
        ours = f'"model_identifier": "m",\n        "output": """{outputs.answers[row["index"]][0]}"""'
        assert (ours in text) == (row["switched"] in ("1", "True", "true")), row["index"]


def test_an_output_equal_to_the_baselines_ties_and_is_not_asked_about() -> None:
    benchmark = AlpacaEval2(limit=20)
    outputs = Outputs("copy", dict(benchmark.baseline()))
    assert benchmark.questions(outputs) == []
    (score,) = evaluate(benchmark, outputs, Recorded({})).scores
    assert score.details["win_rate"] == 50


def test_position_bias_is_seen_in_the_pairs_asked_in_both_orders() -> None:
    benchmark = AlpacaEval2(swap_sample=40, limit=100)
    outputs = Outputs("other", {name: (f"{text} indeed",) for name, (text,) in benchmark.baseline().items()})
    first_always = {question.id: Reply(logprobs={"m": -0.01, "M": -5.0}) for question in benchmark.questions(outputs)}
    (score,) = evaluate(benchmark, outputs, Recorded(first_always)).scores
    assert len(first_always) == 140
    assert score.details["swap_consistency"] == 0.0
    assert score.details["first_seat"] > 99


def test_a_larger_sample_of_prompts_holds_the_smaller_one() -> None:
    small, large = ({prompt.id for prompt in AlpacaEval2(limit=limit).prompts()} for limit in (50, 200))
    assert small < large
    assert (len(small), len(large)) == (50, 200)


def test_mt_benchs_recorded_prompts_are_rebuilt_byte_for_byte_and_its_published_averages_come_back() -> None:
    answers: dict[str, dict[str, tuple[str, ...]]] = {}
    for row in read_rows(DATA / "mt_bench/model_answers.jsonl.gz"):
        answers.setdefault(row["model_id"], {})[str(row["question_id"])] = tuple(row["choices"][0]["turns"])
    recorded: dict[str, dict[str, Any]] = {}
    for row in read_rows(DATA / "mt_bench/gpt-4_single.jsonl.gz"):
        recorded.setdefault(row["model"], {})[f"{row['question_id']} turn {row['turn']}"] = row
    averages = {row["model"]: float(row["average"]) for row in read_csv(DATA / "mt_bench/scores.csv")}
    compared = 0
    for model in answers.keys() & recorded.keys() & averages.keys():
        benchmark = MTBench()
        outputs = aligned(benchmark.prompts(), Outputs(model, answers[model]))
        for question in benchmark.questions(outputs):
            assert question.messages[1].content == recorded[model][question.id]["user_prompt"], question.id
            compared += 1
        replies = {name: Reply(row["judgment"]) for name, row in recorded[model].items()}
        (score,) = evaluate(benchmark, outputs, Recorded(replies)).scores
        assert score.score == pytest.approx(averages[model])
    assert compared == 160 * 6


def test_the_corrected_references_change_only_questions_that_have_one() -> None:
    outputs = Outputs("any", {prompt.id: ("one", "two") for prompt in MTBench().prompts()})
    old, new = (
        {question.id: question.messages for question in MTBench(references=references).questions(outputs)}
        for references in ("gpt-4", "gpt-4-1106-preview")
    )
    changed = {name.split()[0] for name in old if old[name] != new[name]}
    assert changed <= {str(number) for number in range(101, 131)}
    assert len(changed) > 25


def test_mt_bench_asks_each_category_at_its_own_temperature_and_compares_in_both_orders(tmp_path: Path) -> None:
    temperatures = {prompt.category: prompt.temperature for prompt in MTBench().prompts()}
    assert (temperatures["writing"], temperatures["math"], temperatures["stem"]) == (0.7, 0.0, 0.1)
    rows = [{"id": prompt.id, "output": "theirs"} for prompt in MTBench().prompts()]
    answers = [
        {"question_id": int(row["id"]), "answer_id": "a", "model_id": "base", "choices": [{"index": 0, "turns": ["x", "y"]}], "tstamp": 0}
        for row in rows
    ]
    file = tmp_path / "base.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in answers))
    benchmark = MTBench(baseline_outputs=file)
    outputs = Outputs("ours", {prompt.id: ("one", "two") for prompt in benchmark.prompts()})
    questions = benchmark.questions(outputs)
    assert len(questions) == 320
    ours_wins = {q.id: Reply("[[A]]" if q.id.endswith("game 1") else "[[B]]") for q in questions}
    (score,) = evaluate(benchmark, outputs, Recorded(ours_wins)).scores
    assert (score.score, score.details["swap_consistency"]) == (100, 1)
    (biased,) = evaluate(benchmark, outputs, Recorded({q.id: Reply("[[A]]") for q in questions})).scores
    assert (biased.score, biased.details["swap_consistency"], biased.details["first_seat"]) == (50, 0, 100)


def test_arena_hards_recorded_prompt_is_rebuilt_byte_for_byte() -> None:
    sample = json.loads((DATA / "arena_hard/sample_judgment_row_v0.1_2024.json").read_text())
    told = sample["games"][0]["user_prompt"]
    theirs = told.split("<|The Start of Assistant B's Answer|>\n")[1].split("\n<|The End of Assistant B's Answer|>")[0]
    benchmark = ArenaHard("v0.1")
    outputs = Outputs("m", {prompt.id: (theirs,) for prompt in benchmark.prompts()})
    questions = {question.id: question for question in benchmark.questions(outputs)}
    assert len(questions) == 1000
    for number, game in enumerate(sample["games"], 1):
        assert questions[f"{sample['question_id']} game {number}"].messages[1].content == game["user_prompt"]


def test_arena_hard_scores_what_a_judge_with_labels_and_one_without_say() -> None:
    benchmark = ArenaHard("v0.1", limit=30)
    outputs = Outputs("m", {name: (text[: len(text) // 2] + ".",) for name, (text,) in benchmark.baseline().items()})
    labels = {q.id: Reply("so: [[A>B]]" if q.id.endswith("game 1") else "so: [[B>A]]") for q in benchmark.questions(outputs)}
    (score,) = evaluate(benchmark, outputs, Recorded(labels)).scores
    assert (score.score, score.details["swap_consistency"]) == (0, 1)
    (longer,) = evaluate(benchmark, outputs, Longer()).scores
    assert longer.score < 10


def test_the_files_that_are_left_behind_give_the_style_controlled_score_again(tmp_path: Path) -> None:
    benchmark = ArenaHard("v0.1", limit=30)
    outputs = Outputs("m", {name: (text[: len(text) // 2] + ".",) for name, (text,) in benchmark.baseline().items()})
    evaluation = evaluate(benchmark, outputs, Longer())
    _, judgments = benchmark.save(evaluation, tmp_path)
    assert scores_of("arena_hard", judgments) == list(evaluation.scores)
    assert "style_controlled" in evaluation.scores[0].details


def test_mt_bench_refuses_a_judge_that_only_compares() -> None:
    outputs = Outputs("m", {prompt.id: ("a", "b") for prompt in MTBench().prompts()})
    with pytest.raises(UserError, match="asks for ratings"):
        evaluate(MTBench(), outputs, Longer())


class Stopped(Recorded):
    """A model that the limit of tokens cuts off in the second of two turns."""

    def ask(self, questions: Sequence[Question], keep: Keep = forget) -> list[Reply]:
        return [Reply(f"to {question.id}", finished=len(question.messages) < 3) for question in questions]


def test_answers_that_were_cut_off_are_a_share_on_the_card_and_a_finding_and_of_a_file_unknown() -> None:
    benchmark = MTBench(limit=10)
    (outputs,) = answer(benchmark, Stopped({}), [Candidate("m")], decoding_for(benchmark))
    rated = {question.id: Reply("[[5]]") for question in benchmark.questions(outputs)}
    (card,) = evaluate(benchmark, outputs, Recorded(rated)).cards()
    assert card["unfinished"] == 1.0
    assert "unfinished" in [finding["guard"] for finding in card["findings"]]
    (card,) = evaluate(benchmark, replace(outputs, unfinished=None), Recorded(rated)).cards()
    assert card["unfinished"] is None
    assert "unfinished" not in [finding["guard"] for finding in card["findings"]]


def test_missing_outputs_are_counted_and_named() -> None:
    benchmark = AlpacaEval2()
    answers = dict(benchmark.baseline())
    del answers["17"]
    with pytest.raises(DataFormatError, match=r"1 of 805 prompts have no output of m, the first is 17"):
        aligned(benchmark.prompts(), Outputs("m", answers))


def test_an_unreadable_judge_has_no_score_and_its_rows_are_kept() -> None:
    benchmark = AlpacaEval2(limit=20)
    outputs = Outputs("m", dict.fromkeys(benchmark.baseline(), ("x",)))
    evaluation = evaluate(benchmark, outputs, Recorded({}))
    assert len(evaluation.judged.rows) == 20
    with pytest.raises(UnreadableVerdictsError, match="none of 20"):
        check_readable(evaluation, 0.1)


def test_why_a_judge_did_not_reply_is_told_with_the_refusal() -> None:
    benchmark = AlpacaEval2(limit=20)
    outputs = Outputs("m", dict.fromkeys(benchmark.baseline(), ("x",)))
    silent = {question.id: Reply(failure="maximum context length is 8192 tokens") for question in benchmark.questions(outputs)}
    with pytest.raises(UnreadableVerdictsError, match=r"none of 20.*; 40 of 40 replies failed: maximum context length is 8192") as refused:
        check_readable(evaluate(benchmark, outputs, Recorded(silent)), 0.1)
    assert "asked for anew" in refused.value.cure
    some = {name: Reply(logprobs={"m": -0.1, "M": -3.0}) for name in list(silent)[3:]}
    evaluation = evaluate(benchmark, outputs, Recorded(dict(list(silent.items())[:3]) | some))
    with pytest.raises(UnreadableVerdictsError, match=r"3 of 20 verdicts .* could not be read; 3 of 40 replies failed"):
        check_readable(evaluation, 0.1)


def test_a_judge_that_fails_in_every_way_gives_the_same_scorecard(server: FakeServer, tmp_path: Path) -> None:
    """429, 500, half a JSON, a refusal, a reply without a letter, a hang: each of the first requests meets one of them."""
    refusal = json.loads(completion("").body)
    refusal["choices"][0]["message"]["refusal"] = "no"
    faults = [
        failure(429, retry_after="0.05"),
        failure(500),
        Answer(completion("m", {"m": -0.1}).body[:40]),
        Answer(json.dumps(refusal).encode()),
        completion("I cannot judge", {"I": -0.1}),
        replace(completion("m", {"m": 0.0}), delay_s=1.5),
    ]

    def honest(body: dict[str, Any], number: int) -> Answer:
        share = len(body["messages"][1]["content"]) % 97 / 100 + 0.01
        return completion("m", {"m": -share, "M": -2 + share})

    benchmark = AlpacaEval2(limit=40, swap_sample=10)
    outputs = Outputs("m", {name: (f"{text[:200]} and so on",) for name, (text,) in benchmark.baseline().items()})
    server.answer = honest
    clean = evaluate(benchmark, outputs, judge_at(server, tmp_path / "clean")).cards()
    server.answer = lambda body, number: faults[number % 6] if number < 50 + 24 else honest(body, number)
    faulty = evaluate(benchmark, outputs, judge_at(server, tmp_path / "faulty")).cards()
    assert len(server.asked) > 100
    for card in clean + faulty:
        del card["seconds"]
    assert faulty == clean


def judge_at(server: FakeServer, directory: Path) -> Any:
    settings = OpenAIModelSettings("fake", server.url, timeout_s=1, max_attempts=12, first_wait_s=0.01, max_concurrency=8)
    return remembered(OpenAIModel(settings), directory)


@pytest.mark.parametrize("wrong", [lambda: make_benchmark("helm"), lambda: ArenaHard("v3"), lambda: MTBench(references="me")])
def test_what_there_is_not_is_refused(wrong: Any) -> None:
    with pytest.raises((UserError, SettingsError), match=r"there (is|are) no"):
        wrong()


def read_csv(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


def test_an_answer_that_spells_the_judges_marks_stays_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    template = "<|im_start|>system\nJudge.<|im_end|>\n<|im_start|>user\n{instruction} A: {output_1} B: {output_2}\n<|im_end|>"
    file = tmp_path / alpaca_eval2.TEMPLATE
    file.parent.mkdir(parents=True)
    file.write_text(template)
    monkeypatch.setenv("DAA_EVAL_DATA", str(tmp_path))
    turns = alpaca_eval2.question_messages("Say.", "one", "two <|im_start|>and more", switched=False)
    assert [(turn.role, turn.content) for turn in turns] == [("system", "Judge."), ("user", "Say. A: one B: two <|im_start|>and more")]
