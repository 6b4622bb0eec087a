"""What a cluster is asked to run is checked before anything is sent."""

import json
from pathlib import Path
from unittest.mock import Mock

import pytest

from orchestrator.cluster.submit.order import KINDS, keys_sent, named_paths
from orchestrator.commands import planning
from orchestrator.commands.orders import order_of
from orchestrator.errors import DaaError, UserError

SETTINGS = """
name = "small"
[model]
base = "owner/model"
[data]
train = "pairs.jsonl"
[evaluation]
prompts = "prompts.jsonl"
[judge]
kind = "verifier"
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with settings and data."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "run.toml").write_text(SETTINGS)
    (project / "pairs.jsonl").write_text("{}\n")
    (project / "prompts.jsonl").write_text("{}\n")
    monkeypatch.chdir(project)
    return project


def command(
    kind: str, *arguments: str, places: tuple[str | None, str | None] = ("/shared/run", None), file: str | None = "run.toml"
) -> str:
    return order_of(kind, Path(file) if file else None, arguments, places)[0].command


def test_each_kind_of_job_is_given_its_settings_and_its_directory(project: Path) -> None:
    assert command("search") == "python -m jobs.search run.toml --dir /shared/run"
    assert command("train", "simpo", "beta=2.5") == "python -m jobs.train run.toml simpo beta=2.5 --dir /shared/run"
    wanted = "python -m jobs.generate models/a --prompts prompts.jsonl --settings run.toml --dir /shared/run"
    assert command("generate", "models/a", "--prompts", "prompts.jsonl") == wanted
    assert command("evaluate", "models/a") == "python -m jobs.evaluate models/a --settings run.toml --dir /shared/run"


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_a_module_of_jobs(kind: str) -> None:
    assert (Path(__file__).parents[2] / "jobs" / f"{kind}.py").is_file()


def test_a_search_goes_on_with_its_own_settings_and_the_others_by_being_given_again(project: Path) -> None:
    assert command("search", places=(None, "/shared/run"), file=None) == "python -m jobs.search --resume /shared/run"
    assert command("search", places=(None, "/shared/run")) == "python -m jobs.search --resume /shared/run"
    assert command("rounds", places=(None, "/shared/run")) == "python -m jobs.rounds run.toml --dir /shared/run"
    with pytest.raises(UserError, match="no settings file is given"):
        command("rounds", places=(None, "/shared/run"), file=None)


def test_words_that_the_shell_would_take_apart_stay_whole(project: Path) -> None:
    assert command("train", "simpo", "note=a b;c").endswith("'note=a b;c' --dir /shared/run")


@pytest.mark.parametrize(
    ("kind", "places", "file", "said", "cure"),
    [
        ("serach", ("/shared/run", None), "run.toml", "no job 'serach'", "did you mean 'search'"),
        ("search", ("runs/a", None), "run.toml", "would not find runs/a", "absolute path"),
        ("search", (None, None), "run.toml", "give either --dir or --resume", "--resume DIR"),
        ("search", ("/shared/run", "/shared/run"), "run.toml", "give either --dir or --resume", "--dir DIR"),
        ("search", ("/shared/run", None), "../other.toml", "outside the working directory", "copy it below"),
        ("search", ("/shared/run", None), "missing.toml", "no settings file missing.toml", "did you mean run.toml"),
    ],
)
def test_what_the_cluster_could_not_run_is_refused_with_a_cure(
    project: Path, kind: str, places: tuple[str | None, str | None], file: str, said: str, cure: str
) -> None:
    (project.parent / "other.toml").write_text(SETTINGS)
    with pytest.raises(DaaError) as refusal:
        command(kind, places=places, file=file)
    assert said in refusal.value.what
    assert cure in refusal.value.cure


def test_what_answers_is_not_sent_without_gpus_for_its_engines_and_what_trains_is(project: Path) -> None:
    (project / "run.toml").write_text(SETTINGS + "[cluster]\ngpus_per_worker = 1\n")
    assert command("train")
    for kind in ("search", "rounds", "evaluate"):
        with pytest.raises(DaaError, match="workers have GPUs, and engines have none"):
            command(kind)


@pytest.mark.parametrize(("file", "place"), [("pairs.jsonl", "data.train"), ("prompts.jsonl", "evaluation.prompts")])
def test_a_relative_path_at_which_nothing_lies_is_refused_here(project: Path, file: str, place: str) -> None:
    (project / file).unlink()
    with pytest.raises(DaaError, match=rf"no (data|prompt) file {file}") as refusal:
        command("search")
    assert refusal.value.where == place


@pytest.mark.parametrize(("key", "path"), [("cache", "mine"), ("cache", "./mine"), ("reference_cache", "mine/reference")])
def test_a_cache_that_the_cluster_would_not_find_again_is_refused_and_never_sent(project: Path, key: str, path: str) -> None:
    (project / "run.toml").write_text(f'{key} = "{path}"\n{SETTINGS}')
    with pytest.raises(UserError, match=f"would not find {path}: it is relative") as refusal:
        command("search")
    assert refusal.value.where == key and "/shared/daa-cache" in refusal.value.cure
    # Those of a run that goes on are its own.
    begun = project / "begun"
    begun.mkdir()
    (begun / "settings.json").write_text(json.dumps({"name": "small", key: path, "data": {"train": "pairs.jsonl"}}))
    assert order_of("search", None, (), (None, str(begun)))[1] == {"data.train": "pairs.jsonl"}


@pytest.mark.parametrize(("key", "path"), [("cache", "/shared/c"), ("cache", "~/c"), ("reference_cache", "s3://bucket/c")])
def test_a_cache_of_the_cluster_s_is_left_to_it(project: Path, key: str, path: str) -> None:
    (project / "run.toml").write_text(f'{key} = "{path}"\n{SETTINGS}')
    assert command("search") == "python -m jobs.search run.toml --dir /shared/run"


def test_a_directory_is_written_one_way(project: Path) -> None:
    assert command("search", places=("/shared//run/", None)) == "python -m jobs.search run.toml --dir /shared/run"


def test_an_absolute_path_is_left_to_the_cluster(project: Path) -> None:
    (project / "run.toml").write_text(SETTINGS.replace('"pairs.jsonl"', '"/shared/pairs.jsonl"').replace('"prompts.', '"/shared/prompts.'))
    _, named = order_of("search", Path("run.toml"), (), ("/shared/run", None))
    assert named["data.train"] == "/shared/pairs.jsonl"
    assert named["FILE"] == "run.toml"


def test_a_job_tells_which_keys_it_sends_where(project: Path) -> None:
    judge = 'kind = "openai"\nmodel = "m"\n'
    own = judge + 'base_url = "http://judge/v1"\napi_key_env = "MY_KEY"\n[finals.judge]\n' + judge
    (project / "run.toml").write_text(SETTINGS.replace('kind = "verifier"\n', own))
    order, _ = order_of("search", Path("run.toml"), (), ("/shared/run", None))
    of_finals = "the value of $OPENAI_API_KEY goes to https://api.openai.com/v1 (finals.judge)"
    assert order.keys == ("the value of $MY_KEY goes to http://judge/v1 (judge)", of_finals)


def test_a_plan_tells_which_keys_are_sent_where_and_reads_the_prompts(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    begun = RuntimeError("the plan is made")
    monkeypatch.setattr(planning, "_planned", Mock(side_effect=begun))
    (project / "prompts.jsonl").write_text('{"prompt": "Hi"}\n')
    with pytest.raises(UserError, match="neither `answer` nor `pattern`"):
        planning.plan(Path("run.toml"))
    (project / "run.toml").write_text(SETTINGS.replace('kind = "verifier"', 'kind = "openai"\nmodel = "m"'))
    with pytest.raises(RuntimeError, match=str(begun)):
        planning.plan(Path("run.toml"))
    assert capsys.readouterr().err == "the value of $OPENAI_API_KEY goes to https://api.openai.com/v1 (judge)\n"


def test_keys_are_found_at_any_depth_and_judges_that_need_none_send_none() -> None:
    scorer = {"kind": "judge", "model": {"kind": "openai", "base_url": "http://h/v1"}}
    told = keys_sent({"judge": {"kind": "verifier"}, "rounds": {"scorers": [{"kind": "length"}, scorer]}})
    assert list(told) == ["the value of $OPENAI_API_KEY goes to http://h/v1 (rounds.scorers[1].model)"]


def test_a_variable_of_an_address_is_told_with_where_it_goes() -> None:
    told = keys_sent({"data": {"train": "https://host/p.jsonl?${DATA_TOKEN}"}})
    assert list(told) == ["the value of $DATA_TOKEN goes to https://host/p.jsonl (data.train)"]


def test_words_of_the_settings_are_no_paths_though_a_directory_has_their_name() -> None:
    values = {"name": "mine", "data": {"split": "train", "mixture": [{"source": "a", "split": "train"}]}, "rounds": {"first": "data"}}
    assert dict(named_paths({**values, "judge": {"kind": "verifier"}})) == {"data.mixture[0].source": "a"}


@pytest.mark.parametrize("given", [("--judge", "vllm:/shared/judge"), ("--judge=vllm:/shared/judge",)])
def test_a_judge_may_be_named_by_the_jobs_own_arguments(given: tuple[str, ...], project: Path) -> None:
    (project / "run.toml").write_text('benchmarks = ["mt_bench"]\n')
    assert command("evaluate", "models/a", *given).startswith("python -m jobs.evaluate models/a --judge")
    with pytest.raises(UserError, match="no judge is named"):
        command("evaluate", "models/a")


def test_paths_are_found_at_any_depth_and_addresses_and_texts_are_none() -> None:
    values = {"data": {"mixture": [{"source": "a.jsonl"}, {"source": "s3://b/c.jsonl"}]}, "text": "two\nlines", "trials": 3}
    assert dict(named_paths(values)) == {"data.mixture[0].source": "a.jsonl"}
