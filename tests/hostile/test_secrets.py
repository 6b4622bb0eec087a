"""Keys and tokens of the environment are nowhere in what is shown or written: canaries are planted, commands run, all files searched."""

import json
import os
import re
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from evals.benchmarks.files import DATA_VARIABLE, read_rows
from evals.secrets import redacted
from orchestrator.errors import SettingsError
from orchestrator.settings import DataSettings, MixtureSettings
from orchestrator.settings_file import check_settings
from tests.evals.benchmarks.official import DATA, needs_data
from tests.evals.fake_server import Answer, FakeServer, completion
from tests.hostile.canaries import CANARIES, leaks

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory for all that a command writes, under a name short enough for Ray's sockets."""
    with tempfile.TemporaryDirectory(prefix="daa-", dir="/tmp") as directory:
        yield Path(directory)


def run(place: Path, *command: str) -> str:
    """A command with canaries in its environment, whose every file goes below `place`; what it said."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "COV"))}
    dirs = {"HOME": str(place / "home"), "TMPDIR": str(place), "RAY_TMPDIR": str(place), DATA_VARIABLE: str(DATA)}
    environment = kept | CANARIES | dirs | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, *command], cwd=place, env=environment, capture_output=True, text=True, timeout=300, check=False)
    (place / "said.txt").write_text(done.stdout + done.stderr)
    return done.stdout + done.stderr


def evaluate(place: Path, server: FakeServer) -> str:
    """`daa eval` of a file of outputs by a judge behind the server."""
    rows = read_rows(DATA / "preference_text" / "baseline_outputs.jsonl.gz")
    outputs = [{"instruction": row["instruction"], "output": f"It is {n}.", "generator": "mine"} for n, row in enumerate(rows)]
    (place / "outputs.json").write_text(json.dumps(outputs))
    words = ("--benchmark", "alpaca_eval2", "--limit", "3", "--judge", f"{server.url}#judge", "--dir", str(place / "run"))
    return run(place, "-m", "orchestrator.cli", "eval", str(place / "outputs.json"), *words)


@needs_data
def test_a_judged_benchmark_writes_no_key(place: Path) -> None:
    with FakeServer() as server:
        server.answer = lambda body, number: completion("m", {"m": -0.1, "M": -2.4})
        said = evaluate(place, server)
        assert len(server.asked) >= 3, said
    assert (place / "run" / "scorecards.json").is_file()
    assert leaks(place) == []


@needs_data
def test_a_server_that_repeats_the_key_in_its_refusal_does_not_bring_it_to_the_screen_or_the_log(place: Path) -> None:
    error = {"error": {"message": f"Incorrect API key provided: {CANARIES['OPENAI_API_KEY']}", "type": "invalid", "code": None}}
    with FakeServer() as server:
        server.answer = lambda body, number: Answer(json.dumps(error).encode(), 401)
        said = evaluate(place, server)
    assert "DAA-0404" in said and "$OPENAI_API_KEY" in said
    assert list(place.glob("daa-error-*.log"))
    assert leaks(place) == []


def test_settings_that_cannot_be_used_are_told_without_the_environment(place: Path) -> None:
    (place / "run.toml").write_text('[judge]\nkind = "openai"\nmodel = 5\n')
    assert "DAA-0103" in run(place, "-m", "orchestrator.cli", "search", str(place / "run.toml"))
    assert leaks(place) == []


RAY_SESSION = """
import json, pathlib, sys
import psutil, ray
from orchestrator.cluster.session import ray_session
from orchestrator.settings import ClusterSettings
with ray_session(ClusterSettings(workers=1), pathlib.Path("run")):
    ray.get(ray.remote(lambda: None).remote())
    told = ray.get_runtime_context().runtime_env
    node = ray._private.worker._global_node
    people = [psutil.Process(), *psutil.Process().children(recursive=True)]
    open_ports = [each for one in people for each in one.net_connections("inet") if each.status == psutil.CONN_LISTEN]
    print(json.dumps({"runtime_env": dict(told), "dashboard": node.webui_url, "listens": [each.laddr.ip for each in open_ports]}))
"""


@pytest.mark.cluster
def test_ray_on_this_machine_is_told_no_key_has_no_dashboard_and_listens_to_nobody_else(place: Path) -> None:
    said = run(place, "-c", RAY_SESSION)
    told = json.loads(next(line for line in said.splitlines() if line.startswith('{"runtime_env"')))
    assert not told["runtime_env"].get("env_vars")
    assert not told["dashboard"]
    assert len(told["listens"]) > 4
    assert {address.removeprefix("::ffff:") for address in told["listens"]} == {"127.0.0.1"}
    assert leaks(place) == []


@pytest.mark.parametrize(
    "judge", [{"api_key_env": "sk-proj-abc123"}, {"base_url": "https://me:canary@host/v1"}], ids=["a key for its name", "a password"]
)
def test_settings_hold_no_key_and_the_refusal_does_not_repeat_it(judge: dict[str, str]) -> None:
    with pytest.raises(SettingsError) as refused:
        check_settings({"world": {"kind": "tasks"}, "judge": {"kind": "openai", "model": "judge", **judge}}, "run.toml")
    assert not any(value in str(refused.value) for value in judge.values())


@pytest.mark.parametrize(
    "name",
    ["RAY_AUTH_TOKEN", "AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "HUGGINGFACE_TOKEN", "WANDB_API_KEY", "GH_TOKEN", "KUBECONFIG"],
)
@pytest.mark.parametrize("place", ["judge", "scorer"])
def test_a_judge_is_not_sent_another_services_key(name: str, place: str) -> None:
    judge = {"kind": "openai", "model": "judge", "base_url": "http://judge/v1", "api_key_env": name}
    values: dict[str, object] = {"world": {"kind": "tasks"}, "judge": judge}
    if place == "scorer":
        values |= {"judge": {"kind": "verifier"}, "rounds": {"scorers": [{"kind": "judge", "model": judge}]}}
    with pytest.raises(SettingsError, match="another service's") as refused:
        check_settings(values, "run.toml")
    assert "JUDGE_API_KEY" in refused.value.what


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "AZURE_OPENAI_API_KEY", "JUDGE_API_KEY", "MY_KEY", "CI_JUDGE_KEY", "GHOST_KEY"])
def test_a_judges_own_key_has_any_other_name(name: str) -> None:
    judge = {"kind": "openai", "model": "judge", "api_key_env": name}
    check_settings({"world": {"kind": "tasks"}, "judge": judge}, "run.toml")


@pytest.mark.parametrize(
    ("host", "is_sent"),
    [("router.huggingface.co", True), ("huggingface.co", True), ("huggingface.co.evil", False), ("evilhuggingface.co", False)],
)
def test_a_services_key_is_sent_to_that_service(host: str, is_sent: bool) -> None:
    judge = {"kind": "openai", "model": "judge", "api_key_env": "HF_TOKEN", "base_url": f"https://{host}/v1"}
    with nullcontext() if is_sent else pytest.raises(SettingsError, match="another service's"):
        check_settings({"world": {"kind": "tasks"}, "judge": judge}, "run.toml")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("redis://:secretpw@host/0", "redis://...@host/0"),
        ("https://TOKEN@host/x", "https://...@host/x"),
        ("http://u:p@ss@h/x", "http://...@h/x"),
        ("s3://bucket/a@b, abfs://box@account/x", "s3://bucket/a@b, abfs://box@account/x"),
        ("https://host/x?mail=a@b", "https://host/x?mail=a@b"),
    ],
)
def test_no_password_of_an_address_is_shown(text: str, shown: str) -> None:
    assert redacted(text) == shown


def test_words_that_are_no_secrets_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("COMPASS_HOME", "/somewhere")
    monkeypatch.setenv("JUDGE_AUTH", "canary-word")
    assert redacted("disabled in /somewhere: canary-word") == "disabled in /somewhere: $JUDGE_AUTH"


@pytest.mark.parametrize(
    "address", ["https://me:canary@host/p.jsonl", "https://canary@host/p.jsonl", "zip://a::ftp://me:canary@host/p.zip"]
)
@pytest.mark.parametrize("place", ["data.train", "data.mixture.0.source", "reference_cache"])
def test_no_address_holds_a_password_and_the_refusal_does_not_repeat_it(address: str, place: str) -> None:
    data = {"mixture": [{"source": address}]} if "mixture" in place else {"train": address if "train" in place else "p.jsonl"}
    values = {"model": {"base": "m"}, "evaluation": {"prompts": "p"}, "judge": {"kind": "verifier"}, "data": data}
    values |= {"reference_cache": address} if place == "reference_cache" else {}
    with pytest.raises(SettingsError, match=re.escape(f"{place}: an address holds no name or password")) as refused:
        check_settings(values, "run.toml")
    assert "canary" not in "".join(traceback.format_exception(refused.value)) and "fsspec" in refused.value.what


@pytest.mark.parametrize(
    ("query", "cure"),
    [
        ("X-Amz-Date=1&X-Amz-Signature=canary", "an address holds no signature"),
        ("sv=1&sig=canary", "an address holds no signature"),
        ("token=canary", "an address holds no signature"),
        ("${OPENAI_API_KEY}", "OPENAI_API_KEY is not for addresses"),
        ("${DATA_QUERY}", "call it DATA_TOKEN or DATA_NAME_TOKEN"),
    ],
)
def test_no_address_holds_a_signature_and_the_refusal_does_not_repeat_it(query: str, cure: str) -> None:
    values = {"model": {"base": "m"}, "evaluation": {"prompts": "p"}, "judge": {"kind": "verifier"}}
    with pytest.raises(SettingsError, match=re.escape(cure)) as refused:
        check_settings(values | {"data": {"train": f"https://host/p.jsonl?{query}"}}, "run.toml")
    assert "canary" not in "".join(traceback.format_exception(refused.value))


@pytest.mark.parametrize("query", ["${DATA_TOKEN}", "sig=${DATA_TOKEN}", "download=true", ""])
def test_other_queries_are_taken_as_they_stand(query: str) -> None:
    assert DataSettings(train=f"https://host/p.jsonl?{query}").train == f"https://host/p.jsonl?{query}"


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("https://host/p.jsonl?${DATA_TOKEN}", "https://host/p.jsonl"),
        ("zip://a.csv::https://host/p.zip?part=1", "zip://a.csv::https://host/p.zip"),
        ("s3://bucket/part-?.parquet", "s3://bucket/part-?.parquet"),
        ("abfs://box@account.dfs.core.windows.net/p.jsonl", "abfs://box@account.dfs.core.windows.net/p.jsonl"),
        ("github://owner:pairs@main/p.jsonl", "github://owner:pairs@main/p.jsonl"),
        ("owner/pairs", "owner/pairs"),
    ],
)
def test_data_are_named_without_the_signature_of_an_address(source: str, named: str) -> None:
    alone, mixture = DataSettings(train=source), DataSettings(mixture=(MixtureSettings(source=source),))
    assert (alone.named, mixture.named) == (named, named)
    assert (alone.published().train, mixture.published().mixture[0].source) == (named, named)
    assert (alone.published().mixture, mixture.published().train) == ((), None)


def test_what_is_short_or_no_secret_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "true")
    monkeypatch.setenv("MY_KEY", "canary-1234")
    monkeypatch.setenv("MY_PLACE", "canary-place")
    assert redacted("true canary-1234 canary-place") == "true $MY_KEY canary-place"
