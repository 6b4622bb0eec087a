"""The page of a search that runs, on this machine alone: made again when the ledger has grown, and asked for news by the page itself."""

import json
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from orchestrator.errors import DaaError, UserError
from orchestrator.report.page.html import content, page
from orchestrator.report.page.run import Run
from orchestrator.report.terminal import show
from orchestrator.run_files import RunFiles
from orchestrator.search.ledger import Events

HOSTS = ("localhost", "127.0.0.1", "[::1]")
# At most so much of the time goes into making the page, however large the ledger.
_REST = 4.0
_LOOKS_EVERY_S = 1.0


@dataclass(frozen=True)
class Made:
    """A page, its sections alone, and the size of the ledger that it was made of; `error` says why no later one could be made."""

    version: int
    page: str
    content: str
    error: str = ""


class Pages:
    """Holds the latest page of a search's directory."""

    def __init__(self, directory: Path) -> None:
        """Raises UserError where there is no directory; one without a ledger is that of a search that has yet to begin."""
        if not directory.is_dir():
            raise UserError("there is no such directory", str(directory), "give the directory of a search")
        self._directory = directory.resolve()
        self.made = self._make()

    def watch(self) -> None:
        """Make the page again whenever the ledger has grown; never returns."""
        while True:
            began = time.monotonic()
            self.renew()
            time.sleep(max(_LOOKS_EVERY_S, _REST * (time.monotonic() - began)))

    def renew(self) -> None:
        """Make the page again if the ledger has grown. One that cannot be read leaves the page as it is, and says so."""
        if self._size() == self.made.version:
            return
        try:
            self.made = self._make()
        except (DaaError, OSError, ValueError, KeyError) as error:
            self.made = Made(self.made.version, self.made.page, self.made.content, f"the ledger cannot be read: {error}"[:300])

    def _make(self) -> Made:
        size = self._size()
        run = Run.read(self._directory) if size else Run(self._directory.name, Events(), [], None, directory=self._directory)
        return Made(size, page(run, is_live=True), content(run))

    def _size(self) -> int:
        file = RunFiles(self._directory).ledger
        return file.stat().st_size if file.is_file() else 0


class _Handler(BaseHTTPRequestHandler):
    """Answers what the page asks for, and nobody whom another name of this machine was given to."""

    pages: Pages

    def do_GET(self) -> None:
        host = self.headers.get("Host", "").rpartition(":")
        if (host[0] or host[2]) not in HOSTS:
            self._answer(HTTPStatus.FORBIDDEN, "text/plain", "ask for localhost")
            return
        made = self.pages.made
        match self.path.partition("?")[0]:
            case "/":
                self._answer(HTTPStatus.OK, "text/html", made.page)
            case "/content":
                self._answer(HTTPStatus.OK, "text/html", made.content)
            case "/state":
                self._answer(HTTPStatus.OK, "application/json", json.dumps({"version": made.version, "error": made.error}))
            case _:
                self._answer(HTTPStatus.NOT_FOUND, "text/plain", "there is only /")

    def _answer(self, status: HTTPStatus, kind: str, text: str) -> None:
        body = text.encode()
        headers: Mapping[str, Any] = {
            "Content-Type": f"{kind}; charset=utf-8",
            "Content-Length": len(body),
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Referrer-Policy": "no-referrer",
        }
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.end_headers()
        # Who closes the page meanwhile does not want it any more.
        with suppress(ConnectionError):
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing of each request."""


def server_of(directory: Path, port: int) -> ThreadingHTTPServer:
    """A server on this machine's own address, whose page follows the search; port 0 takes a free one. It is yet to be started.

    Raises UserError where there is no directory, or where the port is taken.
    """
    pages = Pages(directory)
    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), type("Handler", (_Handler,), {"pages": pages}))
    except (OSError, OverflowError) as error:
        cure = "`daa report DIR --serve PORT` takes another; 0 is any that is free"
        raise UserError(f"the port cannot be used: {error}", f"port {port}", cure) from error
    server.daemon_threads = True
    threading.Thread(target=pages.watch, daemon=True).start()
    return server


def serve(directory: Path, port: int) -> None:
    """Serve the page until the user ends it."""
    server = server_of(directory, port)
    show(f"the report of {directory}: http://localhost:{server.server_address[1]}/ (Ctrl-C ends it)")
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        show("the page is no longer served; `daa report` writes it as a file")
    finally:
        server.server_close()
