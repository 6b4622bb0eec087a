"""Which failures of a model's server are worth another attempt, and when; how fast it may be asked."""

import asyncio
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from tenacity import RetryCallState
from tenacity.wait import wait_base, wait_exponential, wait_random

if TYPE_CHECKING:
    from openai import APIConnectionError, APIStatusError

TRANSIENT_STATUS = frozenset({408, 409, 425, 429})
LONGEST_BACKOFF_S = 30.0
# A server may ask for an hour; an evaluation that sleeps so long had better fail and be retried elsewhere.
LONGEST_OBEYED_S = 120.0


class MalformedAnswerError(Exception):
    """The server answered 200 with something that is no chat completion, as proxies and starting servers do."""


class RefusedAnswerError(Exception):
    """The model, or a filter before it, refuses this one question."""


def is_transient(error: BaseException) -> bool:
    """Whether the same request may succeed later: no connection, time-out, too many requests, a server's own failure."""
    from openai import APIConnectionError, APIStatusError

    if isinstance(error, APIStatusError):
        return error.status_code in TRANSIENT_STATUS or error.status_code >= 500
    return isinstance(error, APIConnectionError | MalformedAnswerError | RefusedAnswerError)


def was_sent(error: "APIConnectionError") -> bool:
    """Whether a server may have had the request, and be paid for it, though no answer came: the connection stood."""
    # The library below has been httpx and is httpx2.
    return type(error.__cause__).__name__ not in {"ConnectError", "ConnectTimeout", "PoolTimeout"}


def retry_after(error: "APIStatusError") -> float:
    """Seconds that the server asks to wait: a number or a date in Retry-After; 0 when it does not ask."""
    value = error.response.headers.get("retry-after", "0")
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
        except (TypeError, ValueError):
            return 0.0
    return min(max(seconds, 0.0), LONGEST_OBEYED_S)


class BackOff(wait_base):
    """Exponential, with jitter, and at least as long as the server asks."""

    def __init__(self, first_wait_s: float) -> None:
        self.exponential = wait_exponential(multiplier=first_wait_s, max=LONGEST_BACKOFF_S) + wait_random(0, first_wait_s)

    def __call__(self, retry_state: RetryCallState) -> float:
        from openai import APIStatusError

        error = retry_state.outcome.exception() if retry_state.outcome else None
        asked = retry_after(error) if isinstance(error, APIStatusError) else 0.0
        return max(asked, self.exponential(retry_state))


class Pace:
    """Waits when the server says that nothing is left of its rate limit, until it says that there is again.

    Read from the headers x-ratelimit-remaining-{requests,tokens} and x-ratelimit-reset-{requests,tokens} of every answer.
    """

    def __init__(self) -> None:
        self._open_at = 0.0

    async def wait(self) -> None:
        """Return when the server may be asked."""
        while (left := self._open_at - time.monotonic()) > 0:
            await asyncio.sleep(left)

    def heed(self, headers: Mapping[str, str]) -> None:
        """Take note of what an answer says about the limit."""
        for kind in ("requests", "tokens"):
            if headers.get(f"x-ratelimit-remaining-{kind}", "").strip() == "0":
                seconds = duration(headers.get(f"x-ratelimit-reset-{kind}", ""))
                self._open_at = max(self._open_at, time.monotonic() + min(seconds, LONGEST_OBEYED_S))


def duration(text: str) -> float:
    """Seconds in a duration such as "6m0s", "1.5s", "20ms" or "3"; 0 for what is none."""
    units = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "": 1.0}
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|h|m|s|)", text.strip())
    return sum(float(number) * units[unit] for number, unit in parts)
