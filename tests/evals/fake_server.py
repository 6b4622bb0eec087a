"""A server of chat completions in the test's process: it answers from a script, and remembers what it was asked."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any


@dataclass(frozen=True)
class Answer:
    """What the server does with one request: it waits, then sends this."""

    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0


def failure(status: int, **headers: str) -> Answer:
    """Fail with an error as OpenAI's API words it."""
    content = {"error": {"message": f"failure {status}", "type": "test", "code": None}}
    return Answer(json.dumps(content).encode(), status, {name.replace("_", "-"): value for name, value in headers.items()})


def completion(text: str, logprobs: dict[str, float] | None = None) -> Answer:
    """Answer with a chat completion and the log-probabilities of its first token."""
    choice: dict[str, Any] = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
    if logprobs is not None:
        tops = [{"token": token, "logprob": value, "bytes": None} for token, value in logprobs.items()]
        choice["logprobs"] = {"content": [{**tops[0], "top_logprobs": tops}]}
    return Answer(json.dumps({"id": "x", "object": "chat.completion", "created": 0, "model": "fake", "choices": [choice]}).encode())


class FakeServer:
    """Set `answer` to a function from the request's body and its number (from 0) to an `Answer`."""

    def __init__(self, port: int = 0) -> None:
        """Listen at a port of this machine, by default at any free one."""
        self.answer: Callable[[dict[str, Any], int], Answer] = lambda body, number: completion("m", {"m": -0.1, "M": -2.4})
        self.asked: list[dict[str, Any]] = []
        self.keys: set[str] = set()
        self.times: list[float] = []
        self.busiest = 0
        self._busy = 0
        self._lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"

    def __enter__(self) -> "FakeServer":
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._http.shutdown()
        self._http.server_close()

    def _take(self, body: dict[str, Any]) -> Answer:
        with self._lock:
            number = len(self.asked)
            self.asked.append(body)
            self.times.append(time.monotonic())
            self._busy += 1
            self.busiest = max(self.busiest, self._busy)
        answer = self.answer(body, number)
        time.sleep(answer.delay_s)
        with self._lock:
            self._busy -= 1
        return answer

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                server.keys.add(self.headers["authorization"])
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                answer = server._take(body)
                self.send_response(answer.status)
                headers = {"content-type": "application/json", "content-length": str(len(answer.body))} | answer.headers
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer.body)

            def log_message(self, format: str, *args: Any) -> None:
                """Stay quiet."""

            def handle(self) -> None:
                try:
                    super().handle()
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

        return Handler


def wait_until(true: Callable[[], bool], timeout_s: float = 60) -> None:
    end = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
