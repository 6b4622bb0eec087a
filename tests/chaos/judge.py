"""A judge's server whose verdict is a matter of the question alone, and which can be told to misbehave."""

import json
import sys
import time
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

HANGS, THROTTLES, FAILS, LIES = "hangs", "throttles", "fails", "lies"
MISBEHAVIOURS = (HANGS, THROTTLES, FAILS, LIES)
_HANG_S = 600.0


def completion(question: str) -> dict[str, Any]:
    """A chat completion of one token, m or M, which the question's letters decide."""
    sure = zlib.crc32(question.encode()) % 2
    tops = [{"token": token, "logprob": value, "bytes": None} for token, value in (("mM"[sure], -0.1), ("mM"[1 - sure], -2.4))]
    message = {"role": "assistant", "content": tops[0]["token"]}
    choice = {"index": 0, "finish_reason": "stop", "message": message, "logprobs": {"content": [{**tops[0], "top_logprobs": tops}]}}
    usage = {"prompt_tokens": 100, "completion_tokens": 1, "total_tokens": 101}
    return {"id": "x", "object": "chat.completion", "created": 0, "model": "judge", "choices": [choice], "usage": usage}


class Handler(BaseHTTPRequestHandler):
    """Answers as the file `mood` says at the moment."""

    mood: Path

    def do_POST(self) -> None:
        """One question."""
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        mood = self.mood.read_text() if self.mood.exists() else ""
        if mood == HANGS:
            time.sleep(_HANG_S)
        if mood in {THROTTLES, FAILS}:
            self._send(429 if mood == THROTTLES else 500, b'{"error": {"message": "not now"}}')
        elif mood == LIES:
            self._send(200, b'{"choices": [{"message": {"content": [1, {')
        else:
            self._send(200, json.dumps(completion(json.dumps(body["messages"]))).encode())

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing is told."""

    def _send(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


if __name__ == "__main__":
    Handler.mood = Path(sys.argv[2])
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
