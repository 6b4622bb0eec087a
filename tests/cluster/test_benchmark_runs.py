"""What `daa eval` makes of its words: who answers, under which name, who judges."""

import io
import json
import math
import shutil
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest

from evals.benchmarks.pins import PROMPT_SETS
from evals.benchmarks.score import BenchmarkScore
from evals.benchmarks.sources import LICENCES
from evals.capability import CapabilityEvaluation
from evals.errors import UnreadableVerdictsError
from evals.guards import Finding
from evals.protocols import make_benchmark
from evals.protocols.alpaca_eval2 import AlpacaEval2
from orchestrator.cluster.runs import capability_runs
from orchestrator.cluster.runs.benchmark_runs import _Run, evaluate_models
from orchestrator.cluster.runs.candidates import names_of, served_model
from orchestrator.cluster.runs.claims import check_same
from orchestrator.cluster.runs.scorecards import Scorecards, asked_of_benchmark, check_scorecard, content_behind
from orchestrator.commands.benchmarks import benchmark_settings, judge_named, judge_values, settings_of_search
from orchestrator.commands.evaluating import evaluate
from orchestrator.errors import DaaError, SettingsError, UserError
from orchestrator.report.narration import Narrator
from orchestrator.settings import AnsweringSettings, BenchmarkSettings, CapabilitySettings, OpenAISettings, Settings, VllmJudgeSettings
from orchestrator.settings.benchmarks import BenchmarkName
from orchestrator.settings_file import load_settings
from tests.evals.benchmarks.official import DATA, needs_data
from tests.evals.fake_server import FakeServer, completion
from tests.evals.test_capability import TASK
from tests.evals.tiny_model import make_adapter


@pytest.mark.parametrize(
    ("word", "values"),
    [
        ("vllm:/models/judge", {"kind": "vllm", "model": "/models/judge"}),
        ("openai:gpt-4.1", {"kind": "openai", "model": "gpt-4.1"}),
        ("http://h:1/v1#m", {"kind": "openai", "base_url": "http://h:1/v1", "model": "m"}),
        ("replay:replies/a.jsonl", {"kind": "replay", "file": "replies/a.jsonl"}),
    ],
)
def test_a_judge_in_one_word(word: str, values: dict[str, str]) -> None:
    assert judge_values(word) == values


def test_the_command_line_overrules_the_file_and_a_judge_of_another_kind_keeps_nothing_of_it(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text('benchmarks = ["mt_bench"]\nlimit = 9\n[judge]\nkind = "openai"\nmodel = "a"\nmax_concurrency = 3\n')
    same = benchmark_settings(file, {"judge": "openai:b", "limit": 4})
    assert isinstance(same.judge, OpenAISettings)
    assert (same.limit, same.judge.model, same.judge.max_concurrency) == (4, "b", 3)
    assert isinstance(benchmark_settings(file, {"judge": "vllm:c"}).judge, VllmJudgeSettings)
    with pytest.raises(SettingsError, match="limits"):
        file.write_text(file.read_text().replace("limit", "limits"))
        benchmark_settings(file, {})


PRICED = {"kind": "openai", "model": "a", "input_price": 2.0, "output_price": 8.0, "max_concurrency": 3}
SERVED = PRICED | {"base_url": "http://h/v1", "api_key_env": "H_KEY"}


@pytest.mark.parametrize(
    ("of_file", "word", "kept"),
    [
        (PRICED, "openai:a", PRICED),
        (SERVED, "openai:a", SERVED),
        (SERVED, "http://h/v1#a", SERVED),
        (PRICED, "openai:b", {"kind": "openai", "model": "b", "max_concurrency": 3}),
        (PRICED | {"api_key_env": "MY_KEY"}, "openai:b", {"kind": "openai", "model": "b", "max_concurrency": 3, "api_key_env": "MY_KEY"}),
        (SERVED, "openai:b", {"kind": "openai", "model": "b", "max_concurrency": 3}),
        (SERVED, "http://other/v1#a", {"kind": "openai", "model": "a", "max_concurrency": 3, "base_url": "http://other/v1"}),
        (
            {"kind": "reward_model", "model": "a", "batch_size": 4, "output": 3, "trust_remote_code": True},
            "reward_model:b",
            {"kind": "reward_model", "model": "b", "batch_size": 4},
        ),
    ],
)
def test_a_judge_on_the_command_line_has_neither_the_prices_nor_the_server_nor_the_key_of_another(
    of_file: dict[str, Any], word: str, kept: dict[str, Any]
) -> None:
    assert judge_named(word, of_file) == kept


def test_a_bound_on_cost_is_not_held_against_another_models_prices() -> None:
    file = Path(__file__).parents[2] / "jobs" / "examples" / "benchmarks.toml"
    with pytest.raises(UserError, match="the file's prices are those of gpt") as refused:
        benchmark_settings(file, {"judge": "openai:gpt-5"})
    assert "take max_cost out" in refused.value.cure


def test_a_searchs_file_is_overruled_by_the_command_lines_judge_and_length(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    given = 'model.base = "m"\ndata.train = "d"\nevaluation.prompts = "p"\nevaluation.max_tokens = 9\nbudget.cost = 5\n'
    file.write_text(given + 'judge = { kind = "openai", model = "a", input_price = 2, swap_sample = 4 }\n')
    assert settings_of_search(file, {}) == load_settings(file)
    judged = settings_of_search(file, {"judge": "openai:b", "max_tokens": 7})
    assert (judged.judge, judged.evaluation.max_tokens) == (OpenAISettings(kind="openai", model="b", swap_sample=4), 7)
    assert isinstance(settings_of_search(file, {"judge": "vllm:c"}).judge, VllmJudgeSettings)
    warm = settings_of_search(file, {"temperature": 0.7, "top_p": 0.9, "max_model_len": 64}).evaluation
    assert (warm.temperature, warm.top_p, warm.max_model_len, warm.max_tokens) == (0.7, 0.9, 64, 9)
    with pytest.raises(SettingsError, match=r"evaluation.max_tokens: Input should be greater than 0"):
        settings_of_search(file, {"max_tokens": 0})


def test_of_a_searchs_file_benchmarks_take_the_judge_and_the_cache_and_a_wrong_key_is_still_refused(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    given = 'name = "x"\ncache = "c"\nmodel.base = "m"\nsearch.trials = 3\njudge = { kind = "openai", model = "a" }\n'
    file.write_text(given)
    found = benchmark_settings(file, {"benchmarks": ["mt_bench"], "top_p": 0.9})
    answering = AnsweringSettings(top_p=0.9)
    judge = OpenAISettings(kind="openai", model="a")
    assert found == BenchmarkSettings(benchmarks=("mt_bench",), judge=judge, cache=Path("c"), answering=answering)
    file.write_text(given + "limits = 3\n")
    with pytest.raises(SettingsError, match=r"limits .*unknown key; did you mean 'limit'"):
        benchmark_settings(file, {"benchmarks": ["mt_bench"]})


@pytest.mark.parametrize(("table", "value"), [("answering", "5"), ("judge", '"openai:x"'), ("capability", '["gsm8k"]')])
def test_a_section_that_is_no_table_is_refused_by_its_line(table: str, value: str, tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text(f'benchmarks = ["mt_bench"]\n{table} = {value}\n')
    with pytest.raises(SettingsError, match=f"{table} is no table") as refused:
        benchmark_settings(file, {"judge": "openai:x", "capability": ["gsm8k"], "limit": 3})
    assert refused.value.where == f"{file}:2, {table}"


def test_what_a_run_wrote_of_sections_that_it_has_not_is_taken_as_left_out(tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    file.write_text(json.dumps(BenchmarkSettings(capability=CapabilitySettings()).model_dump(mode="json")))
    assert benchmark_settings(file, {"judge": "openai:x", "benchmarks": ["mt_bench"]}).capability == CapabilitySettings()


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("org/llama", "llama"),
        ("http://h/v1#served", "served"),
        ("runs/checkpoints/001-dpo/step-000096/model", "001-dpo-step-000096"),
        ("runs/mine", "mine"),
    ],
)
def test_a_models_name_is_the_part_of_its_path_that_says_something(model: str, name: str) -> None:
    assert names_of([model]) == {model: name}


def test_an_address_without_a_model_is_refused() -> None:
    with pytest.raises(UserError, match="names no model"):
        served_model("http://h/v1")


def test_models_whose_paths_end_alike_have_names_of_their_own(tmp_path: Path) -> None:
    models = [str(tmp_path / run / "dpo" / "model") for run in ("first", "second")] + [str(tmp_path / "third" / "simpo" / "model")]
    for model in models:
        Path(model).mkdir(parents=True)
    assert list(names_of(models).values()) == ["first-dpo", "second-dpo", "simpo"]


def test_a_capability_run_needs_no_judge_and_takes_the_command_lines_tasks(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text('[capability]\ntasks = ["gsm8k"]\nlimit = 50\n')
    from_file, given = benchmark_settings(file, {}), benchmark_settings(file, {"capability": ["triviaqa"], "limit": 7})
    assert from_file.capability is not None and given.capability is not None
    assert (from_file.judge, from_file.capability.tasks, from_file.capability.limit) == (None, ("gsm8k",), 50)
    assert (given.capability.tasks, given.capability.limit) == (("triviaqa",), 7)


def capability(tmp_path: Path, **given: Any) -> BenchmarkSettings:
    """Four sums, asked of a model."""
    (tmp_path / "sums.jsonl").write_text("".join(json.dumps({"a": n, "b": 2, "answer": str(n + 2)}) + "\n" for n in range(4)))
    task = TASK.format(name="sums", data=tmp_path / "sums.jsonl", kind="generate_until", metric="exact_match", mean="mean", shots=0)
    (tmp_path / "sums.yaml").write_text(task)
    asked = {"tasks": ["sums"], "task_files": str(tmp_path), **given}
    return BenchmarkSettings.model_validate({"capability": asked, "cache": str(tmp_path / "cache")})


def test_a_served_model_is_asked_anew_in_another_directory_and_never_twice_in_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    settings = capability(tmp_path)

    def asked_in(directory: str) -> tuple[int, float]:
        before = len(server.asked)
        (evaluation,) = evaluate_models(settings, [f"{server.url}#mine"], tmp_path / directory)
        return len(server.asked) - before, evaluation.scores[0].score

    with FakeServer() as server:
        server.answer = lambda body, number: completion("3")
        assert [asked_in("first") for _ in range(2)] == [(4, 25.0), (0, 25.0)]
        server.answer = lambda body, number: completion("no idea")
        assert asked_in("second") == (4, 0.0)


@pytest.mark.parametrize(("key", "sent"), [("canary-candidate", "Bearer canary-candidate"), ("", "Bearer none")])
def test_a_candidates_server_is_sent_the_candidates_key_and_never_the_judges(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, sent: str
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("OPENAI_API_KEY", "canary-judge")
    monkeypatch.setenv("CANDIDATE_API_KEY", key)
    with FakeServer() as server:
        evaluate_models(capability(tmp_path), [f"{server.url}#mine"], tmp_path / "run")
    assert server.keys == {sent}


@pytest.mark.parametrize("key", ["canary-candidate", ""])
def test_which_keys_are_sent_where_is_told_before_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], key: str
) -> None:
    monkeypatch.setenv("CANDIDATE_API_KEY", key)
    monkeypatch.setattr("orchestrator.cluster.runs.benchmark_runs.evaluate_models", lambda *given: sys.exit("evaluates"))
    with pytest.raises(SystemExit, match="evaluates"):
        evaluate(["http://h/v1#a", "http://h/v1#b", "a/hub-model"], ["alpaca_eval2"], "openai:gpt-4.1")
    of_models = "the value of $CANDIDATE_API_KEY goes to http://h/v1 (model servers[0])\n" if key else ""
    assert capsys.readouterr().err == f"the value of $OPENAI_API_KEY goes to https://api.openai.com/v1 (judge)\n{of_models}"


def test_a_directory_takes_other_models_later_and_no_other_of_the_same_name_or_asked_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    place = tmp_path / "run"

    def cards() -> dict[str, dict[str, Any]]:
        return {card["model"]: card for card in json.loads((place / "scorecards.json").read_text())["scorecards"]}

    with FakeServer() as server, FakeServer() as another:
        server.answer = lambda body, number: completion("3" if body["model"] == "good" else "no idea")
        evaluate_models(capability(tmp_path), [f"{server.url}#good", f"{server.url}#bad"], place)
        evaluate_models(capability(tmp_path), [f"{server.url}#bad", f"{server.url}#other"], place)
        assert {name: card["score"] for name, card in cards().items()} == {"good": 25.0, "bad": 0.0, "other": 0.0}
        with pytest.raises(UserError, match="the scores of bad in this directory are another model's: http") as refused:
            evaluate_models(capability(tmp_path), [f"{another.url}#bad"], place)
        assert refused.value.code == "DAA-0712"
        for name in ("good", "new"):
            with pytest.raises(UserError, match="scores of other settings: limit was 200, and is 2"):
                evaluate_models(capability(tmp_path, limit=2), [f"{server.url}#{name}"], place)
        (tmp_path / "sums.yaml").write_text((tmp_path / "sums.yaml").read_text() + "# edited\n")
        asked = capability(tmp_path)
        (tmp_path / "sums.yaml").write_text((tmp_path / "sums.yaml").read_text() + "# edited\n")
        with pytest.raises(UserError, match="scores of other settings: task_files was"):
            evaluate_models(asked, [f"{server.url}#new"], place)
        assert another.asked == []
        evaluate_models(capability(tmp_path), [f"{another.url}#new"], place)
    assert list(cards()) == ["good", "bad", "other", "new"]


def test_a_loss_that_was_found_stays_when_its_model_is_compared_with_others(tmp_path: Path) -> None:
    def evaluated(model: str, findings: list[Finding]) -> CapabilityEvaluation:
        return CapabilityEvaluation([BenchmarkScore("capability sums", model, "exact", 25.0, 1.0, 20.0, 30.0, 4, 0)], findings)

    lost = Finding("capability", 0.1, "sums fell by 10 points against base")
    for findings in ([lost], [], []):
        Scorecards(tmp_path).take(evaluated("tuned", findings), {"capability sums": {"benchmark": "capability sums"}})
    (card,) = json.loads((tmp_path / "scorecards.json").read_text())["scorecards"]
    assert [found["detail"] for found in card["findings"]] == [lost.detail]


def test_scorecards_are_json_that_every_program_reads(tmp_path: Path) -> None:
    def refuse(word: str) -> None:
        raise AssertionError(f"JSON has no {word}")

    details = {"style_controlled_standard_error": math.nan, "style_coefficients": {"length": math.nan}, "lc_weights": (1.0, math.inf)}
    for model in ("one", "two"):
        score = BenchmarkScore("arena_hard", model, "judge", 25.0, math.nan, 20.0, 30.0, 4, 0, details)
        Scorecards(tmp_path).take(CapabilityEvaluation([score], []), {"arena_hard": {"benchmark": "arena_hard"}})
    for card in json.loads((tmp_path / "scorecards.json").read_text(), parse_constant=refuse)["scorecards"]:
        assert (card["score"], card["standard_error"], card["style_controlled_standard_error"]) == (25.0, None, None)
        assert (card["style_coefficients"], card["lc_weights"]) == ({"length": None}, [1.0, None])


def test_what_a_benchmark_score_comes_from_is_told_by_content_and_what_only_costs_is_passed_over(tiny_model: Path, tmp_path: Path) -> None:
    model, judge = (Path(shutil.copytree(tiny_model, tmp_path / name)) for name in ("model", "judge"))

    def asked(benchmark: str = "alpaca_eval2", word: Path = model, **given: Any) -> Any:
        settings = {"benchmarks": [benchmark], "judge": {"kind": "vllm", "model": str(judge)}, **given}
        return asked_of_benchmark(BenchmarkSettings.model_validate(settings), benchmark, str(word))

    first = asked()
    check_same(first, asked(answering={"gpu_memory_utilization": 0.2}, mt_bench_references="gpt-4-1106-preview"), "scores", tmp_path)
    for changed, key in ((asked(limit=3), "limit"), (asked(answering={"max_model_len": 64}), r"answering\.max_model_len")):
        with pytest.raises(UserError, match=f"{key} was None"):
            check_same(first, changed, "scores", tmp_path)
    with pytest.raises(UserError, match="references was 'gpt-4'"):
        check_same(asked("mt_bench"), asked("mt_bench", mt_bench_references="gpt-4-1106-preview"), "scores", tmp_path)
    (tmp_path / "outputs.json").write_text("[]")
    assert asked(word=tmp_path / "outputs.json") == asked(word=tmp_path / "outputs.json", answering={"max_tokens": 5})
    score = BenchmarkScore("alpaca_eval2", "mine", "judge", 25.0, 1.0, 20.0, 30.0, 4, 0)
    Scorecards(tmp_path).take(CapabilityEvaluation([score], []), {"alpaca_eval2": first})
    Scorecards(tmp_path).check("of a file", asked(word=tmp_path / "outputs.json"))
    with pytest.raises(UserError, match="the scores of mine in this directory are another model's"):
        Scorecards(tmp_path).check("mine", asked(word=tmp_path / "outputs.json"))
    for directory, key in ((model, "model"), (judge, "judge_content")):
        (directory / "config.json").write_text((directory / "config.json").read_text() + " ")
        with pytest.raises(UserError, match=f"{key} was"):
            check_same(first, asked(), "scores", tmp_path)
        first = asked()


def test_a_hub_models_commit_counts_where_it_is_known_and_an_adapter_is_its_base_too(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def card(model: str) -> None:
        check_scorecard({"model": model}, tmp_path)

    (tmp_path / "scorecard.json").write_text(json.dumps({"asked": {"model": "owner/name"}}))
    card("owner/name"), card("owner/name@1a2b")
    (tmp_path / "scorecard.json").write_text(json.dumps({"asked": {"model": "owner/name@1a2b"}}))
    card("owner/name"), card("owner/name@1a2b")
    for other in ("owner/name@3c4d", "other/name"):
        with pytest.raises(UserError, match="a win rate of other settings: model was 'owner/name@1a2b'"):
            card(other)
    assert content_behind("owner/name") == "owner/name"
    base = Path(shutil.copytree(tiny_model, tmp_path / "base"))
    adapter = make_adapter(tmp_path / "adapter", base, 1)
    before = content_behind(str(adapter))
    (base / "config.json").write_text((base / "config.json").read_text() + " ")
    assert content_behind(str(adapter)) != before


def test_a_win_rate_on_a_searchs_prompts_keeps_its_directory(tmp_path: Path) -> None:
    asked = {"model": "a1", "base": "b2", "prompts": "c3"}
    check_scorecard(asked, tmp_path)
    (tmp_path / "scorecard.json").write_text(json.dumps({"win_rate": 50.0, "asked": asked}))
    check_scorecard(asked, tmp_path)
    with pytest.raises(UserError, match="a win rate of other settings: model was 'a1', and is 'd4'"):
        check_scorecard({**asked, "model": "d4"}, tmp_path)


def test_two_files_of_outputs_of_one_model_are_not_evaluated_together(tmp_path: Path) -> None:
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    for file in files:
        file.write_text(json.dumps([{"dataset": "d", "instruction": "i", "output": "o", "generator": "mine"}]))
    with pytest.raises(UserError, match="two models are called 'mine'"):
        evaluate_models(capability(tmp_path).model_copy(update={"capability": None}), [str(file) for file in files], tmp_path)


def test_a_model_that_is_not_there_is_refused_whatever_its_path_looks_like(tmp_path: Path) -> None:
    addresses = ("http://me:pass@host/v1#m", "http://me:a#pass@host/v1#m", "http://host/v1?key=pass@#m")
    for model, words in (("runs/a/model", "no such model directory"), *((each, "no name, password or query") for each in addresses)):
        with pytest.raises(DaaError, match=words) as refused:
            evaluate_models(capability(tmp_path), [model], tmp_path)
        assert "pass@" not in str(refused.value)


def test_a_capability_that_cannot_be_measured_is_told_and_takes_nothing_from_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise UserError("base answered none of the 200 questions of gsm8k", "gsm8k", "raise `max_model_len`")

    given = {"model": {"base": "base"}, "data": {"train": "pairs"}, "evaluation": {"prompts": "p"}, "judge": {"kind": "verifier"}}
    settings = Settings.model_validate({**given, "finals": {"capability": {"tasks": ["gsm8k"]}}})
    monkeypatch.setattr(capability_runs, "scores_of", refuse)
    noted: list[tuple[Any, ...]] = []
    monkeypatch.setattr(capability_runs, "ask", lambda method, *arguments: noted.append(arguments) if method == "note" else None)
    told: list[str] = []
    story: Any = SimpleNamespace(waiting=lambda _: nullcontext(), say=told.append)
    capability_runs.measure_finalists(settings, [], SimpleNamespace(time_is_up=None, note="note"), tmp_path, story)
    what = "base answered none of the 200 questions of gsm8k"
    assert len(told) == 1 and what in told[0]
    # The ledger knows that nothing more comes.
    assert noted == [("unmeasured", {"trial": "base", "checkpoint": "base", "reason": what})]


def test_a_models_words_end_no_run(tmp_path: Path) -> None:
    settings = BenchmarkSettings.model_validate({"capability": {"tasks": ["gsm8k"]}, "cache": str(tmp_path / "cache")})
    run = _Run(settings, [], tmp_path / "run")
    found = CapabilityEvaluation(
        [BenchmarkScore("gsm8k", "m[/x]", "", 50.0, 5.0, 40.0, 60.0, 10, 0)], [Finding("template", 0.1, "[/INST]")]
    )
    screen = io.StringIO()
    run._take(found, {"gsm8k": {"benchmark": "gsm8k"}}, Narrator(screen))
    assert "gsm8k m[/x]: 50.00" in screen.getvalue() and "guard template: [/INST]" in screen.getvalue()


def test_every_table_of_benchmarks_has_the_same_names() -> None:
    names = get_args(BenchmarkName)
    assert [make_benchmark(name).name for name in names] == list(names) == list(LICENCES) == list(PROMPT_SETS)


def test_of_one_question_nothing_is_compared_and_both_models_scores_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with FakeServer() as server:
        server.answer = lambda body, number: completion("2")
        evaluate_models(capability(tmp_path, limit=1), [f"{server.url}#first", f"{server.url}#second"], tmp_path / "run")
    found = json.loads((tmp_path / "run" / "scorecards.json").read_text())
    assert {card["model"]: card["score"] for card in found["scorecards"]} == {"first": 100.0, "second": 100.0}
    assert found["comparisons"] == []


@needs_data
def test_a_refused_score_stands_on_no_leaderboard_and_its_verdicts_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("DAA_EVAL_DATA", str(DATA))
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    rows = [{"instruction": prompt.turns[0], "output": "x", "generator": "mine"} for prompt in AlpacaEval2(limit=20).prompts()]
    (tmp_path / "mine.json").write_text(json.dumps(rows))
    with FakeServer() as server:
        server.answer = lambda body, number: completion("m", {"m": -0.1, "M": -2.4} if number % 2 else None)
        judge = {"kind": "openai", "model": "fake", "base_url": server.url, "swap_sample": 0, "max_concurrency": 1}
        asked = {"benchmarks": ["alpaca_eval2"], "limit": 20, "judge": judge, "cache": str(tmp_path / "cache")}
        with pytest.raises(UnreadableVerdictsError, match="of 20 verdicts"):
            evaluate_models(BenchmarkSettings.model_validate(asked), [str(tmp_path / "mine.json")], tmp_path / "run")
    assert len(json.loads((tmp_path / "run/alpaca_eval2/mine/annotations.json").read_text())) == 20
    assert not (tmp_path / "run/alpaca_eval2/leaderboard.csv").exists()
