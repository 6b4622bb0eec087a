"""A tiny random pair ranker, made on the spot: DeBERTa-v3's shape and PairRM's names of layers and marks, by transformers' own classes."""

import json
from pathlib import Path

WORDS = "the quick brown fox jumps over lazy dog and says which answer is better one two three four five"
MARKS = ["[MASK]", "<|source|>", "<|candidate1|>", "<|candidate2|>", "<|candidate|>"]
HIDDEN = 32
SHAPE = {
    "hidden_size": HIDDEN,
    "intermediate_size": 2 * HIDDEN,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "relative_attention": True,
    "position_buckets": 16,
    "max_relative_positions": -1,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "pos_att_type": ["p2c", "c2p"],
    "position_biased_input": False,
    "type_vocab_size": 0,
    "initializer_range": 0.3,
}


def make_pair_ranker(directory: Path, seed: int = 0, leave_out: str = "") -> Path:
    """Write model and tokenizer as `llm-blender/PairRM-hf` has them; weights whose names begin with `leave_out` are left out."""
    import torch
    from safetensors.torch import save_file
    from transformers import DebertaV2Config, DebertaV2Model, DebertaV2Tokenizer

    letters = [(letter, -9.0) for letter in "▁abcdefghijklmnopqrstuvwxyz0123456789.,?!<>|[]_ABCDEFGHIJKLMNOPQRSTUVWXYZ"]
    words = [(f"▁{word}", -3.0 - place / 10) for place, word in enumerate(WORDS.split())]
    special = [(piece, 0.0) for piece in ("[PAD]", "[CLS]", "[SEP]", "[UNK]")]
    tokenizer = DebertaV2Tokenizer(vocab=[*special, *letters, *words])
    tokenizer.add_tokens(MARKS)
    config = DebertaV2Config.from_dict({**SHAPE, "vocab_size": len(tokenizer)})
    torch.manual_seed(seed)
    body = DebertaV2Model(config).eval()
    weights = {f"pretrained_model.{name}": weight for name, weight in body.state_dict().items()}
    for number, shape in ((1, (HIDDEN, 2 * HIDDEN)), (4, (1, HIDDEN))):
        weights[f"head_layer.{number}.weight"] = torch.randn(shape) / 2
        weights[f"head_layer.{number}.bias"] = torch.randn(shape[0])
    directory.mkdir(parents=True)
    kept = {name: weight.contiguous() for name, weight in weights.items() if not (leave_out and name.startswith(leave_out))}
    save_file(kept, directory / "model.safetensors", metadata={"format": "pt"})
    tokenizer.save_pretrained(directory)
    names = ("source_prefix_id", "cand1_prefix_id", "cand2_prefix_id", "cand_prefix_id")
    ids = {name: tokenizer.convert_tokens_to_ids(mark) for name, mark in zip(names, MARKS[1:], strict=True)}
    told = {**config.to_dict(), **ids, "n_tasks": 1, "drop_out": 0.05}
    (directory / "config.json").write_text(json.dumps({**told, "architectures": ["DebertaV2PairRM"]}))
    return directory


def plain_logit(directory: Path, prompt: str, first: str, second: str, lengths: tuple[int, int] = (1224, 412)) -> float:
    """One comparison by transformers' own DeBERTa, alone and without padding, cut by the tokenizer itself as PairRM-hf's page has it."""
    import torch
    from safetensors.torch import load_file
    from transformers import AutoTokenizer, DebertaV2Config, DebertaV2Model

    tokenizer = AutoTokenizer.from_pretrained(directory)
    weights = load_file(directory / "model.safetensors")
    config = json.loads((directory / "config.json").read_text())
    body = DebertaV2Model(DebertaV2Config.from_dict(config)).eval()
    body.load_state_dict({name.partition(".")[2]: weight for name, weight in weights.items() if name.startswith("pretrained_model.")})
    source = tokenizer.encode(f"<|source|>{prompt}", max_length=lengths[0], truncation=True)
    room = (lengths[0] + 2 * lengths[1] - len(source)) // 2
    one, two = (tokenizer.encode(f"<|candidate{n}|>{text}", max_length=room, truncation=True) for n, text in ((1, first), (2, second)))
    ids = torch.tensor([[*source, *one, *two]])
    with torch.no_grad():
        states = body(input_ids=ids, output_hidden_states=True).hidden_states[-1][0]
        marks = [states[ids[0] == config[name]] for name in ("source_prefix_id", "cand1_prefix_id", "cand2_prefix_id")]

        def worth(state: torch.Tensor) -> torch.Tensor:
            inner = torch.cat([marks[0], state], -1) @ weights["head_layer.1.weight"].T + weights["head_layer.1.bias"]
            return inner.tanh() @ weights["head_layer.4.weight"].T + weights["head_layer.4.bias"]

        return float(worth(marks[1]) - worth(marks[2]))
