"""A reward model as the judge: any sequence classifier that scores each response by itself."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from evals.asking import ChatModel, Keep, Question, Reply, forget
from evals.errors import ModelError
from evals.judging import Match, Verdict
from evals.model_files import FAULTS, fingerprint, local_model
from evals.prompts import EvaluationPrompt, Message
from evals.rendering import check_template, encode_answered


@dataclass(frozen=True)
class RewardModelJudge:
    """The candidate's score is its chance of being preferred, sigmoid of the difference of the two rewards (Bradley & Terry 1952)."""

    model: ChatModel

    @property
    def name(self) -> str:
        return self.model.name

    def judge(self, matches: Sequence[Match]) -> list[Verdict]:
        """One verdict per match. A response without a reward makes its match unreadable. Raises what the reward model raises."""
        questions = [response_question(match.prompt, text) for match in matches for text in (match.candidate, match.baseline)]
        replies = self.model.ask(questions)
        return [_verdict(match, *pair) for match, pair in zip(matches, zip(replies[::2], replies[1::2], strict=True), strict=True)]


def response_question(prompt: EvaluationPrompt, text: str) -> Question:
    """What a reward model is asked: the conversation with the response at its end."""
    return Question(prompt.id, (*prompt.messages, Message("assistant", text)))


def is_reward(reply: Reply) -> bool:
    """Whether a reply tells a reward, and not what a model tells beyond the numbers that half precision has."""
    return not reply.failure and math.isfinite(float(reply.text))


@dataclass(frozen=True)
class RewardModel:
    """Answers a conversation that ends with a response with that response's reward, a number in text.

    Loads with transformers, on a GPU where there is one. `batch_size` responses are scored at a time, of similar length; one that does not
    fit in `max_length` tokens, or whose reward is not finite, is a failure in its reply. Of several outputs `output` says which is the
    reward: its number, "mean", or a weight for each; without it the model must have one output, or a `score` that it makes of them itself,
    as ArmoRM does (arXiv:2406.12845). Code that comes with the model runs only with `trust_remote_code`.
    """

    model: str
    batch_size: int = 16
    max_length: int = 4096
    output: int | str | tuple[float, ...] | None = None
    trust_remote_code: bool = False

    @property
    def repeats_itself(self) -> bool:
        return True

    @property
    def name(self) -> str:
        return f"reward model {self.model} ({self._version}){self._reading}"

    @property
    def identity(self) -> str:
        return f"reward model {self._version} max_length={self.max_length}{self._reading}"

    @property
    def _reading(self) -> str:
        """What else rewards depend on, where it is not the usual."""
        return ("" if self.output is None else f" output={self.output}") + (" by its own code" if self.trust_remote_code else "")

    @cached_property
    def _version(self) -> str:
        return fingerprint(local_model(self.model))

    def ask(self, questions: Sequence[Question], keep: Keep = forget) -> list[Reply]:
        """One reply per question, in order; each that fits is handed to `keep` with its batch.

        Raises ModelError for a model that cannot be loaded or whose reward is not named, or that has no chat template.
        """
        import torch

        tokenizer, model = self._loaded
        encoded = [encode_answered(tokenizer, question.messages, question.id) for question in questions]
        replies = [Reply(failure=f"longer than {self.max_length} tokens")] * len(encoded)
        order = sorted((n for n, tokens in enumerate(encoded) if len(tokens) <= self.max_length), key=lambda n: len(encoded[n]))
        for start in range(0, len(order), self.batch_size):
            chosen = order[start : start + self.batch_size]
            batch = tokenizer.pad({"input_ids": [encoded[number] for number in chosen]}, return_tensors="pt").to(model.device)
            with torch.inference_mode():
                scores = self._rewards(model(**batch)).tolist()
            for number, score in zip(chosen, scores, strict=True):
                replies[number] = _reply(score, len(encoded[number]))
                keep(number, replies[number])
        return replies

    def _rewards(self, told: Any) -> Any:
        """The rewards (B,) in what a model tells of B responses."""
        import torch

        if self.output is None and getattr(told, "score", None) is not None:
            return told.score.float().reshape(-1)
        outputs = told.logits.float()
        outputs = outputs.reshape(len(outputs), -1)
        count = outputs.shape[1]
        if self.output == "mean":
            return outputs.mean(-1)
        if isinstance(self.output, tuple) and len(self.output) == count:
            return outputs @ torch.tensor(self.output, device=outputs.device)
        if isinstance(self.output, int) and self.output < count:
            return outputs[:, self.output]
        if self.output is None and count == 1:
            return outputs[:, 0]
        what = f"the reward model has {count} outputs, not one" if self.output is None else f"{self.output} names none of {count} outputs"
        raise ModelError(what, self.model, 'say which is the reward with `output`: its number from 0, "mean", or a weight for each')

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        directory = local_model(self.model)
        try:
            trusted = {"trust_remote_code": self.trust_remote_code}
            tokenizer = AutoTokenizer.from_pretrained(directory, **trusted)
            model, told = AutoModelForSequenceClassification.from_pretrained(directory, dtype="auto", output_loading_info=True, **trusted)
        except FAULTS as error:
            raise ModelError(f"the reward model cannot be loaded: {error}", self.model, "give a sequence classification model") from error
        if told["missing_keys"]:
            what = f"the model has no reward head, or has lost it: {', '.join(sorted(told['missing_keys'])[:3])}"
            raise ModelError(what, self.model, "give a sequence classification model that was trained to tell rewards")
        check_template(tokenizer)
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        model.config.pad_token_id = tokenizer.pad_token_id
        return tokenizer, model.to("cuda" if torch.cuda.is_available() else "cpu").eval()


def _reply(score: float, tokens: int) -> Reply:
    return Reply(repr(score), prompt_tokens=tokens) if math.isfinite(score) else Reply(failure=f"the reward is {score}")


def _verdict(match: Match, ours: Reply, theirs: Reply) -> Verdict:
    failed = next((reply for reply in (ours, theirs) if not is_reward(reply)), None)
    if failed is not None:
        return Verdict(match.prompt.id, None, reason=failed.failure or f"the reward is {failed.text}")
    rewards = float(ours.text), float(theirs.text)
    return Verdict(match.prompt.id, _sigmoid(rewards[0] - rewards[1]), reason=f"reward {rewards[0]:.3f} against {rewards[1]:.3f}")


def _sigmoid(difference: float) -> float:
    return 0.5 * (1 + math.tanh(difference / 2))
