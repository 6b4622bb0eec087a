"""Whatever the architecture, log-probabilities and gradients are those of plain sequences; what cannot be packed is padded."""

import logging
from typing import Any

import pytest
import torch

from orchestrator.errors import ModelError
from orchestrator.policy.head import Wanted
from orchestrator.policy.scoring_model import LAYOUTS, ScoringModel
from orchestrator.preferences.packing import PackedResponses, pack

SHAPE: dict[str, Any] = {
    "vocab_size": 300,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.1,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
NARROW = {"head_dim": 16, "sliding_window": 16}
SHARED: dict[str, dict[str, Any]] = {
    "Llama": {},
    "Qwen2": {"tie_word_embeddings": True},
    "Qwen3": {"head_dim": 16},
    "Mistral": {"sliding_window": 24},
    "Gemma3Text": NARROW | {"query_pre_attn_scalar": 16, "final_logit_softcapping": 20.0},
    "Cohere": {"logit_scale": 0.25},
    "Granite": {"logits_scaling": 3.0},
    "Phi3": {},
    "Olmo2": {},
}
PADDED: dict[str, dict[str, Any]] = {
    "Gemma2": NARROW | {"query_pre_attn_scalar": 16},
    "GptOss": NARROW | {"num_local_experts": 4, "num_experts_per_tok": 2},
    "FalconH1": {
        "mamba_d_ssm": 64,
        "mamba_n_heads": 4,
        "mamba_d_head": 16,
        "mamba_d_state": 16,
        "mamba_n_groups": 1,
        "lm_head_multiplier": 0.5,
    },
}


def make(architecture: str, attention: str | None = None) -> Any:
    """A random model in float32."""
    import transformers

    config = getattr(transformers, f"{architecture}Config")(**SHAPE, **(SHARED | PADDED)[architecture])
    torch.manual_seed(0)
    return transformers.AutoModelForCausalLM.from_config(config, attn_implementation=attention).float().eval()


def drawn(*lengths: int) -> tuple[tuple[int, ...], ...]:
    chance = torch.Generator().manual_seed(sum(lengths))
    return tuple(tuple(torch.randint(5, 299, (length,), generator=chance).tolist()) for length in lengths)


PROMPTS = drawn(30, 3, 12)
ANSWERS = (drawn(20, 9, 4), drawn(5, 40, 0), drawn(2, 33, 1))


def packed() -> PackedResponses:
    return pack(PROMPTS, ANSWERS)


def plain_logps(model: Any) -> torch.Tensor:
    """Response by response, by the model as transformers has it, its scaling and capping included."""
    found = []
    for prompt, answers in zip(PROMPTS, ANSWERS, strict=True):
        for answer in filter(None, answers):
            logits = model(torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1]
            found.append(logits.log_softmax(-1).gather(1, torch.tensor(answer)[:, None]).squeeze(1))
    return torch.cat(found)


def scored(model: ScoringModel) -> torch.Tensor:
    batch = packed()
    return model(batch, Wanted(batch.labels, batch.ends))["logp"]


@pytest.mark.parametrize("architecture", SHARED)
def test_shared_prompts_give_plain_log_probabilities_and_gradients(architecture: str) -> None:
    plain = make(architecture, "eager")
    expected = plain_logps(plain)
    weights = torch.linspace(-1, 1, len(expected))
    (expected @ weights).backward()
    model = ScoringModel(make(architecture))
    assert model.layout == "shared"
    found = scored(model)
    (found @ weights).backward()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    largest = max(float(parameter.grad.abs().max()) for parameter in plain.parameters() if parameter.grad is not None)
    for (name, ours), (_, theirs) in zip(model.model.named_parameters(), plain.named_parameters(), strict=True):
        assert ours.grad is not None and theirs.grad is not None, name
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-5 * largest)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("checkpointing", [False, True])
def test_all_layouts_agree_with_gradient_checkpointing_too(layout: str, checkpointing: bool) -> None:
    model = make("Mistral")
    if checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    scoring = ScoringModel(model, layout).train()
    found = scored(scoring)
    torch.testing.assert_close(found, plain_logps(make("Mistral", "eager")), rtol=0, atol=1e-5)
    found.sum().backward()
    assert float(scoring.head.weight.grad.norm()) > 0  # pyright: ignore[reportOptionalMemberAccess]


@pytest.mark.parametrize("architecture", PADDED)
def test_an_architecture_that_cannot_be_packed_is_padded_and_the_log_says_so(architecture: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        model = ScoringModel(make(architecture))
    assert model.layout == "padded"
    assert f"{architecture}ForCausalLM is laid out as 'padded': slower, with the same results" in caplog.text
    with torch.no_grad():
        torch.testing.assert_close(scored(model), plain_logps(make(architecture, "eager")), rtol=0, atol=1e-5)


@pytest.mark.parametrize("architecture", SHARED)
def test_half_precision_is_no_reason_to_pad(architecture: str) -> None:
    assert ScoringModel(make(architecture).bfloat16()).layout == "shared"


def test_a_head_that_scales_in_an_unknown_way_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from orchestrator.policy import scoring_model

    monkeypatch.setattr(scoring_model, "_FOUND", {})
    monkeypatch.setattr(scoring_model, "softcap_and_scale", lambda config: (1.0, None))
    with pytest.raises(ModelError, match="last layer of CohereForCausalLM"):
        ScoringModel(make("Cohere"))


def test_a_wrong_attention_is_found_out(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    from orchestrator.policy import attention, scoring_model

    monkeypatch.setattr(scoring_model, "_FOUND", {})
    padded = attention._padded
    monkeypatch.setattr(
        attention, "_padded", lambda q, k, v, units, scaling, window: padded(q, k, v.roll(1, dims=2), units, scaling, window)
    )
    with caplog.at_level(logging.WARNING):
        assert ScoringModel(make("Llama")).layout == "padded"
    assert "measures another logp when laid out as 'shared'" in caplog.text
