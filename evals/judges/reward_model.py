"""A reward model as the judge: any sequence classifier with one output, which scores each response by itself."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from evals.errors import ModelError, UserError
from evals.judging import Match, Verdict
from evals.model_files import fingerprint, local_model
from evals.prompts import EvaluationPrompt


@dataclass(frozen=True)
class RewardModelJudge:
    """The candidate's score is its chance of being preferred, sigmoid of the difference of the two rewards (Bradley & Terry 1952).

    Loads with transformers, on a GPU where there is one. `batch_size` responses are scored at a time, of similar length.
    """

    model: str
    batch_size: int = 16
    max_length: int = 4096

    @property
    def name(self) -> str:
        return f"reward model {self.model} ({fingerprint(local_model(self.model))})"

    def judge(self, matches: Sequence[Match]) -> list[Verdict]:
        """One verdict per match. A response that does not fit in `max_length` tokens makes its match unreadable.

        Raises ModelError for a model that cannot be loaded or has more than one output, UserError for one without a chat template.
        """
        pairs = [(match, text) for match in matches for text in (match.candidate, match.baseline)]
        rewards = dict(zip([(m.prompt.id, text) for m, text in pairs], self.rewards([(m.prompt, text) for m, text in pairs]), strict=True))
        verdicts = []
        for match in matches:
            ours, theirs = rewards[match.prompt.id, match.candidate], rewards[match.prompt.id, match.baseline]
            if math.isnan(ours) or math.isnan(theirs):
                verdicts.append(Verdict(match.prompt.id, None, reason=f"longer than {self.max_length} tokens"))
            else:
                verdicts.append(Verdict(match.prompt.id, _sigmoid(ours - theirs), reason=f"reward {ours:.3f} against {theirs:.3f}"))
        return verdicts

    def rewards(self, responses: Sequence[tuple[EvaluationPrompt, str]]) -> list[float]:
        """Score each response to its prompt; NaN for one that is too long."""
        import torch

        tokenizer, model = self._loaded
        encoded = [self._encode(tokenizer, prompt, text) for prompt, text in responses]
        rewards = [math.nan] * len(encoded)
        order = sorted((n for n, tokens in enumerate(encoded) if len(tokens) <= self.max_length), key=lambda n: len(encoded[n]))
        for start in range(0, len(order), self.batch_size):
            chosen = order[start : start + self.batch_size]
            batch = tokenizer.pad({"input_ids": [encoded[number] for number in chosen]}, return_tensors="pt").to(model.device)
            with torch.inference_mode():
                scores = model(**batch).logits.float().squeeze(-1).tolist()
            for number, score in zip(chosen, scores, strict=True):
                rewards[number] = score
        return rewards

    def _encode(self, tokenizer: Any, prompt: EvaluationPrompt, text: str) -> list[int]:
        turns = [message.as_dict() for message in prompt.messages] + [{"role": "assistant", "content": text}]
        return list(tokenizer.apply_chat_template(turns, return_dict=False))

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        directory = local_model(self.model)
        try:
            tokenizer = AutoTokenizer.from_pretrained(directory)
            model = AutoModelForSequenceClassification.from_pretrained(directory, dtype="auto")
        except (OSError, ValueError) as error:
            raise ModelError(f"the reward model cannot be loaded: {error}", self.model, "give a sequence classification model") from error
        if model.config.num_labels != 1:
            what = f"the reward model has {model.config.num_labels} outputs, not one"
            raise ModelError(what, self.model, "give a model trained to score one response (num_labels = 1)")
        if not tokenizer.chat_template:
            raise UserError("the reward model's tokenizer has no chat template", self.model, "save the tokenizer with its `chat_template`")
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        model.config.pad_token_id = tokenizer.pad_token_id
        return tokenizer, model.to("cuda" if torch.cuda.is_available() else "cpu").eval()


def _sigmoid(difference: float) -> float:
    return 0.5 * (1 + math.tanh(difference / 2))
