"""What the hub says about the models of the settings, asked over a real connection to a hub of this test's own."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from orchestrator.doctor.apart import Check, run_apart
from orchestrator.doctor.findings import Finding, Status
from orchestrator.doctor.hub import check_hub

CLOSED = "http://127.0.0.1:9"


class Hub(BaseHTTPRequestHandler):
    """Knows an open model, a gated one and one token."""

    def do_HEAD(self) -> None:
        self.reply(200, {})

    def do_GET(self) -> None:
        is_known = self.headers.get("authorization") == "Bearer hf_good"
        if self.path == "/api/whoami-v2":
            self.reply(200 if is_known else 401, {"name": "somebody"} if is_known else {"error": "Invalid credentials"})
        elif self.path.startswith(("/api/models/open/model", "/api/datasets/open/data")) or (is_known and "gated" in self.path):
            self.reply(200, {})
        elif "gated" in self.path:
            self.reply(403, {"error": "gated"}, "GatedRepo")
        else:
            self.reply(404, {"error": "not found"}, "RepoNotFound")

    def reply(self, status: int, content: dict[str, Any], code: str = "") -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"content-type": "application/json", "content-length": str(len(body)), "x-error-code": code}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Stay quiet."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A hub, a home without a token, and an empty cache."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield
    server.shutdown()
    server.server_close()


def asked(*models: str, data: tuple[str, ...] = ()) -> list[Finding]:
    """The hub's part of the doctor, in a process that reads the environment anew."""
    return run_apart(Check("hub", check_hub, (models, data), 60)).findings


@pytest.mark.usefixtures("hub")
def test_open_models_and_data_may_be_read_without_a_token_and_local_ones_are_not_asked_about(tmp_path: Path) -> None:
    found = asked("open/model", str(tmp_path), data=("open/data",))
    assert [each.status for each in found] == [Status.OK] * 3
    assert "none" in found[0].found and "open/model" in found[1].found and "open/data" in found[2].found


@pytest.mark.usefixtures("hub")
def test_a_gated_model_fails_without_a_token_and_names_the_page_to_ask_at() -> None:
    found = asked("gated/model")[-1]
    assert found.status is Status.FAIL
    assert "gated/model is gated, and there is no token" in found.found
    assert "/gated/model, then export HF_TOKEN" in found.fix


@pytest.mark.usefixtures("hub")
def test_a_token_opens_a_gated_model_and_a_wrong_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_good")
    assert [each.status for each in asked("gated/model")] == [Status.OK, Status.OK]
    monkeypatch.setenv("HF_TOKEN", "hf_bad")
    token, access = asked("gated/model")
    assert (token.name, token.status, access.status) == ("hub token", Status.FAIL, Status.FAIL)
    assert "this token may not read it" in access.found


@pytest.mark.usefixtures("hub")
def test_a_model_that_does_not_exist_fails() -> None:
    found = asked("no/such-model")[-1]
    assert found.status is Status.FAIL
    assert "there is no model no/such-model, or it is private" in found.found


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize("environment", [{"HF_ENDPOINT": CLOSED}, {"HF_HUB_OFFLINE": "1"}], ids=["no network", "offline"])
def test_without_the_hub_local_models_are_a_warning_and_models_of_the_hub_fail(
    environment: dict[str, str], tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert [each.status for each in asked(str(tiny_model))] == [Status.WARN]
    (found,) = asked("open/model")
    assert found.status is Status.FAIL
    assert found.fix


@pytest.mark.usefixtures("hub")
def test_without_the_hub_a_model_that_was_downloaded_is_a_warning(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    kept = tmp_path / "hub" / "hub" / "models--open--model"
    (kept / "refs").mkdir(parents=True)
    (kept / "refs" / "main").write_text("abc")
    (kept / "snapshots").mkdir()
    (kept / "snapshots" / "abc").symlink_to(tiny_model)
    (found,) = asked("open/model")
    assert (found.status, "in this machine's cache" in found.found) == (Status.WARN, True)
