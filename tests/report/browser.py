"""A headless Chromium that a test drives through a pipe, by the browser's own protocol."""

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
PATIENCE_S = 90.0


class Browser:
    """One tab. `complaints` are the errors and warnings that its console has shown."""

    def __init__(self, asked: IO[bytes], said: IO[bytes]) -> None:
        self._asked, self._said, self._count, self._session = asked, said, 0, ""
        self.complaints: list[str] = []
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._ask(f"{domain}.enable")

    def open(self, address: str, dark: bool = False, width: int = 1280, height: int = 900) -> None:
        """Load a page and wait until its charts are drawn."""
        shape = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self._ask("Emulation.setDeviceMetricsOverride", **shape)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._ask("Emulation.setEmulatedMedia", features=[scheme])
        self._ask("Page.navigate", url=address)
        self.wait("document.readyState === 'complete' && !document.querySelector('.chart:not([data-drawn])')")

    def run(self, expression: str) -> Any:
        """The value of a script in the page."""
        told = self._ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def wait(self, condition: str) -> None:
        """Until a script's value is true."""
        end = time.monotonic() + PATIENCE_S
        while not self.run(condition):
            assert time.monotonic() < end, f"never came true: {condition}"
            time.sleep(0.05)

    def press(self, key: str) -> None:
        """A key, as a person presses it."""
        text = {"Enter": "\r", "Tab": ""}.get(key, key if len(key) == 1 else "")
        code = {"Enter": 13, "Tab": 9, "Escape": 27}.get(key, ord(key.upper()) if len(key) == 1 else 0)
        for kind in ("keyDown", "keyUp"):
            self._ask(
                "Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **({"text": text} if kind == "keyDown" else {})
            )

    def type(self, text: str) -> None:
        """Text into what has the focus."""
        self._ask("Input.insertText", text=text)

    def picture(self, file: Path, whole: bool = True) -> None:
        """What the page looks like."""
        taken = self._ask("Page.captureScreenshot", captureBeyondViewport=whole, **({"clip": self._all()} if whole else {}))
        file.write_bytes(base64.b64decode(taken["data"]))

    def _all(self) -> dict[str, float]:
        size = self._ask("Page.getLayoutMetrics")["cssContentSize"]
        return {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}

    def _ask(self, method: str, **values: Any) -> dict[str, Any]:
        self._count += 1
        session = {"sessionId": self._session} if self._session else {}
        self._asked.write(json.dumps({"id": self._count, "method": method, "params": values, **session}).encode() + b"\0")
        self._asked.flush()
        while (message := self._hear()).get("id") != self._count:
            self._note(message)
        assert "error" not in message, message["error"]
        return message["result"]

    def _hear(self) -> dict[str, Any]:
        heard = bytearray()
        while (letter := self._said.read(1)) != b"\0":
            assert letter, "the browser is gone"
            heard += letter
        return json.loads(heard)

    def _note(self, message: dict[str, Any]) -> None:
        match message.get("method"):
            case "Log.entryAdded" if message["params"]["entry"]["level"] in {"error", "warning"}:
                self.complaints.append(message["params"]["entry"]["text"])
            case "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(message["params"]["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if message["params"]["type"] in {"error", "warning"}:
                self.complaints.append(json.dumps(message["params"]["args"]))
            case _:
                pass


@contextmanager
def browser(home: Path) -> Iterator[Browser]:
    """A browser that knows nothing but what it is given; its files lie in `home`."""
    assert CHROMIUM is not None
    to_it, from_us = os.pipe()
    from_it, to_us = os.pipe()
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-pipe", f"--user-data-dir={home}"]
    # The protocol's pipes are the descriptors 3 and 4.
    shell = ["bash", "-c", f'exec "$0" "$@" 3<&{to_it} 4>&{to_us}', CHROMIUM, *flags, "about:blank"]
    process = subprocess.Popen(shell, pass_fds=(to_it, to_us), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(to_it)
    os.close(to_us)
    try:
        with os.fdopen(from_us, "wb") as asked, os.fdopen(from_it, "rb") as said:
            yield Browser(asked, said)
    finally:
        process.terminate()
        process.wait(timeout=PATIENCE_S)
