"""How checkpoints are scored: prompts, decoding, judge."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from evals.secrets import keep_secret
from orchestrator.errors import SettingsError
from orchestrator.own_classes import make_own
from orchestrator.settings.section import ModelName, Section

GuardName = Literal["empty", "constant", "repetition", "length", "template", "addresses_judge", "unfinished"]


# How the variables of other services begin, and which hosts are theirs, some of which serve models themselves.
_OF_OTHERS = {
    **{"AWS_": "amazonaws.com", "AZURE_": "azure.com", "GITHUB_": "github.ai", "GH_": "github.ai", "GOOGLE_": "googleapis.com"},
    **{"HF_": "huggingface.co", "HUGGING": "huggingface.co", "WANDB_": "wandb.ai"},
    **dict.fromkeys(("GITLAB_", "KUBE", "MLFLOW_", "RAY_", "SSH_"), None),
}


class EvaluationSettings(Section):
    """Which prompts score a checkpoint, and how they are answered. `held_out` prompts are used once, for the winner.

    A score for which more than the share `max_unreadable` of verdicts could not be read is refused. All guards flag the scorecard; one of
    `veto` that is set off grossly (evals.guards.GROSS) ends the trial. The guard `template` also finds lists of examples that look like
    dialogues, which strong models write, and `unfinished` answers that `max_tokens` or the context cut off: neither is a veto unless it is
    named.
    """

    prompts: Path | None = None
    held_out: Path | None = None
    temperature: NonNegativeFloat = 0.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    max_tokens: PositiveInt = 2048
    seed: NonNegativeInt = 0
    max_model_len: PositiveInt | None = None
    gpu_memory_utilization: Annotated[float, Field(gt=0, lt=1)] = 0.6
    max_unreadable: Annotated[float, Field(ge=0, lt=1)] = 0.1
    veto: tuple[GuardName, ...] = ("empty", "constant", "repetition", "length", "addresses_judge")

    @property
    def longest(self) -> int:
        """The most tokens that an answer can have, as far as the settings say."""
        return min(self.max_tokens, self.max_model_len or self.max_tokens)


class ScoringSection(Section):
    """Who scores responses, or pairs of them."""

    @property
    def local_model(self) -> str | None:
        """The model that an actor of this cluster loads for it."""
        return None

    @property
    def price(self) -> float:
        """Of a million tokens read and a million written, together; 0 where there is none to pay, or none is given."""
        return 0.0


class VerifierSettings(ScoringSection):
    """Right beats wrong, by each prompt's own `answer` or `pattern`."""

    kind: Literal["verifier"]


class ReferenceSettings(ScoringSection):
    """The response closer to the prompt's `reference` wins (chrF); differences up to `tie_margin` points are ties."""

    kind: Literal["reference"]
    tie_margin: NonNegativeFloat = 0.0


class AskedJudge(ScoringSection):
    """How a language model is asked about pairs.

    `swap_sample` prompts of the set are asked about in both orders, to see how far the order decides; `order` "both" asks about all so.
    """

    protocol: Literal["logprobs", "text"] = "logprobs"
    order: Literal["seeded", "both"] = "seeded"
    swap_sample: NonNegativeInt = 32
    seed: NonNegativeInt = 0

    @property
    def swapped(self) -> int | None:
        """How many pairs are asked about in both orders; None for all."""
        return None if self.order == "both" else self.swap_sample


class OpenAISettings(AskedJudge):
    """A model behind an OpenAI-compatible endpoint. The key is read from the environment variable `api_key_env`, which is the judge's own.

    `max_requests` and `max_cost` bound what one process asks and spends from its start, attempts that fail included: after a restart, or
    when a run is resumed, they begin anew, and `[budget]` is what bounds a whole search. Prices are per million tokens. A reasoning model
    is told its `reasoning_effort` in place of a temperature, has room for `reasoning_tokens` before its answer, and judges by `protocol`
    "text".
    """

    kind: Literal["openai"]
    model: ModelName
    base_url: str | None = None
    api_key_env: str = "OPENAI_API_KEY"
    max_concurrency: PositiveInt = 16
    timeout_s: PositiveFloat = 60.0
    max_attempts: PositiveInt = 6
    top_logprobs: PositiveInt = 20
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    reasoning_tokens: PositiveInt = 8192
    max_requests: PositiveInt | None = None
    max_cost: PositiveFloat | None = None
    input_price: NonNegativeFloat = 0.0
    output_price: NonNegativeFloat = 0.0

    @model_validator(mode="after")
    def _without_secrets(self) -> OpenAISettings:
        if not re.fullmatch(r"[A-Za-z_]\w{0,60}", self.api_key_env):
            raise ValueError("api_key_env is the name of an environment variable, not a key: settings are written to files and shown")
        # Errors of the process that asks come to this one, too.
        keep_secret(self.api_key_env)
        if self._is_of_others():
            what = f"${self.api_key_env} is another service's, and its value would be sent to the judge's server"
            raise ValueError(f"{what}: give the judge's key a variable of its own, such as JUDGE_API_KEY, and name it in api_key_env")
        if "@" in (self.base_url or ""):
            raise ValueError("base_url holds no name or password: give the key in the environment variable that api_key_env names")
        return self

    def _is_of_others(self) -> bool:
        """Whether the key is a service's, and the server is not that service's."""
        server = (urlsplit(self.base_url).hostname if self.base_url else None) or ""
        name = self.api_key_env.upper()
        services = [home for begin, home in _OF_OTHERS.items() if name.startswith(begin) and "OPENAI" not in name]
        return bool(services) and not any(home and f".{server}".endswith(f".{home}") for home in services)

    @model_validator(mode="after")
    def _priced(self) -> OpenAISettings:
        if self.max_cost is not None and not self.price:
            raise ValueError("max_cost is given and no price: set input_price and output_price, per million tokens")
        return self

    @property
    def price(self) -> float:
        return self.input_price + self.output_price


class VllmJudgeSettings(AskedJudge):
    """A model in an actor of this cluster, on `tensor_parallel` times `gpus` GPUs; by default on one each where the cluster has any.

    With `gpus` 0 it sees none, which only vLLM's build for processors answers without.
    """

    kind: Literal["vllm"]
    model: ModelName
    gpus: NonNegativeFloat | None = None
    tensor_parallel: PositiveInt = 1
    max_model_len: PositiveInt | None = None
    gpu_memory_utilization: Annotated[float, Field(gt=0, lt=1)] = 0.6

    @model_validator(mode="after")
    def _on_whole_gpus(self) -> VllmJudgeSettings:
        if (self.gpus or 0) > 1:
            raise ValueError(f"gpus counts by tensor_parallel, and {self.gpus:g} GPUs each are more than are used: set gpus = 1")
        if self.tensor_parallel > 1 and self.gpus not in (None, 0, 1):
            raise ValueError(f"a model spread by tensor_parallel takes whole GPUs, and gpus is {self.gpus:g}: set gpus = 1")
        return self

    @property
    def local_model(self) -> str:
        return self.model


class RewardModelSettings(ScoringSection):
    """A sequence classifier that scores each response by itself; the higher reward wins, the more surely the higher.

    Of a model with several outputs, `output` says which one is the reward: its number, "mean", or a weight for each. Code that comes
    with a model, as ArmoRM's does, runs only with `trust_remote_code`. It has a GPU where the cluster has any; `gpus` 0 scores on the
    processor.
    """

    kind: Literal["reward_model"]
    model: ModelName
    gpus: NonNegativeFloat | None = None
    batch_size: PositiveInt = 16
    max_length: PositiveInt = 4096
    output: NonNegativeInt | Literal["mean"] | tuple[float, ...] | None = None
    trust_remote_code: bool = False

    @property
    def local_model(self) -> str:
        return self.model


class CustomJudgeSettings(ScoringSection):
    """A judge of one's own, "your_module:YourClass": see docs/extending.md. It is made with the `options`, and holds no GPU."""

    kind: Literal["custom"]
    name: Annotated[str, Field(pattern=r"^[^:]+:[^:]+$")]
    options: dict[str, Any] = {}

    # What it must be able to do.
    does: ClassVar[str] = "judge"

    @model_validator(mode="after")
    def _possible(self) -> CustomJudgeSettings:
        try:
            self.make()
        except SettingsError as error:
            raise ValueError(f"{error.what}; {error.cure}") from error
        return self

    def make(self) -> Any:
        """The judge. Raises SettingsError."""
        return make_own(self.name, self.options, self.does, "the settings")


class ReplaySettings(AskedJudge):
    """The replies that a judge gave before, from a file of the cache's `replies`; the rest as it was then."""

    kind: Literal["replay"]
    file: Path


JudgeSettings = Annotated[
    VerifierSettings | ReferenceSettings | OpenAISettings | VllmJudgeSettings | RewardModelSettings | ReplaySettings | CustomJudgeSettings,
    Field(discriminator="kind"),
]
