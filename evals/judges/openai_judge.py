"""A judge behind any OpenAI-compatible endpoint: the hosted models, or a `vllm serve` of one's own."""

import asyncio
import logging
import os
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from evals.errors import JudgeUnavailableError, SettingsError, UserError
from evals.judges.pairwise_prompt import (
    ask_for_text,
    ask_for_token,
    candidate_is_first,
    label_logprobs,
    score_from_text,
    score_from_tokens,
)
from evals.judges.retrying import BackOff, MalformedAnswerError, is_transient
from evals.judging import Match, Verdict

if TYPE_CHECKING:
    from openai import APIError, AsyncOpenAI
    from openai.types.chat.chat_completion import Choice

logger = logging.getLogger(__name__)

OPENAI_URL = "https://api.openai.com/v1"
TEXT_TOKENS = 1024
CURES = {
    400: "does the model allow `temperature`, `max_tokens` and `top_logprobs`? try another `protocol` or a smaller `top_logprobs`",
    401: "set a valid key in the environment variable {key}",
    403: "the key in {key} may not use this model: ask for access, or choose another `model`",
    404: "is the model name right, and does `base_url` end where the API begins (mostly /v1)?",
}


@dataclass(frozen=True)
class OpenAIJudgeSettings:
    """Which model judges, where it is, and how hard it is asked.

    `max_requests` bounds the requests of the judge's whole life, retries included.
    """

    model: str
    base_url: str | None = None
    api_key_env: str = "OPENAI_API_KEY"
    max_concurrency: int = 16
    timeout_s: float = 60
    max_attempts: int = 6
    first_wait_s: float = 0.5
    protocol: Literal["logprobs", "text"] = "logprobs"
    seed: int = 0
    top_logprobs: int = 20
    max_requests: int | None = None

    def __post_init__(self) -> None:
        for name in ("max_concurrency", "timeout_s", "max_attempts", "top_logprobs"):
            if not getattr(self, name) > 0:
                raise SettingsError(f"`{name}` is {getattr(self, name)}", "the judge's settings", "give a number above 0")
        if self.protocol not in ("logprobs", "text"):
            raise SettingsError(f"there is no protocol {self.protocol!r}", "the judge's settings", "choose `logprobs` or `text`")


class OpenAIJudge:
    """Asks about every match once, many at a time, and retries what may pass. Equal texts tie and are not asked about."""

    def __init__(self, settings: OpenAIJudgeSettings) -> None:
        self.settings = settings
        self.requests = 0

    @property
    def name(self) -> str:
        return f"openai {self.settings.model} ({self.settings.protocol}, seed {self.settings.seed})"

    def judge(self, matches: Sequence[Match]) -> list[Verdict]:
        """One verdict per match.

        Raises JudgeUnavailableError when the server does not answer after all attempts, and UserError when it refuses or
        when `max_requests` is too small.
        """
        asked = sum(match.candidate != match.baseline for match in matches)
        if self.settings.max_requests is not None and self.requests + asked > self.settings.max_requests:
            self._refuse_spending(asked)
        return _run(self._judge_all(matches))

    async def _judge_all(self, matches: Sequence[Match]) -> list[Verdict]:
        places = asyncio.Semaphore(self.settings.max_concurrency)
        async with self._client() as client:
            tasks = [asyncio.create_task(self._verdict(client, places, match)) for match in matches]
            try:
                return await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _verdict(self, client: "AsyncOpenAI", places: asyncio.Semaphore, match: Match) -> Verdict:
        if match.candidate == match.baseline:
            return Verdict(match.prompt.id, 0.5, reason="equal texts")
        first = candidate_is_first(match.prompt, self.settings.seed)
        by_tokens = self.settings.protocol == "logprobs"
        question = ask_for_token(match, first) if by_tokens else ask_for_text(match, first)
        async with places:
            choice = await self._ask(client, [message.as_dict() for message in question])
        text = choice.message.content or ""
        score = score_from_tokens(label_logprobs(_told_logprobs(choice)), first) if by_tokens else score_from_text(text, first)
        if score is None:
            logger.warning("unreadable verdict on prompt %s: %.300r", match.prompt.id, text)
        return Verdict(match.prompt.id, score, first, text)

    async def _ask(self, client: "AsyncOpenAI", messages: list[dict[str, str]]) -> "Choice":
        from openai import APIError
        from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt

        retrying = AsyncRetrying(
            stop=stop_after_attempt(self.settings.max_attempts),
            wait=BackOff(self.settings.first_wait_s),
            retry=retry_if_exception(is_transient),
            reraise=True,
        )
        try:
            return await retrying(self._request, client, messages)
        except MalformedAnswerError as error:
            self._give_up(error)
        except APIError as error:
            if is_transient(error):
                self._give_up(error)
            self._refuse(error)

    async def _request(self, client: "AsyncOpenAI", messages: Any) -> "Choice":
        from openai import APIResponseValidationError

        if self.settings.max_requests is not None and self.requests >= self.settings.max_requests:
            self._refuse_spending(1)
        self.requests += 1
        by_tokens = self.settings.protocol == "logprobs"
        options: dict[str, Any] = {"logprobs": True, "top_logprobs": self.settings.top_logprobs} if by_tokens else {}
        try:
            completion = await client.chat.completions.create(
                model=self.settings.model,
                messages=messages,
                max_tokens=1 if by_tokens else TEXT_TOKENS,
                temperature=0,
                seed=self.settings.seed,
                **options,
            )
        except (ValueError, APIResponseValidationError) as error:
            raise MalformedAnswerError(f"the answer is no JSON: {error}") from error
        choices = getattr(completion, "choices", None)
        if not choices or getattr(choices[0], "message", None) is None:
            raise MalformedAnswerError(f"the answer is no chat completion: {str(completion)[:200]}")
        return choices[0]

    def _client(self) -> "AsyncOpenAI":
        from openai import AsyncOpenAI

        key = os.environ.get(self.settings.api_key_env)
        if not key and self.settings.base_url is None:
            where = f"environment variable {self.settings.api_key_env}"
            raise UserError("the judge has no API key", where, "export it, or give `base_url` of a server that needs none")
        return AsyncOpenAI(api_key=key or "none", base_url=self._url(), timeout=self.settings.timeout_s, max_retries=0)

    def _url(self) -> str:
        return self.settings.base_url or OPENAI_URL

    def _give_up(self, error: Exception) -> NoReturn:
        what = f"the judge {self.settings.model} did not answer after {self.settings.max_attempts} attempts: {error}"
        raise JudgeUnavailableError(what, self._url(), "is the server up? is the model name right? is `timeout_s` long enough?") from error

    def _refuse(self, error: "APIError") -> NoReturn:
        cure = CURES.get(getattr(error, "status_code", 0), "correct the judge's settings").format(key=self.settings.api_key_env)
        raise UserError(f"the judge {self.settings.model} refuses the request: {error}", self._url(), cure) from error

    def _refuse_spending(self, wanted: int) -> NoReturn:
        what = f"{self.requests} requests are spent and {wanted} more are wanted, but `max_requests` is {self.settings.max_requests}"
        raise UserError(what, self._url(), "raise `max_requests`, or judge fewer prompts")


def _told_logprobs(choice: "Choice") -> dict[str, float]:
    content = (choice.logprobs and choice.logprobs.content) or []
    return {top.token: top.logprob for top in content[0].top_logprobs} | {content[0].token: content[0].logprob} if content else {}


def _run(verdicts: Coroutine[Any, Any, list[Verdict]]) -> list[Verdict]:
    """Run to the end, also inside an actor whose loop is running already: there in a thread with a loop of its own."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(verdicts)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, verdicts).result()
