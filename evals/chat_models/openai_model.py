"""A language model behind any OpenAI-compatible endpoint: the hosted models, or a server of one's own."""

import asyncio
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NoReturn

from evals.asking import Keep, Question, Reply, forget
from evals.chat_models.budget import Budget, Prices
from evals.chat_models.completions import body_of, completion_in, counts, reply_in, whole
from evals.chat_models.retrying import BackOff, MalformedAnswerError, Pace, RefusedAnswerError, is_transient, was_sent
from evals.errors import JudgeUnavailableError, SettingsError, UserError
from evals.event_loop import run_to_the_end
from evals.secrets import keep_secret, redacted

if TYPE_CHECKING:
    from openai import APIError, AsyncOpenAI

OPENAI_URL = "https://api.openai.com/v1"
# Content that the server's filter stops is a failure of that question, not of the settings.
FILTERED = ("content_filter", "content_policy_violation", "ResponsibleAIPolicyViolation")
TOO_LONG = ("context_length_exceeded", "maximum context length", "max_model_len")
# Of what a server says of a failure, letters that are looked at and that are told: what may be a key is not cut in two.
_READ, _TOLD = 2000, 600
CURES = {
    400: 'a reasoning model wants `reasoning_effort` and `protocol = "text"`; with another, try a smaller `top_logprobs`',
    401: "set a valid key in the environment variable {key}",
    403: "the key in {key} may not use this model: ask for access, or choose another `model`",
    404: "is the model name right, and does `base_url` end where the API begins (mostly /v1)?",
}


@dataclass(frozen=True)
class OpenAIModelSettings:
    """Which model, where it is, how hard it is asked, and what that may cost.

    `max_requests` and `max_cost` bound the model's whole life, retries included; prices are per million tokens, in any currency. With a
    `reasoning_effort`, which reasoning models take in place of a temperature, `reasoning_tokens` may be generated before the answer.
    """

    model: str
    base_url: str | None = None
    api_key_env: str = "OPENAI_API_KEY"
    max_concurrency: int = 16
    timeout_s: float = 60
    max_attempts: int = 6
    first_wait_s: float = 0.5
    top_logprobs: int = 20
    reasoning_effort: str | None = None
    reasoning_tokens: int = 8192
    max_requests: int | None = None
    max_cost: float | None = None
    input_price: float = 0.0
    output_price: float = 0.0

    def __post_init__(self) -> None:
        for name in ("max_concurrency", "timeout_s", "max_attempts", "top_logprobs", "reasoning_tokens"):
            if not getattr(self, name) > 0:
                raise SettingsError(f"`{name}` is {getattr(self, name)}", "the judge's settings", "give a number above 0")
        if self.max_cost is not None and not (self.input_price or self.output_price):
            raise SettingsError(
                "`max_cost` is given and no price", "the judge's settings", "set `input_price` and `output_price`, per million tokens"
            )


class OpenAIModel:
    """Asks many questions at a time and retries what may pass. Replies that were paid for reach `keep` even when a later one fails."""

    repeats_itself: bool = False

    def __init__(self, settings: OpenAIModelSettings) -> None:
        self.settings = settings
        keep_secret(settings.api_key_env)
        reasoning = settings.reasoning_tokens if settings.reasoning_effort else 0
        self.budget = Budget(Prices(settings.input_price, settings.output_price, reasoning), settings.max_requests, settings.max_cost)
        self._pace = Pace()

    @property
    def name(self) -> str:
        return f"openai {self.settings.model}"

    @property
    def identity(self) -> str:
        effort = self.settings.reasoning_effort
        how = f"reasoning={effort},{self.settings.reasoning_tokens}" if effort else f"top_logprobs={self.settings.top_logprobs}"
        return f"openai {self._url()} {self.settings.model} {how}"

    def ask(self, questions: Sequence[Question], keep: Keep = forget) -> list[Reply]:
        """One reply per question.

        Raises JudgeUnavailableError when the server does not answer after all attempts, and UserError when it refuses, when a bound on
        requests or money is too small, or for labels that a reasoning model is asked about.
        """
        if self.settings.reasoning_effort and any(question.labels for question in questions):
            cure = 'set `protocol = "text"`, or take a judge without `reasoning_effort`: AlpacaEval 2 weighs log-probabilities'
            raise UserError(f"the reasoning model {self.settings.model} tells no log-probabilities", "the judge's settings", cure)
        self.budget.check(len(questions))
        return run_to_the_end(self._ask_all(questions, keep))

    async def _ask_all(self, questions: Sequence[Question], keep: Keep) -> list[Reply]:
        replies: dict[int, Reply] = {}
        failures: list[BaseException] = []
        numbers = iter(range(len(questions)))

        async def work(waiting: Iterator[int]) -> None:
            for number in waiting:
                try:
                    replies[number] = await self._reply(client, questions[number], failures)
                    keep(number, replies[number])
                except Exception as error:
                    failures.append(error)
                if failures:
                    return

        async with self._client() as client:
            await asyncio.gather(*(work(numbers) for _ in range(min(self.settings.max_concurrency, len(questions)))))
        if failures:
            raise failures[0]
        return [replies[number] for number in range(len(questions))]

    async def _reply(self, client: "AsyncOpenAI", question: Question, failures: Sequence[BaseException]) -> Reply:
        from openai import APIError
        from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt

        retrying = AsyncRetrying(
            stop=lambda state: bool(failures) or stop_after_attempt(self.settings.max_attempts)(state),
            wait=BackOff(self.settings.first_wait_s),
            retry=retry_if_exception(is_transient),
            reraise=True,
        )
        paid: list[float] = []
        try:
            return replace(await retrying(self._request, client, question, paid), cost=sum(paid))
        except RefusedAnswerError as error:
            return Reply(failure=self._told(error), cost=sum(paid))
        except MalformedAnswerError as error:
            self._give_up(error)
        except APIError as error:
            if is_transient(error):
                self._give_up(error)
            if any(sign in str(error) for sign in (*FILTERED, *TOO_LONG)):
                return Reply(failure=self._told(error), cost=sum(paid))
            self._refuse(error)

    async def _request(self, client: "AsyncOpenAI", question: Question, paid: list[float]) -> Reply:
        """One attempt, whose cost joins what was `paid`, whatever the answer is good for."""
        from openai import APIConnectionError

        await self._pace.wait()
        most, cost = await self.budget.take(question), 0.0
        messages: Any = [message.as_dict() for message in question.messages]
        try:
            async with client.chat.completions.with_streaming_response.create(
                model=self.settings.model,
                messages=messages,
                **self._options(question),
            ) as answer:
                self._pace.heed(answer.headers)
                # What says nothing of its tokens may have cost the most.
                cost = most
                body = await body_of(answer.iter_bytes())
            completion = completion_in(body)
            prompt_tokens, tokens = counts(completion)
            if prompt_tokens is not None and tokens is not None:
                cost = self.budget.prices.of(prompt_tokens, tokens)
            return reply_in(completion, body, question, self._room(question), self.settings.top_logprobs)
        except APIConnectionError as error:
            # Nobody told what became of a request that was sent.
            cost = most if was_sent(error) else cost
            raise
        finally:
            self.budget.settle(most, cost)
            paid.append(cost)

    def _options(self, question: Question) -> dict[str, Any]:
        """How the next turn is made, in the words of the API."""
        decoding, room = question.decoding, self._room(question)
        if self.settings.reasoning_effort:
            return {"reasoning_effort": self.settings.reasoning_effort, "max_completion_tokens": room}
        sampling = {"temperature": decoding.temperature, "top_p": decoding.top_p, "seed": decoding.seed + question.attempt}
        labels = {"logprobs": True, "top_logprobs": self.settings.top_logprobs} if question.labels else {}
        return {**sampling, "max_tokens": room, **labels}

    def _room(self, question: Question) -> int:
        """How many tokens the next turn may have."""
        if question.labels:
            return 1
        return question.decoding.max_tokens + (self.settings.reasoning_tokens if self.settings.reasoning_effort else 0)

    def _client(self) -> "AsyncOpenAI":
        from openai import AsyncOpenAI

        key = os.environ.get(self.settings.api_key_env)
        if not key and self.settings.base_url is None:
            where = f"environment variable {self.settings.api_key_env}"
            raise UserError("the judge has no API key", where, "export it, or give `base_url` of a server that needs none", code="DAA-0403")
        return AsyncOpenAI(api_key=key or "none", base_url=self._url(), timeout=self.settings.timeout_s, max_retries=0)

    def _url(self) -> str:
        return self.settings.base_url or OPENAI_URL

    def _told(self, error: Exception) -> str:
        """What the server said first, without the key and without halves of letters."""
        return whole(redacted(str(error)[:_READ]))[:_TOLD]

    def _give_up(self, error: Exception) -> NoReturn:
        what = f"the model {self.settings.model} did not answer after {self.settings.max_attempts} attempts: {self._told(error)}"
        raise JudgeUnavailableError(what, self._url(), "is the server up? is the model name right? is `timeout_s` long enough?") from error

    def _refuse(self, error: "APIError") -> NoReturn:
        cure = CURES.get(getattr(error, "status_code", 0), "correct the judge's settings").format(key=self.settings.api_key_env)
        raise UserError(
            f"the model {self.settings.model} refuses the request: {self._told(error)}", self._url(), cure, code="DAA-0404"
        ) from error
