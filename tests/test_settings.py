"""Settings that cannot be used are refused with path, line and cure; settings that can are the same after a round trip."""

import json
import math
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from evals.protocols.alpaca_eval2 import AlpacaEval2
from orchestrator.cluster.runs.search import search
from orchestrator.commands.benchmarks import benchmark_settings, is_of_a_search
from orchestrator.distributions import Choice, LogUniform, Uniform
from orchestrator.errors import DataFormatError, SettingsError, UserError
from orchestrator.objectives import METHODS
from orchestrator.policy.scores import Needs
from orchestrator.search.allocation import shares
from orchestrator.search.trial import Trial
from orchestrator.settings import (
    EvaluationSettings,
    LoraSettings,
    RangeSettings,
    SearchSettings,
    Settings,
    TrainingSettings,
    VllmJudgeSettings,
)
from orchestrator.settings.reward import RewardSettings
from orchestrator.settings_file import (
    check_files,
    check_prompts,
    check_settings,
    line_of,
    load_reward_settings,
    load_search_settings,
    load_settings,
    validated,
)
from orchestrator.worlds.recipes import World
from tests.processor_time import is_quick

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = sorted((ROOT / "jobs" / "examples").glob("*.toml"))
OF_REWARDS = [example for example in EXAMPLES if example.name == "reward.toml"]
OF_BENCHMARKS = [example for example in EXAMPLES if not is_of_a_search(example)]
OF_SEARCHES = [example for example in EXAMPLES if example not in (*OF_BENCHMARKS, *OF_REWARDS)]
OWN_INPUTS = """\
[model]
base = "model"
[data]
train = "pairs.jsonl"
[evaluation]
prompts = "prompts.jsonl"
"""
OWN = "from dataclasses import dataclass\nfrom orchestrator.objectives.dpo import DPO\n"
OWN += "@dataclass(frozen=True)\nclass MyPO(DPO):\n    name = 'my_po'\n"
VERIFIER = '[judge]\nkind = "verifier"\n'
PLAIN = OWN_INPUTS + VERIFIER
STREAMING = PLAIN.replace("[data]", "[data]\nstreaming = true")
SPACE = "[search.space.training]\n"
PAID_FINALS = '[finals.judge]\nkind = "openai"\nmodel = "m"\n'
WORLD = '[world]\nkind = "tasks"\n' + VERIFIER


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where a test's settings lie."""
    return tmp_path / "run.toml"


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a method of one's own, in a package of the working directory."""
    package = tmp_path / f"own_{tmp_path.name}"
    package.mkdir()
    (package / "losses.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return f"{package.name}.losses:MyPO"


def refusal(file: Path, text: str) -> SettingsError:
    """The error that these settings raise."""
    file.write_text(text)
    with pytest.raises(SettingsError) as refused:
        load_settings(file)
    return refused.value


def test_settings_with_only_what_must_be_given_load(file: Path) -> None:
    file.write_text(PLAIN)
    settings = load_settings(file)
    assert (settings.model.base, settings.data.train, settings.judge.kind) == ("model", "pairs.jsonl", "verifier")


def test_unless_settings_say_otherwise_an_answer_has_as_much_room_as_in_alpaca_eval() -> None:
    assert EvaluationSettings().max_tokens == AlpacaEval2().max_tokens


@pytest.mark.parametrize(
    ("text", "key", "line", "right"),
    [
        (PLAIN + "[training]\nseed = 1\nlerning_rate = 1e-6\n", "training.lerning_rate", 11, "learning_rate"),
        (PLAIN + "[serch]\ntrials = 3\n", "serch", 9, "search"),
        (WORLD + "[cluster]\ngang = 2\n", "cluster.gang", 6, "gangs"),
        ('[world]\nkind = "tasks"\nslip_rat = 0.2\n' + VERIFIER, "world.slip_rat", 3, "slip_rate"),
        (OWN_INPUTS + '[judge]\nkind = "openai"\nmodel = "m"\nbase_ur = "x"\n', "judge.base_ur", 10, "base_url"),
        (OWN_INPUTS + '[judge]\nkind = "reference"\ntie_margn = 1\n', "judge.tie_margn", 9, "tie_margin"),
        (PLAIN + "[search.space.dpo]\nbeta = { lo = 0.1, high = 1 }\n", "search.space.dpo.beta.lo", 10, "low"),
        (PLAIN + "[search.space.dpo.beta]\nlow = 0.1\nhigh = 1\noption = [1]\n", "search.space.dpo.beta.option", 12, "options"),
    ],
)
def test_an_unknown_key_is_named_with_its_path_its_line_and_the_nearest_right_one(
    text: str, key: str, line: int, right: str, file: Path
) -> None:
    error = refusal(file, text)
    assert f"{key} (line {line}): unknown key; did you mean '{right}'?" in error.what
    assert error.where == str(file)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (PLAIN + '[training]\nbatch_size = "many"\n', "training.batch_size (line 10)"),
        (PLAIN + "[training]\nwarmup = 1.0\n", "training.warmup (line 10)"),
        (PLAIN + '[training]\nprecision = "fp16"\n', "training.precision (line 10)"),
        (PLAIN + "[search]\nmethods = []\n", "search.methods (line 10)"),
        (PLAIN + '[search]\nsearcher = "optuna"\n', "search.searcher (line 10)"),
        (PLAIN + "[cluster]\nworkers = 0\n", "cluster.workers (line 10)"),
        ('name = "no spaces please"\n' + PLAIN, "name (line 1)"),
        ('[world]\nkind = "tasks"\nsteps = "x"\n' + VERIFIER, "world.steps (line 3)"),
        (OWN_INPUTS + '[judge]\nkind = "coin"\n', "judge (line 7)"),
        (OWN_INPUTS, "judge"),
        (OWN_INPUTS + '[judge]\nkind = "openai"\n', "judge.model (line 7)"),
        (OWN_INPUTS + '[judge]\nkind = "openai"\nmodel = ""\n', "judge.model (line 9)"),
        (OWN_INPUTS + '[judge]\nkind = "reward_model"\nmodel = ""\n', "judge.model (line 9)"),
    ],
)
def test_a_value_of_the_wrong_kind_is_named_with_its_path_and_line(text: str, place: str, file: Path) -> None:
    assert f"{place}: " in refusal(file, text).what


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("training.learning_rate", value) for value in (True, math.inf, math.nan)),
        *(("training.batch_size", value) for value in (True, 10**400)),
        *(("training.weight_decay", value) for value in (True, math.inf)),
        *(("training.adam_betas", value) for value in ([5.0, 0.9], [0.9, math.nan], [True, 0.9], [-0.1, 0.9])),
        ("training.epochs", math.inf),
        ("training.zero_stage", True),
        ("training.steps", True),
        ("search.trials", True),
        ("search.doubt", math.nan),
        ("search.space", {"dpo": {"beta": {"options": []}}}),
        ("search.space", {"dpo": {"beta": {"options": [10**400]}}}),
        ("search.space", {"dpo": {"beta": {"low": True, "high": 2}}}),
        ("search.space", {"training": {"learning_rate": {"options": [True]}}}),
        ("data.mixture", [{"source": "pairs.jsonl", "weight": math.inf}]),
        ("model.reference", {"a": math.nan}),
        ("model.reference", {"a": True}),
        ("cluster.cpus_per_worker", math.inf),
        ("hyperparameters", {"beta": 10**400}),
        ("world", {"kind": "tasks", "temperature": math.inf}),
        ("world", {"kind": "tasks", "steps": 10**400}),
    ],
    ids=lambda value: str(value)[:60],
)
def test_no_number_is_infinite_unknown_a_truth_value_or_larger_than_libraries_count(key: str, value: object) -> None:
    values: dict[str, Any] = {"method": "dpo", **tomllib.loads(PLAIN)}
    section, _, name = key.rpartition(".")
    (values.setdefault(section, {}) if section else values)[name] = value
    if name == "mixture":
        del values["data"]["train"]
    if name == "world":
        values = {"judge": {"kind": "verifier"}, "world": value}
    with pytest.raises(SettingsError) as refused:
        check_settings(values, "run.toml")
    assert refused.value.code == "DAA-0103" and key in refused.value.what


def test_what_is_documented_as_infinite_or_as_a_truth_value_is_taken() -> None:
    values = {**tomllib.loads(PLAIN), "search": {"doubt": math.inf}, "training": {"compile": True}}
    settings = check_settings(values | {"method": "simpo", "hyperparameters": {"beta": 2}}, "run.toml")
    assert (settings.search.doubt, settings.training.compile) == (math.inf, True)


def test_every_problem_is_told_at_once_up_to_eight(file: Path) -> None:
    what = refusal(file, PLAIN + "[training]\n" + "".join(f"wrong_{number} = 1\n" for number in range(11))).what
    assert what.count("unknown key") == 8
    assert "and 3 more" in what


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (VERIFIER, "model.base, data.train, evaluation.prompts must be given when no [world] makes them"),
        (PLAIN.replace('train = "pairs.jsonl"', ""), "data.train must be given when no [world] makes them"),
        (WORLD + '[model]\nbase = "model"\n', "[world] makes model.base itself: remove one or the other"),
        ('[world]\nkind = "tasks"\n' + PLAIN, "[world] makes model.base, data.train, evaluation.prompts itself"),
        (PLAIN + "[search.space.dpo]\nbeta = { low = 2, high = 1 }\n", "low must be below high"),
        (PLAIN + "[search.space.dpo]\nbeta = { low = 0, high = 1, log = true }\n", "a logarithmic range needs low above 0"),
        (PLAIN + "[search.space.dpo]\nbeta = { low = 1 }\n", "a range is either low and high, or options"),
        (PLAIN + SPACE + "checkpoints = { options = [2, 4] }\n", "remove the range, and set training.checkpoints"),
        (
            PLAIN + "[training]\nsteps = 50\n" + SPACE + "epochs = { low = 1, high = 3 }\n",
            "training.epochs has no effect: how long trials train, steps say",
        ),
        (PLAIN + SPACE + "epochs = { low = 1, high = 3 }\nsteps = { low = 9, high = 20 }\n", "training.epochs has no effect"),
        (PLAIN + SPACE + "epochs = { low = 1, high = 3 }\n[search.space.selection]\nseed = { low = 0, high = 3 }\n", "has no effect"),
        (PLAIN + SPACE + "zero_stage = { low = 0, high = 2 }\n", "training.zero_stage is no number between others"),
        (
            PLAIN + SPACE + "compile = { low = 0, high = 1 }\n",
            "training.compile is no number between others: give options",
        ),
        (PLAIN + SPACE + "batch_size = { low = 8.5, high = 64 }\n", "may not be 8.5: Input should be a valid integer"),
        (PLAIN + "[search.space.dpo]\nbatch_size = { low = 0, high = 64 }\n", "search.space.dpo.batch_size may not be 0.0: "),
        (PLAIN + "[search.space.dpo]\ncheckpoints = { low = 1, high = 4 }\n", "search.space.dpo.checkpoints: trials are compared"),
        (PLAIN + SPACE + "steps = { low = 9, high = 20 }\n[search.space.dpo]\nepochs = { low = 1, high = 3 }\n", "dpo.epochs has no"),
        (PLAIN + "[search.space.dpo]\nbeta = { low = 1, high = 2, options = [1] }\n", "a range is either low and high, or options"),
        (PLAIN + "[budget]\ncost = 5\n" + PAID_FINALS, "finals.judge has no price: set finals.judge.input_price and finals.judge"),
        (
            STREAMING + '[[rounds.scorers]]\nkind = "length"\n',
            "rounds take prompts and pairs from data in memory: leave data.streaming out",
        ),
    ],
)
def test_what_cannot_be_together_is_refused_with_what_to_change(text: str, message: str, file: Path) -> None:
    assert message in refusal(file, text).what


@pytest.mark.parametrize(
    ("methods", "arms"),
    [(("simpo", "ipo"), ("simpo", "ipo", "dpo")), (("simpo", "dpo"), ("simpo", "dpo")), (("dpo+sft",), ("dpo+sft", "dpo"))],
)
def test_plain_dpo_always_competes_and_needs_no_more_than_pairs(methods: tuple[str, ...], arms: tuple[str, ...]) -> None:
    assert SearchSettings(methods=methods).arms == arms
    assert METHODS["dpo"].needs == Needs(reference=True)


@pytest.mark.parametrize("methods", [("simpo", "ipo"), ("simpo", "ipo", "dpo"), ("simpo", "dpo", "ipo")])
def test_plain_dpo_has_a_trial_also_where_there_are_fewer_than_methods(methods: tuple[str, ...]) -> None:
    search = SearchSettings(methods=methods, trials=2)
    assert shares(dict.fromkeys(search.arms), search.trials) == {"dpo": 1, "simpo": 1, "ipo": 0}


def test_a_range_for_plain_dpo_is_possible_when_it_competes_as_the_control_only(file: Path) -> None:
    file.write_text(PLAIN + '[search]\nmethods = ["ipo"]\n[search.space.dpo]\nbeta = { low = 0.05, high = 1 }\n')
    assert set(load_settings(file).search.space) == {"dpo"}


def test_adapters_and_reward_models_have_a_learning_rate_of_their_own_unless_one_is_given() -> None:
    adapters = {"lora": {"rank": 8}}
    assert TrainingSettings().learning_rate == TrainingSettings(lora=None).learning_rate == 5e-7
    assert TrainingSettings.model_validate(adapters).learning_rate == TrainingSettings(lora=LoraSettings()).learning_rate == 5e-6
    assert TrainingSettings.model_validate({**adapters, "learning_rate": 1e-6}).learning_rate == 1e-6
    given = {"model": {"base": "model"}, "data": {"train": "pairs.jsonl"}}
    for training in ({}, {"training": {"batch_size": 8}}, {"training": TrainingSettings(batch_size=8)}):
        assert RewardSettings.model_validate({**given, **training}).training.learning_rate == 5e-6
    assert RewardSettings.model_validate({**given, "training": {"learning_rate": 1e-6}}).training.learning_rate == 1e-6


@pytest.mark.parametrize("adapters", [None, {"rank": 8}])
def test_a_run_that_goes_on_by_its_own_settings_keeps_their_learning_rate(adapters: dict[str, int] | None) -> None:
    before = TrainingSettings(learning_rate=5e-7).model_dump() | {"lora": adapters}
    assert Trial("1", "dpo", {}, {"warmup": 0.2}).training_settings(TrainingSettings.model_validate(before)).learning_rate == 5e-7


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_a_schedule_that_cools_down_at_the_end_is_refused_for_a_search_that_stops_early_and_for_nothing_else(
    schedule: str, file: Path
) -> None:
    file.write_text(PLAIN + f'[training]\nschedule = "{schedule}"\n')
    assert load_settings(file).training.schedule == schedule
    with pytest.raises(SettingsError, match=f"where a {schedule} schedule has not cooled down") as refused:
        load_search_settings(file)
    assert refused.value.where == f"{file}:10, training.schedule"
    assert refused.value.cure == 'set training.schedule = "constant" or "wsd", or search.scheduler = "none"'
    with pytest.raises(SettingsError, match="has not cooled down"):
        search(load_settings(file), file.parent / "run")
    file.write_text(file.read_text() + '[search]\nscheduler = "none"\n')
    assert load_search_settings(file) == load_settings(file)


def test_a_schedule_that_cools_down_at_the_end_is_refused_also_where_the_search_may_choose_it(file: Path) -> None:
    file.write_text(PLAIN + '[search.space.training]\nschedule = { options = ["wsd", "linear"] }\n')
    with pytest.raises(SettingsError, match="where a linear schedule"):
        load_search_settings(file)
    file.write_text(file.read_text().replace("training", "dpo"))
    with pytest.raises(SettingsError, match="where a linear schedule"):
        load_search_settings(file)
    file.write_text(file.read_text().replace("linear", "constant"))
    assert load_search_settings(file) == load_settings(file)


def test_engines_without_a_gpu_beside_workers_with_some_are_refused_for_a_search_and_do_not_matter_where_only_training_is_asked(
    file: Path,
) -> None:
    file.write_text(PLAIN + "[cluster]\ngpus_per_worker = 1\n")
    assert load_settings(file).cluster.gpus_per_worker == 1
    with pytest.raises(SettingsError, match="workers have GPUs, and engines have none") as refused:
        load_search_settings(file)
    assert refused.value.where == f"{file}:9, cluster.gpus_per_engine"
    assert "set gpus_per_engine = 1" in refused.value.cure
    file.write_text(PLAIN + "[cluster]\ngpus_per_worker = 1\ngpus_per_engine = 1\n")
    assert load_search_settings(file) == load_settings(file)


def test_more_workers_than_a_batch_has_pairs_are_refused_with_the_least_batch_that_does(file: Path) -> None:
    error = refusal(file, PLAIN + "[training]\nbatch_size = 2\n[cluster]\nworkers = 3\n")
    assert "some of 3 workers without any" in error.what
    assert error.where == f"{file}:10, training.batch_size"
    assert "batch_size = 3 or more" in error.cure


@pytest.mark.parametrize(
    ("key", "number", "cure"),
    [("gpus_per_worker", 2, "gpus_per_worker = 1 and more workers"), ("gpus_per_engine", 1.5, "gpus_per_engine = 1, or 1 at most")],
)
def test_gpus_that_nobody_would_use_or_that_ray_does_not_give_are_refused(key: str, number: float, cure: str, file: Path) -> None:
    error = refusal(file, PLAIN + f"[cluster]\n{key} = {number}\n")
    assert f"{key} is {number}" in error.what
    assert error.where == f"{file}:10, cluster.{key}"
    assert cure in error.cure
    file.write_text(PLAIN + "[cluster]\ngpus_per_worker = 1\ngpus_per_engine = 2\n")
    assert load_settings(file).cluster.gpus_per_engine == 2


@pytest.mark.parametrize(("gpus", "spread", "cure"), [(0.5, 2, "set gpus = 1"), (2, 2, "set gpus = 1"), (2, 1, "set gpus = 1")])
def test_a_judge_that_would_leave_gpus_idle_or_lack_some_is_refused(gpus: float, spread: int, cure: str, file: Path) -> None:
    judge = OWN_INPUTS + f'[judge]\nkind = "vllm"\nmodel = "m"\ngpus = {gpus}\ntensor_parallel = {spread}\n'
    error = refusal(file, judge)
    assert cure in f"{error.what} {error.cure}"
    file.write_text(judge.replace(f"gpus = {gpus}", "gpus = 1"))
    assert load_settings(file).judge


def test_a_recipe_that_makes_no_world_is_refused_with_the_least_that_does(file: Path) -> None:
    error = refusal(file, '[world]\nkind = "tasks"\nsamples_per_prompt = 1\n' + VERIFIER)
    assert error.what == "samples_per_prompt is 1"
    assert error.cure == "give 2 or more"


@pytest.mark.parametrize("broken", ["[training]\nseed = \n", "[training\n", "[training]\nseed = 1\nseed = 2\n"])
def test_broken_toml_names_its_line(broken: str, file: Path) -> None:
    error = refusal(file, PLAIN + broken)
    assert error.what.startswith("this is not TOML: ")
    assert re.search(r"at line (9|10|11)\b", error.what)
    assert error.where == str(file)


def test_a_missing_file_suggests_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "real_text.toml").write_text(PLAIN)
    with pytest.raises(SettingsError, match="there is no settings file") as refused:
        load_settings(tmp_path / "realtext.toml")
    assert refused.value.cure == f"did you mean {tmp_path / 'real_text.toml'}?"
    with pytest.raises(SettingsError) as refused:
        load_settings(tmp_path / "nowhere" / "realtext.toml")
    assert refused.value.cure == "give the path of a TOML file"


@pytest.mark.parametrize(
    ("text", "what", "line", "cure"),
    [
        ('[search]\nmethods = ["dpo", "simop"]\n', "there is no method 'simop'", 10, "did you mean 'simpo'?"),
        ("[search.space.simop]\nbeta = { low = 1, high = 2 }\n", "there is no method 'simop'", 9, "did you mean 'simpo'?"),
        ('[search]\nmethods = ["sigmoid"]\n', "there is no method 'sigmoid'", 10, "TRL's sigmoid is dpo"),
        ("[search.space.dpo]\nbeat = { low = 1, high = 2 }\n", "dpo has no 'beat'", 10, "did you mean 'beta'?"),
        ("[search.space.dpo]\nlerning_rate = { low = 1, high = 2 }\n", "dpo has no", 10, "did you mean 'learning_rate'?"),
        ("[search.space.training]\nlerning_rate = { low = 1, high = 2 }\n", "training has no", 10, "did you mean 'learning_rate'?"),
        ("[search.space.rpo_sq]\nbeta = { low = 1, high = 2 }\n", "rpo_sq, which is not searched", 9, "add it to search.methods"),
    ],
)
def test_a_method_or_hyperparameter_that_is_not_there_is_refused_with_the_nearest(
    text: str, what: str, line: int, cure: str, file: Path
) -> None:
    error = refusal(file, PLAIN + text)
    assert what in error.what
    assert error.where.startswith(f"{file}:{line}, search.")
    assert cure in error.cure


@pytest.mark.parametrize(
    ("method", "ranges", "key", "what"),
    [
        ("dpo", "beta = { low = -0.5, high = 1 }", "beta", "beta is -0.5"),
        ("dpo", "beta = { low = 0.1, high = 1 }\nlabel_smoothing = { low = 0, high = 0.5 }", "label_smoothing", "label_smoothing is 0.5"),
        ("dpo", "label_smoothing = { options = [0, 0.7, 0.1] }", "label_smoothing", "label_smoothing is 0.7"),
        ("simpo", 'loss_type = { options = ["hinge", "square"] }', "loss_type", "loss_type is 'square'"),
        ("dpo+sft", "sft_weight = { low = -1, high = 1 }", "sft_weight", "sft_weight is -1"),
        ("dpo+sft", "dpo_beta = { low = 0, high = 1 }", "dpo_beta", "beta is 0"),
        ("own", "beta = { low = 0, high = 1 }", "beta", "beta is 0"),
    ],
)
def test_a_range_that_reaches_outside_a_hyperparameters_limits_is_refused_at_its_line(
    method: str, ranges: str, key: str, what: str, file: Path, own: str
) -> None:
    method = method.replace("own", own)
    error = refusal(file, PLAIN + f'[search]\nmethods = ["{method}"]\n[search.space."{method}"]\n{ranges}\n')
    assert error.what.startswith("the search may not choose it: ") and what in error.what
    assert error.where == f"{file}:{12 + ranges.count(chr(10))}, search.space.{method}.{key}"
    assert error.cure.startswith("it must be ")


@pytest.mark.parametrize("method", ["sft", "dpo+sft", "sft+ipo", "own", "own+sft"])
def test_a_range_for_what_is_not_searched_is_refused_whatever_kind_of_method_it_is(method: str, file: Path, own: str) -> None:
    method = method.replace("own", own)
    error = refusal(file, PLAIN + f'[search]\nmethods = ["dpo", "ipo"]\n[search.space."{method}"]\n')
    assert error.what == f"a range is given for {method}, which is not searched"
    assert error.where == f"{file}:11, search.space.{method}"
    assert error.cure == "add it to search.methods"


@pytest.mark.parametrize("method", ["dpo+dpo", "dpo+simop", "no_such_module:MyPO"])
def test_a_combination_or_a_module_that_cannot_be_is_refused_at_its_line(method: str, file: Path) -> None:
    error = refusal(file, PLAIN + f'[search]\nmethods = ["dpo", "{method}"]\n')
    assert error.where == f"{file}:10, search.methods"
    assert error.cure


def test_methods_of_every_kind_load_with_their_ranges(file: Path, own: str) -> None:
    spaces = f'[search.space."{own}"]\nbeta = {{ low = 0.1, high = 1 }}\n[search.space."dpo+sft"]\nsft_weight = {{ low = 0, high = 1 }}\n'
    file.write_text(PLAIN + f'[search]\nmethods = ["dpo+sft", "{own}"]\n{spaces}')
    assert set(load_settings(file).search.space) == {own, "dpo+sft"}


def test_the_refusal_of_a_method_lists_all_methods(file: Path) -> None:
    cure = refusal(file, PLAIN + '[search]\nmethods = ["zzz"]\n').cure
    assert all(name in cure for name in METHODS)


@pytest.mark.parametrize(
    ("path", "line"),
    [(["a", "b"], 2), (["a", "c", "d"], 4), (["a", "c", "x"], 3), (["a", "e", "f"], 5), (["a", "x"], 1), (["a", "h.i"], 7), (["z"], None)],
)
def test_a_line_is_that_of_the_key_or_of_the_nearest_table_above(path: list[str], line: int | None) -> None:
    assert line_of("[a]\nb = 1\n[a.c]\nd = 2\n[a.'e']\ng = 3\n[a.\"h.i\"]\nj = 4\n", path) == line


@pytest.mark.parametrize("example", OF_BENCHMARKS, ids=lambda example: example.name)
def test_every_example_of_a_benchmark_run_loads(example: Path) -> None:
    settings = benchmark_settings(example, {"judge": "vllm:judge", "limit": 7, "benchmarks": None})
    assert isinstance(settings.judge, VllmJudgeSettings)
    assert (settings.limit, settings.judge.model) == (7, "judge")
    assert settings.benchmarks


@pytest.mark.parametrize("example", OF_SEARCHES, ids=lambda example: example.name)
def test_every_example_loads_and_its_resolved_settings_load_again_as_the_same(example: Path) -> None:
    settings = load_settings(example)
    resolved = json.loads(json.dumps(settings.json_ready()))
    assert check_settings(resolved, "settings.json") == settings
    assert Settings.model_validate_json(json.dumps(resolved)) == settings


@pytest.mark.parametrize("example", OF_REWARDS, ids=lambda example: example.name)
def test_every_example_of_a_reward_model_loads_and_loads_again_as_the_same(example: Path) -> None:
    settings = load_reward_settings(example)
    for each in (settings, settings.with_world(World.at(Path("world")))):
        assert validated(RewardSettings, json.loads(json.dumps(each.json_ready())), "settings.json") == each


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[model]\nbase = "model"\n', "data.train must be given when no [world] makes them"),
        ('[world]\nkind = "tasks"\n[model]\nbase = "model"\n', "[world] makes model.base itself"),
        ('[world]\nkind = "tasks"\n[training.lora]\nrank = 4\n', "leave training.lora out"),
        ('[world]\nkind = "tasks"\n[model]\nreferences = ["other"]\n', "leave model.references out"),
        ('[world]\nkind = "tasks"\n[data]\nstreaming = true\n', "a reward model is trained on data in memory: leave data.streaming out"),
        ('margn = 1.0\n[world]\nkind = "tasks"\n', "margn (line 1): unknown key; did you mean 'margin'?"),
        ('[world]\nkind = "tasks"\n[judge]\nkind = "verifier"\n', "judge (line 3): unknown key"),
    ],
)
def test_settings_of_a_reward_model_that_cannot_be_are_refused_with_what_to_change(text: str, message: str, file: Path) -> None:
    file.write_text(text)
    with pytest.raises(SettingsError) as refused:
        load_reward_settings(file)
    assert message in refused.value.what


def test_settings_with_their_world_made_load_again_as_the_same(tmp_path: Path) -> None:
    settings = load_settings(ROOT / "jobs" / "examples" / "demo.toml").with_world(World.at(tmp_path))
    again = check_settings(json.loads(json.dumps(settings.json_ready())), "settings.json")
    assert again == settings
    assert again.world is None
    assert (again.model.base, again.data.train) == (str(tmp_path / "model"), str(tmp_path / "train.jsonl"))
    assert (again.evaluation.prompts, again.evaluation.held_out) == (tmp_path / "prompts.jsonl", tmp_path / "held_out.jsonl")
    assert again.data.context == settings.data.context


@pytest.mark.parametrize(
    ("more", "place"),
    [
        ("", "evaluation.prompts"),
        ('held_out = "absent.jsonl"\n', "evaluation.held_out"),
        (f'held_out = "{"a" * 300}.jsonl"\n', "evaluation.held_out"),
        ('[rounds]\nprompts = "absent.jsonl"\n[[rounds.scorers]]\nkind = "verifier"\n', "rounds.prompts"),
    ],
)
def test_a_file_of_prompts_that_is_not_there_is_named_with_its_key(
    more: str, place: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(file.parent)
    (file.parent / "pairs.jsonl").touch()
    if more:
        (file.parent / "prompts.jsonl").touch()
    file.write_text(OWN_INPUTS + more + VERIFIER)
    with pytest.raises(DataFormatError, match=r"no prompt file [\w .]+\.jsonl") as refused:
        check_files(load_settings(file))
    assert (refused.value.code, refused.value.where) == ("DAA-0220", place)


@pytest.mark.parametrize(
    ("row", "scorer", "what"),
    [
        ('{"prompt": "Hi", "pattern": "("}', "verifier", "no regular expression"),
        ('{"prompt": "Hi", "pattern": "a{99999999999}"}', "verifier", "no regular expression"),
        ('{"prompt": "Hi", "answer": "x"}', "reference", "no `reference`"),
    ],
)
def test_a_prompt_that_a_scorer_of_rounds_cannot_use_is_refused_by_its_file(row: str, scorer: str, what: str, file: Path) -> None:
    prompts = file.parent / "practice.jsonl"
    prompts.write_text('{"prompt": "Hi", "answer": "x", "reference": "x"}\n' + row)
    file.write_text(WORLD + f"[rounds]\nprompts = {str(prompts)!r}\n[[rounds.scorers]]\nkind = {scorer!r}\n")
    with pytest.raises(UserError, match=what) as refused:
        check_prompts(load_settings(file))
    assert refused.value.where == f"{prompts}, prompt 1"


def test_ranges_become_the_distributions_that_objectives_declare() -> None:
    assert RangeSettings(low=1, high=2).distribution() == Uniform(1, 2)
    assert RangeSettings(low=1, high=2, log=True).distribution() == LogUniform(1, 2)
    assert RangeSettings(options=(1, 2)).distribution() == Choice((1, 2))
    assert RangeSettings(low=1, high=2).distribution(whole=True) == Uniform(1, 2, whole=True) != Uniform(1, 2)


@pytest.mark.parametrize(("pairs", "steps", "checkpoints"), [(100, 10, [3, 5, 8, 10]), (29, 2, [1, 2]), (10, 1, [1])])
def test_checkpoints_are_spread_evenly_and_the_last_step_is_among_them(pairs: int, steps: int, checkpoints: list[int]) -> None:
    settings = TrainingSettings(batch_size=10, checkpoints=4)
    assert settings.total_steps(pairs) == steps
    assert settings.checkpoint_steps(pairs) == checkpoints


def test_epochs_are_all_the_steps_that_their_decimals_say() -> None:
    for hundredths in range(1, 300):
        settings = TrainingSettings(batch_size=1, epochs=hundredths / 100)
        assert [settings.total_steps(pairs) for pairs in (1, 50, 100)] == [max(1, hundredths * pairs // 100) for pairs in (1, 50, 100)]


def test_less_data_than_one_batch_is_refused() -> None:
    with pytest.raises(DataFormatError, match="9 pairs are fewer than one batch of 10") as refused:
        TrainingSettings(batch_size=10).total_steps(9)
    assert refused.value.code == "DAA-0210"


def test_a_refusal_is_quick_and_shows_no_traceback(file: Path) -> None:
    file.write_text(PLAIN + "[training]\nlerning_rate = 1e-6\n")
    command = [sys.executable, "-m", "orchestrator.cli", "search", str(file)]
    quick, done = is_quick(lambda: subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False))
    assert quick
    assert done.returncode == 2
    assert "training.lerning_rate (line 10): unknown key; did you mean 'learning_rate'?" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
