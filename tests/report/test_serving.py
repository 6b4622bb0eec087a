"""The served page: for this machine alone, made again when the ledger grows, and whole when the ledger cannot be read."""

import json
import threading
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from orchestrator.errors import UserError
from orchestrator.report.page.serving import Pages, server_of
from orchestrator.search.trial import Trial
from tests.report.searched import BEST, searched
from tests.search import events as made


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ThreadingHTTPServer]:
    """A server of a small search."""
    started = server_of(searched(tmp_path), 0)
    threading.Thread(target=started.serve_forever, daemon=True).start()
    yield started
    started.shutdown()
    started.server_close()


def answer(server: ThreadingHTTPServer, path: str, host: str = "localhost") -> tuple[HTTPResponse, str]:
    """What the server says to who calls it `host`."""
    connection = HTTPConnection("127.0.0.1", server.server_address[1])
    connection.request("GET", path, headers={"Host": host})
    response = connection.getresponse()
    return response, response.read().decode()


def test_the_page_its_sections_and_its_state_are_served(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    response, text = answer(server, "/")
    assert response.status == 200 and BEST in text and "<body data-live>" in text
    _, sections = answer(server, "/content")
    assert BEST in sections and "<body" not in sections and sections in text
    assert json.loads(answer(server, "/state")[1]) == {"version": (tmp_path / "ledger.jsonl").stat().st_size, "error": ""}


@pytest.mark.parametrize("path", ["/ledger.jsonl", "/../settings.json", "//etc/passwd"])
def test_no_file_is_served(path: str, server: ThreadingHTTPServer) -> None:
    assert answer(server, path)[0].status == 404


@pytest.mark.parametrize(
    ("host", "status"), [("evil.example", 403), ("localhost.evil.example:80", 403), ("127.0.0.1:8400", 200), ("[::1]:8400", 200)]
)
def test_who_was_led_here_by_another_name_is_sent_away(host: str, status: int, server: ThreadingHTTPServer) -> None:
    assert answer(server, "/", host)[0].status == status


def test_the_server_listens_to_this_machine_alone(server: ThreadingHTTPServer) -> None:
    assert server.server_address[0] == "127.0.0.1"


def test_the_page_is_made_again_when_the_ledger_has_grown_and_stays_when_it_cannot_be_read(tmp_path: Path) -> None:
    pages = Pages(searched(tmp_path))
    first = pages.made
    pages.renew()
    assert pages.made is first
    with (tmp_path / "ledger.jsonl").open("a") as file:
        file.write(json.dumps(made.joined(Trial("009-dpo-new", "dpo", {}, {}))) + "\n")
    pages.renew()
    assert "009-dpo-new" in pages.made.content and pages.made.version > first.version
    with (tmp_path / "ledger.jsonl").open("a") as file:
        file.write("this is no event\n")
    pages.renew()
    assert "009-dpo-new" in pages.made.content and "the ledger is damaged" in pages.made.error


def test_a_search_that_has_yet_to_begin_is_waited_for_and_a_missing_directory_is_refused(tmp_path: Path) -> None:
    assert "Nothing is scored" in Pages(tmp_path).made.page
    with pytest.raises(UserError, match="no such directory"):
        Pages(tmp_path / "absent")


def test_a_port_that_is_taken_is_refused_with_a_cure(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the port cannot be used"):
        server_of(tmp_path, server.server_address[1])
