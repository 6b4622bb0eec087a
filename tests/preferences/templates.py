"""Tokenizers with chat templates of every kind that models have."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BEGIN, END, TURN_END = "<|begin|>", "<|end_of_text|>", "<|turn_end|>"
SPECIAL = [BEGIN, END, TURN_END, "<|head|>", "<|head_end|>", "<|pad|>"]
_TURNS = "{% for turn in messages %}"
_OPEN = "{% endfor %}{% if add_generation_prompt %}"


@dataclass(frozen=True)
class Kind:
    """A chat template with the tokenizer's end token and the further tokens that generation stops at.

    `answer` is what an answer "fox" becomes, its end included; `adds_begin` is a tokenizer that begins every text with BEGIN by itself.
    `space` is how a tokenizer puts a space before texts, as SentencePiece does, "" for one that puts none.
    """

    template: str
    answer: str
    end: str = END
    stops: tuple[str, ...] = ()
    adds_begin: bool = False
    space: str = ""
    corpus: tuple[str, ...] = ("the quick brown fox says fox",)

    def tokenizer(self, directory: Path) -> Any:
        """Written to `directory` and loaded again, as a model's tokenizer is."""
        from orchestrator.policy.loading import load_tokenizer

        made = _tokenizer(self)
        made.save_pretrained(directory)
        ends = [made.convert_tokens_to_ids(token) for token in (self.end, *self.stops)]
        (directory / "generation_config.json").write_text(json.dumps({"eos_token_id": ends}))
        (directory / "config.json").write_text(json.dumps({"model_type": "llama"}))
        return load_tokenizer(str(directory), alone=True)


_HEADED = "<|head|>{{ turn['role'] }}<|head_end|>\n\n{{ turn['content'] | trim }}<|turn_end|>"
_HEADED_OPEN = _OPEN + "<|head|>assistant<|head_end|>\n\n{% endif %}"
LINED = _TURNS + "<|head|>{{ turn['role'] }}\n{{ turn['content'] }}<|turn_end|>\n" + _OPEN + "<|head|>assistant\n{% endif %}"
_BRACKETS = (
    "{{ bos_token }}" + _TURNS + "{% if turn['role'] == 'assistant' %} {{ turn['content'] }}{{ eos_token }}"
    "{% else %}[{{ turn['role'] }}] {{ turn['content'] }} [/]{% endif %}{% endfor %}"
)
KINDS = {
    "headed, begins by itself": Kind("{{ bos_token }}" + _TURNS + _HEADED + _HEADED_OPEN, "fox<|turn_end|>", stops=(TURN_END,)),
    "headed, tokenizer begins too": Kind(
        "{{ bos_token }}" + _TURNS + _HEADED + _HEADED_OPEN, "fox<|turn_end|>", stops=(TURN_END,), adds_begin=True
    ),
    "headed, only the tokenizer begins": Kind(_TURNS + _HEADED + _HEADED_OPEN, "fox<|turn_end|>", stops=(TURN_END,), adds_begin=True),
    "lined, ends its turns with the end token": Kind(LINED, "fox<|turn_end|>", end=TURN_END),
    "lined, generation stops at neither": Kind(LINED, "fox<|end_of_text|>"),
    "brackets, a space before the answer": Kind(_BRACKETS, " fox<|end_of_text|>", adds_begin=True),
}


def _tokenizer(kind: Kind) -> Any:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    inner, alphabet = Tokenizer(models.BPE()), []
    if not kind.space:
        inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        inner.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
    elif kind.space == "legacy":
        inner.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    else:
        inner.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=kind.space, split=False)
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False)
    inner.train_from_iterator(kind.corpus, trainer)
    if kind.adds_begin:
        begin = inner.token_to_id(BEGIN)
        inner.post_processor = processors.TemplateProcessing(single=f"{BEGIN} $A", special_tokens=[(BEGIN, begin)])
    made = PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token=BEGIN, eos_token=kind.end, pad_token="<|pad|>", extra_special_tokens=SPECIAL
    )
    made.chat_template = kind.template
    return made
