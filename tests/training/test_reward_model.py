"""A reward model learns which of two responses is preferred, and what is left of it scores the same elsewhere."""

import copy
import io
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from evals.judges.reward_model import RewardModel, response_question
from evals.prompts import EvaluationPrompt, Message
from orchestrator.cluster.runs.reward_runs import _prepared
from orchestrator.errors import DataFormatError, ModelError, UserError
from orchestrator.objectives import METHODS
from orchestrator.objectives.bradley_terry import BradleyTerry
from orchestrator.policy.reward_model import RewardPolicy, load_reward_policy
from orchestrator.policy.scores import PairScores, ResponseScores
from orchestrator.policy.scoring import score_pairs
from orchestrator.preferences.conversations import Conversations, RewardData, tokenize_conversations
from orchestrator.preferences.pairs import PreferencePair, TokenizedPair, collate
from orchestrator.preferences.tokenization import prompt_ids, tokenize
from orchestrator.report.narration import Narrator
from orchestrator.settings import DataSettings, ModelSettings
from orchestrator.settings.reward import RewardSettings
from orchestrator.training.local_engine import LocalEngine
from orchestrator.training.reward_card import RewardCard, reward_card
from orchestrator.training.reward_run import reward_run, train_reward_model
from orchestrator.training.run import TrainingRun
from tests.conftest import make_pairs
from tests.training.ranks import on_ranks
from tests.training.runs import FAST, metrics, train_locally, weights

WORDS = ["quick", "brown", "fox", "jumps", "over", "lazy", "dog"]
SETTINGS = FAST.model_copy(update={"learning_rate": 1e-2, "steps": 30, "micro_batch_tokens": 200})


def reward_pairs(count: int) -> list[PreferencePair]:
    """Pairs with a rule: a response that begins with the prompt's last word is preferred. The other one is longer by a letter."""
    return [
        replace(
            pair,
            prompt=(Message("user", f"say {number} {pair.chosen}"),),
            chosen=f"{pair.chosen} {WORDS[number % 7]}",
            rejected=f"{pair.rejected} {WORDS[number % 7]}" + "x" * (1 + max(0, len(pair.chosen) - len(pair.rejected))),
        )
        for number, pair in enumerate(make_pairs(count))
    ]


def write_pairs(file: Path, pairs: Sequence[PreferencePair]) -> Path:
    rows = ({"prompt": pair.prompt[0].content, "chosen": pair.chosen, "rejected": pair.rejected} for pair in pairs)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def settings_of(model: Path, directory: Path, **training: Any) -> RewardSettings:
    """Settings of a small run on 200 pairs, of which ten are held out."""
    return RewardSettings(
        model=ModelSettings(base=str(model)),
        data=DataSettings(train=str(write_pairs(directory / "train.jsonl", reward_pairs(200))), context=64),
        training=SETTINGS.model_copy(update=training),
        cache=directory / "cache",
    )


def trained(settings: RewardSettings, directory: Path) -> tuple[TrainingRun, RewardData, RewardCard | None]:
    """A run in this process."""
    run, data = reward_run(settings, directory)
    return run, data, train_reward_model(run, data, LocalEngine(run.policy(), run.settings), directory / "reward.json")


def last_model(run: TrainingRun) -> Path:
    return run.directory / f"step-{run.steps:06d}" / "model"


def values_of(policy: RewardPolicy, pairs: Sequence[TokenizedPair]) -> list[tuple[float, float]]:
    """Both values of each pair, in one batch."""
    with torch.no_grad():
        scores = score_pairs(policy.eval(), None, collate(pairs, range(len(pairs))), BradleyTerry().needs)
    return list(zip(scores.chosen.known_value.tolist(), scores.rejected.known_value.tolist(), strict=True))


def test_the_rule_is_learned_and_the_card_says_so_beside_length(tiny_model: Path, tmp_path: Path) -> None:
    run, data, card = trained(settings_of(tiny_model, tmp_path), tmp_path)
    steps = metrics(run)
    assert steps[-1]["loss"] < 0.5 * steps[0]["loss"]
    assert steps[-1]["chosen_logp"] is None
    assert card is not None and card.accuracy.mean >= 0.9
    assert steps[-1]["validation_accuracy"] == pytest.approx(card.accuracy.mean)
    assert (card.length_rule, card.length_accuracy.mean) == ("shorter", 1.0)
    assert card.gain.mean == pytest.approx(card.accuracy.mean - 1)
    assert card.pairs == len(data.validation.texts) == 10
    assert RewardCard.from_dict(json.loads((tmp_path / "reward.json").read_text())) == card


def with_padding(model: Path, directory: Path, padding: str | None) -> Path:
    """The same model with a tokenizer that pads with its end token, or ends a turn with a line break as ChatML does."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    AutoModelForCausalLM.from_pretrained(model).save_pretrained(directory)
    if padding is None:
        tokenizer.chat_template = tokenizer.chat_template.replace("<|end|>", "<|end|>\n")
    else:
        tokenizer.pad_token = padding
    tokenizer.save_pretrained(directory)
    return directory


@pytest.mark.parametrize("kind", ["a token of its own", "the end token", "text behind the end token"])
def test_the_judge_of_reward_models_replies_with_the_value_that_training_saw(kind: str, tiny_model: Path, tmp_path: Path) -> None:
    base = tiny_model
    if kind != "a token of its own":
        base = with_padding(tiny_model, tmp_path / "base", "<|end|>" if kind == "the end token" else None)
    run, data, card = trained(settings_of(base, tmp_path, steps=10), tmp_path)
    assert card is not None
    judge = RewardModel(str(last_model(run)), batch_size=3)
    prompts = [EvaluationPrompt(str(number), pair.prompt) for number, pair in enumerate(data.validation.texts)]
    texts = [(pair.chosen, pair.rejected) for pair in data.validation.texts]
    questions = [response_question(prompt, text) for prompt, both in zip(prompts, texts, strict=True) for text in both]
    replies = [float(reply.text) for reply in judge.ask(questions)]
    policy = load_reward_policy(str(last_model(run)), torch.float32, run.tokenizer.pad_token_id)
    ours = [value for both in values_of(policy, data.validation.pairs) for value in both]
    assert replies == pytest.approx(ours, abs=1e-4)
    assert max(ours) - min(ours) > 0.1
    mean = sum(ours) / len(ours)
    assert (card.scale.mean, card.scale.deviation) == pytest.approx(
        (mean, (sum((x - mean) ** 2 for x in ours) / len(ours)) ** 0.5), abs=1e-4
    )


def test_the_checkpoint_is_a_classifier_that_goes_on_from_its_own_head(tiny_model: Path, tmp_path: Path) -> None:
    from transformers import AutoConfig, AutoModelForSequenceClassification

    base = with_padding(tiny_model, tmp_path / "base", "<|end|>")
    run, _, _ = trained(settings_of(base, tmp_path, steps=10), tmp_path)
    config = AutoConfig.from_pretrained(last_model(run))
    assert (config.num_labels, config.pad_token_id) == (1, run.tokenizer.pad_token_id)
    assert AutoModelForSequenceClassification.from_pretrained(last_model(run)).score.weight.shape == (1, config.hidden_size)
    again = [load_reward_policy(str(last_model(run)), torch.float32, run.tokenizer.pad_token_id, seed) for seed in (0, 1)]
    assert torch.equal(again[0].head.weight, again[1].head.weight)
    fresh = [load_reward_policy(str(tiny_model), torch.float32, run.tokenizer.pad_token_id, seed) for seed in (0, 0, 1)]
    assert torch.equal(fresh[0].head.weight, fresh[1].head.weight)
    assert not torch.equal(fresh[0].head.weight, fresh[2].head.weight)


def test_every_layout_reads_the_same_values(tiny_model: Path, tokenizer: Any) -> None:
    data = tokenize_conversations(tokenizer, reward_pairs(6), 64)
    policy = load_reward_policy(str(tiny_model), torch.float32, tokenizer.pad_token_id)
    assert policy.layout == "shared"
    found = []
    for layout in ("shared", "packed", "padded"):
        policy.use_layout(layout)
        found.append(torch.tensor(values_of(policy, data.train.pairs)))
    assert torch.allclose(found[0], found[1], atol=1e-5) and torch.allclose(found[0], found[2], atol=1e-5)


def test_a_model_without_a_head_for_the_last_token_is_refused(tokenizer: Any, tmp_path: Path) -> None:
    from transformers import BertConfig, BertForSequenceClassification

    shape = BertConfig(vocab_size=len(tokenizer), hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=1)
    shape.num_labels = 1
    BertForSequenceClassification(shape).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="no linear layer `score`"):
        load_reward_policy(str(tmp_path), torch.float32, tokenizer.pad_token_id)


def test_a_resumed_run_ends_with_the_same_weights_and_the_same_card(tiny_model: Path, tmp_path: Path) -> None:
    settings = settings_of(tiny_model, tmp_path, steps=6)
    run, data, card = trained(settings, tmp_path / "whole")
    broken, _ = reward_run(settings, tmp_path / "broken")
    train_locally(broken, stop_after=2)
    assert train_reward_model(broken, data, LocalEngine(broken.policy(), broken.settings), tmp_path / "broken" / "reward.json") == card
    for name, weight in weights(run, 6).items():
        assert torch.equal(weight, weights(broken, 6)[name]), name


def train_each(rank: int, cases: Sequence[tuple[RewardSettings, Path]]) -> None:
    """What each rank does."""
    from orchestrator.training.deepspeed_engine import DeepSpeedEngine

    for settings, directory in cases:
        run, data = reward_run(settings, directory)
        torch.manual_seed(0)
        engine = DeepSpeedEngine(run.policy(), run.settings)
        train_reward_model(run, data, engine, directory / "reward.json")
        engine.close()


@pytest.mark.cluster
def test_two_ranks_train_what_one_trains_at_every_zero_stage_and_when_they_share_sequences(tiny_model: Path, tmp_path: Path) -> None:
    alone = settings_of(tiny_model, tmp_path, steps=6, learning_rate=1e-3)
    _, _, card = trained(alone, tmp_path / "alone")
    assert card is not None
    cases: list[dict[str, Any]] = [{"zero_stage": stage} for stage in (0, 1, 2, 3)] + [{"sequence_parallel": 2}]
    cases += [{"zero_stage": 3, "gradient_checkpointing": True}]
    together = [
        (alone.model_copy(update={"training": alone.training.model_copy(update=case)}), tmp_path / f"{number}")
        for number, case in enumerate(cases)
    ]
    for _, directory in together:
        directory.mkdir()
    on_ranks(2, train_each, together)
    for settings, directory in together:
        found = RewardCard.from_dict(json.loads((directory / "reward.json").read_text()))
        assert found.accuracy.mean == pytest.approx(card.accuracy.mean), settings.training
        assert (found.scale.mean, found.scale.deviation) == pytest.approx((card.scale.mean, card.scale.deviation), abs=2e-3)
        run, data = reward_run(settings, directory)
        values = [value for both in values_of(loaded_last(run), data.validation.pairs) for value in both]
        assert sum(values) / len(values) == pytest.approx(found.scale.mean, abs=1e-4)


def loaded_last(run: TrainingRun) -> RewardPolicy:
    return load_reward_policy(str(last_model(run)), torch.float32, run.tokenizer.pad_token_id)


def scored(chosen: float, rejected: float, rewards: tuple[float, float] = (0.0, 0.0)) -> PairScores:
    """One pair with these values, and rewards in the data."""
    told = [[torch.tensor([number], dtype=torch.float64) for number in side] for side in ((chosen, rewards[0]), (rejected, rewards[1]))]
    length, unknown = torch.tensor([3]), torch.tensor([math.nan])
    ours, theirs = (ResponseScores(unknown, length, value=value, reward=reward) for value, reward in told)
    return PairScores(ours, theirs)


@pytest.mark.parametrize(
    ("margin", "centring", "expected"),
    [
        (0.0, 0.0, math.log1p(math.exp(-1.5))),
        (0.0, 0.01, math.log1p(math.exp(-1.5)) + 0.01 * 0.5**2),
        (2.0, 0.0, math.log1p(math.exp(-(1.5 - 2 * 0.75)))),
    ],
)
def test_the_loss_is_bradley_terrys_with_the_datas_margin_and_the_sum_drawn_to_zero(
    margin: float, centring: float, expected: float
) -> None:
    outcome = BradleyTerry(margin, centring)(scored(1.0, -0.5, (0.875, 0.125)), {})
    assert float(outcome.loss) == pytest.approx(expected, rel=1e-12)
    assert (float(outcome.chosen_reward), float(outcome.rejected_reward)) == (1.0, -0.5)


def test_a_search_does_not_offer_it_and_only_a_margin_needs_rewards(tiny_model: Path, tmp_path: Path) -> None:
    assert BradleyTerry.name not in METHODS
    assert not BradleyTerry().needs.reward
    assert BradleyTerry(margin=1.0).needs.reward
    with pytest.raises(DataFormatError, match="a margin needs rewards"):
        reward_run(settings_of(tiny_model, tmp_path).model_copy(update={"margin": 1.0}), tmp_path)


def test_pairs_are_held_out_as_policies_hold_them_out_and_share_what_they_begin_with(tokenizer: Any) -> None:
    pairs = reward_pairs(100)
    whole, policy = tokenize_conversations(tokenizer, pairs, 64, 5), tokenize(tokenizer, pairs, 64, 5)
    assert len(whole.validation.pairs) == len(policy.validation) == 5
    assert len(tokenize_conversations(tokenizer, pairs, 64, 90, 0.3).validation.pairs) == 30
    for pair, other, text in zip(whole.validation.pairs, policy.validation, whole.validation.texts, strict=True):
        assert pair.prompt[: len(other.prompt)] == other.prompt
        turns = [*(message.as_dict() for message in text.prompt), {"role": "assistant", "content": text.chosen}]
        assert (*pair.prompt, *pair.chosen) == (*tokenizer.apply_chat_template(turns, return_dict=False), tokenizer.pad_token_id)


def test_conversations_are_cut_at_the_context_with_room_for_what_is_not_read(tokenizer: Any) -> None:
    long = [replace(pair, chosen="dog " * 50, rejected="fox " * 60) for pair in reward_pairs(3)]
    same = [replace(pair, chosen="dog " * 50 + "a", rejected="dog " * 50 + "b") for pair in reward_pairs(2)]
    data = tokenize_conversations(tokenizer, [*long, *same], 32)
    assert data.identical == 2
    assert {len(pair.prompt) + len(side) for pair in data.train.pairs for side in (pair.chosen, pair.rejected)} == {32}


CALLING = (
    "{% if tools %}<|system|>{{ tools | tojson }}<|end|>{% endif %}{% for turn in messages %}"
    "<|{{ turn['role'] }}|>{{ turn['content'] }}{{ turn.tool_calls | tojson if turn.tool_calls }}<|end|>{% endfor %}"
)


def call(name: str) -> dict[str, Any]:
    """What a turn that calls a tool has besides its text."""
    return {"tool_calls": [{"type": "function", "function": {"name": name, "arguments": {}}}]}


def test_pairs_that_differ_in_tool_calls_are_learned_with_their_tools(tokenizer: Any) -> None:
    writes = copy.deepcopy(tokenizer)
    writes.chat_template = CALLING
    asked, tools = (Message("user", "say fox"),), ({"type": "function", "function": {"name": "find"}},)
    pair = PreferencePair(asked, "", "", tools=tools, chosen_extra=call("find"), rejected_extra=call("lose"))
    data = tokenize_conversations(writes, [pair], 512)
    (made,) = data.train.pairs
    assert data.identical == 0
    for side, extra in ((made.chosen, pair.chosen_extra), (made.rejected, pair.rejected_extra)):
        turns = [asked[0].as_dict(), {"role": "assistant", "content": "", **extra}]
        whole = writes.apply_chat_template(turns, tools=list(tools), return_dict=False)
        assert (*made.prompt, *side) == (*whole, writes.pad_token_id)


def unusable_rows(tokenizer: Any) -> list[PreferencePair]:
    """A prompt that the template refuses, and one that leaves no room for an answer."""
    tokenizer.chat_template = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}" + tokenizer.chat_template
    )
    refused = PreferencePair((Message("system", "be brief"), Message("user", "say fox")), "fox", "dog", origin="a.jsonl:7")
    return [refused, PreferencePair((Message("user", "word " * 100),), "fox", "dog", origin="a.jsonl:9")]


def test_rows_that_cannot_be_used_are_refused_by_their_place_or_left_out_with_it(tokenizer: Any) -> None:
    strict = copy.deepcopy(tokenizer)
    unusable = unusable_rows(strict)
    for pair in unusable:
        with pytest.raises(UserError) as refused:
            tokenize_conversations(strict, [*reward_pairs(4), pair], 64)
        assert refused.value.where == pair.origin
    data = tokenize_conversations(strict, [*reward_pairs(4), *unusable], 64, leave_out=True)
    assert (len(data.train.pairs), data.identical) == (4, 0)
    assert [row.origin for row in data.unused] == ["a.jsonl:7", "a.jsonl:9"]
    assert "no system" in data.unused[0].reason and "leaves no room" in data.unused[1].reason
    with pytest.raises(UserError, match="no system"):
        tokenize_conversations(strict, unusable, 64, leave_out=True)


@pytest.mark.parametrize("spare", [0, 1, 2])
def test_a_prompt_fits_where_one_token_of_an_answer_can_be_read(spare: int, tokenizer: Any) -> None:
    pair = PreferencePair((Message("user", "say fox"),), "fox", "dog")
    context = len(prompt_ids(tokenizer, pair.prompt)) + spare
    if spare < 2:
        with pytest.raises(DataFormatError, match="leaves no room") as refused:
            tokenize_conversations(tokenizer, [pair], context)
        assert refused.value.cure.count('data.bad_rows = "quarantine"') == 1
    else:
        assert len(tokenize_conversations(tokenizer, [pair], context).train.pairs) == 1


def test_a_run_lists_the_rows_that_it_is_not_trained_on(tiny_model: Path, tmp_path: Path) -> None:
    settings = settings_of(tiny_model, tmp_path)
    settings = settings.model_copy(update={"data": settings.data.model_copy(update={"bad_rows": "quarantine"})})
    tie = {"prompt": "?", "responses": ["a", "b"], "rewards": [1, 1]}
    with (file := tmp_path / "train.jsonl").open("a") as rows:
        rows.writelines(json.dumps(row) + "\n" for row in ({"prompt": "?"}, tie, {"prompt": "word " * 100, "chosen": "a", "rejected": "b"}))
    (directory := tmp_path / "run").mkdir()
    _prepared(settings, directory, Narrator(screen := io.StringIO()))
    listed = [json.loads(line)["where"] for line in (directory / "quarantine.jsonl").read_text().splitlines()]
    assert listed == [f"{file}:{number}" for number in (201, 202, 203)]
    assert "train.jsonl: prompt/chosen/rejected, plain text" in screen.getvalue() and "3 rows give no pair" in screen.getvalue()


def test_the_card_takes_prompts_as_independent_and_finds_which_length_wins() -> None:
    def pair(prompt: str, chosen: str, rejected: str) -> PreferencePair:
        return PreferencePair((Message("user", prompt),), chosen, rejected)

    def data(prompts: Sequence[str]) -> RewardData:
        pairs = tuple(pair(prompt, "aa", "a" if number % 4 else "aaa") for number, prompt in enumerate(prompts))
        side = tokenless(pairs)
        return RewardData(side, side, 0)

    chosen, rejected = [1.0] * 12, [0.0, 2.0, 1.0] * 4
    apart, together = (reward_card(data(prompts), chosen, rejected) for prompts in ([f"{n}" for n in range(12)], ["a"] * 6 + ["b"] * 6))
    assert (apart.accuracy.mean, apart.length_accuracy.mean, apart.length_rule) == (0.5, 0.75, "longer")
    assert apart.gain.mean == pytest.approx(-0.25)
    assert (apart.prompts, together.prompts) == (12, 2)
    assert apart.gain.low < -0.25 < apart.gain.high
    assert apart.accuracy.low != together.accuracy.low


def tokenless(pairs: tuple[PreferencePair, ...]) -> Conversations:
    return Conversations(pairs, (TokenizedPair((), (), ()),) * len(pairs))
