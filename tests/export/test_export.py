"""A model leaves its run whole or not at all, others load it, and what it leaves with says the truth about it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Gemma3Config, Gemma3ForConditionalGeneration
from typer.testing import CliRunner

from orchestrator import cli
from orchestrator.errors import ModelError, UserError
from orchestrator.export import loading
from orchestrator.export.found import find_trained
from orchestrator.export.writing import Exported, export, form_of
from orchestrator.policy.loading import load_tokenizer
from orchestrator.report.model_cards import Publication
from orchestrator.settings import Settings
from orchestrator.settings_file import load_settings
from tests.evals.tiny_model import make_adapter
from tests.export.left_runs import BEST, FAILED, WEAK, left_rounds, left_search, left_training, settings_of

TOKENS = torch.tensor([[5, 6, 7, 8]])


@pytest.fixture
def searched(tiny_model: Path, other_model: Path, tmp_path: Path) -> Path:
    """A search on the tiny model, whose trials came to the other one."""
    return left_search(tmp_path / "run", other_model, settings_of(tiny_model))


@pytest.fixture(scope="session")
def adapter(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter of the tiny model as a checkpoint has it: with the tokenizer beside it."""
    directory = make_adapter(tmp_path_factory.mktemp("adapter") / "model", tiny_model, seed=1, scale=0.1)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(tiny_model / name, directory / name)
    return directory


def leave(run: Path, name: str, target: Path, merge: bool | None = None, card_only: bool = False) -> Exported:
    """Export without the command line."""
    trained = find_trained(run, name)
    return export(trained, Publication(form_of(trained, merge)), target, card_only)


def logits(directory: Path, kind: str = "AutoModelForCausalLM") -> torch.Tensor:
    """What transformers, or peft, computes with a directory's model."""
    import peft
    import transformers

    model = getattr(peft if "Peft" in kind else transformers, kind).from_pretrained(str(directory))
    with torch.no_grad():
        return model.eval()(TOKENS).logits


def files(directory: Path) -> list[str]:
    """Everything below a directory, hidden files too."""
    return sorted(str(file.relative_to(directory)) for file in directory.rglob("*"))


def test_the_best_model_of_a_search_leaves_with_the_weights_of_its_checkpoint(searched: Path, other_model: Path, tmp_path: Path) -> None:
    exported = leave(searched, "best", tmp_path / "out")
    assert exported.trial == BEST.id
    assert "finite" in exported.checked
    assert torch.equal(logits(tmp_path / "out"), logits(other_model))
    assert set(files(tmp_path / "out")) > set(files(other_model))


def test_a_model_that_leaves_answers_with_its_cache_which_training_had_switched_off(searched: Path, tmp_path: Path) -> None:
    config = searched / "checkpoints" / BEST.id / "step-000020" / "model" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"use_cache": False}))
    leave(searched, "best", tmp_path / "out")
    assert json.loads((tmp_path / "out" / "config.json").read_text())["use_cache"] is True


def test_adapters_become_part_of_the_weights_and_compute_the_same(tiny_model: Path, adapter: Path, tmp_path: Path) -> None:
    run = left_search(tmp_path / "run", adapter, settings_of(tiny_model, training={"lora": {"rank": 4}, "steps": 20}))
    assert leave(run, "best", tmp_path / "out").form == "merged"
    ours, theirs = logits(tmp_path / "out"), logits(adapter, "AutoPeftModelForCausalLM")
    assert torch.allclose(ours, theirs, atol=1e-5)
    assert not torch.allclose(ours, logits(tiny_model), atol=1e-2)
    assert not list((tmp_path / "out").glob("adapter_*"))
    assert "merged" in (tmp_path / "out" / "README.md").read_text()


def test_adapters_may_stay_adapters(tiny_model: Path, adapter: Path, tmp_path: Path) -> None:
    run = left_search(tmp_path / "run", adapter, settings_of(tiny_model, training={"lora": {"rank": 4}, "steps": 20}))
    assert leave(run, "best", tmp_path / "out", merge=False).form == "adapter"
    assert torch.equal(logits(tmp_path / "out", "AutoPeftModelForCausalLM"), logits(adapter, "AutoPeftModelForCausalLM"))
    assert "library_name: peft" in (tmp_path / "out" / "README.md").read_text()


def test_the_settings_beside_a_model_train_its_method_with_its_hyperparameters(searched: Path, tmp_path: Path) -> None:
    leave(searched, "best", tmp_path / "out")
    settings = load_settings(tmp_path / "out" / "training.json")
    assert (settings.method, settings.hyperparameters) == ("simpo", {"beta": 2.5, "gamma_over_beta": 0.5})
    assert settings.training.learning_rate == 3e-4
    assert settings.training.batch_size == 16


def test_the_card_alone_needs_no_weights_written(searched: Path, tmp_path: Path) -> None:
    leave(searched, "best", tmp_path / "out", card_only=True)
    assert files(tmp_path / "out") == ["README.md", "training.json"]


def test_a_run_that_was_moved_is_found_with_its_checkpoints(searched: Path, tmp_path: Path) -> None:
    moved = tmp_path / "checkpoints" / "of-last-week"
    moved.parent.mkdir()
    searched.rename(moved)
    assert Path(find_trained(moved, "best").model).is_relative_to(moved)
    # Its old place may be another run's by now.
    shutil.copytree(moved, searched)
    assert Path(find_trained(moved, "best").model).is_relative_to(moved)


def test_a_training_leaves_its_last_checkpoint_and_claims_no_score(tiny_model: Path, tmp_path: Path) -> None:
    run = left_training(tmp_path / "run", tiny_model, settings_of(tiny_model))
    trained = find_trained(run, "best")
    assert (trained.name, trained.step, trained.scores) == (BEST.id, 20, ())
    leave(run, BEST.id, tmp_path / "out")
    assert "this run judged nothing" in (tmp_path / "out" / "README.md").read_text()


def test_of_several_trainings_that_nothing_compared_none_is_the_best(tiny_model: Path, tmp_path: Path) -> None:
    for trial in (BEST, WEAK):
        left_training(tmp_path / "run", tiny_model, settings_of(tiny_model), trial)
    assert find_trained(tmp_path / "run", WEAK.id).trial.method == "dpo"
    with pytest.raises(UserError, match="which of the trainings"):
        find_trained(tmp_path / "run", "best")


def test_of_rounds_the_best_is_the_one_that_wins_most_and_any_other_may_be_named(tiny_model: Path, tmp_path: Path) -> None:
    rounds = {"count": 2, "scorers": [{"kind": "length"}]}
    run = left_rounds(tmp_path / "run", tiny_model, settings_of(tiny_model, rounds=rounds))
    assert find_trained(run, "best").name == "round-01"
    second = find_trained(run, "round-02")
    assert "round-01 has the highest win rate" in second.sentences[0]
    assert second.sentences[1].startswith("Over the round before it: -3")
    leave(run, "round-02", tmp_path / "out")
    assert "daa rounds training.json" in (tmp_path / "out" / "README.md").read_text()


def left_merged_rounds(run: Path, adapter: Path, whole: Path, settings: Settings) -> Path:
    """Rounds of adapters, each of which was merged into its base beside its checkpoints."""
    left_rounds(run, adapter, settings)
    results = json.loads((run / "rounds.json").read_text())
    for result in results:
        place = run / f"round-{result['number']:02d}"
        shutil.copytree(whole, place / "merged")
        result["model"] = str(place / "merged")
        record = {"step": 20, "health": "falling", "cure": "add an SFT term"}
        (place / "checkpoints" / BEST.id / "metrics.jsonl").write_text(json.dumps(record) + "\n")
    (run / "rounds.json").write_text(json.dumps(results))
    return run


def test_rounds_of_adapters_leave_as_the_whole_model_that_was_judged_with_what_their_checkpoint_told(
    tiny_model: Path, other_model: Path, adapter: Path, tmp_path: Path
) -> None:
    training = {"steps": 20, "batch_size": 16, "lora": {"rank": 4, "quantization": "nf4"}}
    settings = settings_of(tiny_model, rounds={"count": 2, "scorers": [{"kind": "length"}]}, training=training)
    run = left_merged_rounds(tmp_path / "run", adapter, other_model, settings)
    assert leave(run, "best", tmp_path / "out").form == "merged"
    assert torch.equal(logits(tmp_path / "out"), logits(other_model))
    card = (tmp_path / "out" / "README.md").read_text()
    for told in (
        "| checkpoint | step 20 |",
        "adapters merged",
        "| health of the training | falling: add an SFT term |",
        "in four bits (nf4)",
    ):
        assert told in card, told
    assert leave(run, "round-02", tmp_path / "again", merge=True).form == "merged"
    with pytest.raises(UserError, match="merged already"):
        leave(run, "best", tmp_path / "third", merge=False)


@pytest.mark.parametrize(
    ("name", "what", "cure"),
    [
        ("002-simpo-ab21", "this run has no '002-simpo-ab21'", f"did you mean '{BEST.id}'"),
        ("base", "this run has no 'base'", "or `best`"),
        (FAILED.id, "no checkpoint that was scored (failed: the loss is not finite)", "with a win rate"),
    ],
)
def test_a_trial_that_cannot_leave_is_refused(name: str, what: str, cure: str, searched: Path) -> None:
    with pytest.raises(UserError) as refused:
        find_trained(searched, name)
    assert what in refused.value.what
    assert cure in refused.value.cure


def test_a_checkpoint_that_is_gone_is_missed_by_name(searched: Path) -> None:
    shutil.rmtree(searched / "checkpoints" / WEAK.id)
    with pytest.raises(UserError, match=f"the checkpoint of {WEAK.id} is not there any more"):
        find_trained(searched, WEAK.id)


def test_a_directory_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no run to export from"):
        find_trained(tmp_path, "best")


@pytest.mark.parametrize(
    ("leave_it", "name"),
    [
        (left_search, "settings.json"),
        (left_rounds, "settings.json"),
        (left_rounds, "rounds.json"),
        (left_training, f"checkpoints/{BEST.id}/trained.json"),
    ],
)
@pytest.mark.parametrize("content", [None, b"", b'{"model": {', b"\xff\xfe\xff", b"[1]", b"{}"])
def test_a_file_of_a_run_that_is_damaged_or_gone_is_named(
    leave_it: Callable[..., Path], name: str, content: bytes | None, tiny_model: Path, tmp_path: Path
) -> None:
    file = leave_it(tmp_path / "run", tiny_model, settings_of(tiny_model)) / name
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UserError) as refused:
        find_trained(tmp_path / "run", "best")
    is_a_run = content is not None or name == "settings.json"
    assert (refused.value.where, bool(refused.value.cure)) == (str(file) if is_a_run else str(tmp_path / "run"), True)


def test_what_lies_at_the_target_is_never_touched(searched: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("mine")
    with pytest.raises(UserError, match="something already"):
        leave(searched, "best", tmp_path / "out")
    assert files(tmp_path / "out") == ["mine"]


@pytest.mark.parametrize("merge", [True, False])
def test_adapters_that_are_none_are_neither_merged_nor_kept(merge: bool, searched: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there are no adapters"):
        leave(searched, "best", tmp_path / "out", merge)


def cut_short(weights: Path) -> None:
    """A file that a full disk or a broken copy left."""
    weights.write_bytes(weights.read_bytes()[:-1000])


def without_a_layer(weights: Path) -> None:
    """Weights that transformers would make up."""
    save_file({key: value for key, value in load_file(weights).items() if "layers.1" not in key}, weights, {"format": "pt"})


def not_finite(weights: Path) -> None:
    """Weights of a training that went wrong."""
    save_file({key: value * float("nan") for key, value in load_file(weights).items()}, weights, {"format": "pt"})


@pytest.mark.parametrize("damage", [cut_short, without_a_layer, not_finite])
def test_a_model_that_others_could_not_use_never_leaves(damage: Callable[[Path], None], searched: Path, tmp_path: Path) -> None:
    damage(searched / "checkpoints" / BEST.id / "step-000020" / "model" / "model.safetensors")
    with pytest.raises(ModelError):
        leave(searched, "best", tmp_path / "out")
    assert files(tmp_path) == sorted(["run", *(f"run/{name}" for name in files(searched))])


@pytest.mark.parametrize("damage", [cut_short, without_a_layer])
def test_a_model_that_does_not_fit_into_memory_is_checked_by_its_shapes(
    damage: Callable[[Path], None], searched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "_free_memory", lambda: 0)
    assert "nothing was computed" in leave(searched, WEAK.id, tmp_path / "out").checked
    damage(searched / "checkpoints" / BEST.id / "step-000020" / "model" / "model.safetensors")
    with pytest.raises(ModelError):
        leave(searched, BEST.id, tmp_path / "other")


@pytest.mark.parametrize(("writes_it", "outcome"), [(False, "no embeddings"), (True, "writes token")])
def test_a_token_that_the_model_has_no_embedding_for_matters_where_the_template_writes_it(
    writes_it: bool, outcome: str, tiny_model: Path, tmp_path: Path
) -> None:
    directory = Path(shutil.copytree(tiny_model, tmp_path / "model"))
    tokenizer = load_tokenizer(str(directory))
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    tokenizer.chat_template = f"{'<image>' if writes_it else ''}{tokenizer.chat_template}"
    tokenizer.save_pretrained(directory)
    if writes_it:
        with pytest.raises(ModelError, match=outcome):
            loading.check_loads(directory)
    else:
        assert outcome in loading.check_loads(directory)


def test_a_model_with_a_part_for_images_leaves_as_others_do(tiny_model: Path, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(str(tiny_model))
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16}
    size = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1}
    text = {"vocab_size": len(tokenizer), "sliding_window": 16, **size, **heads}
    images = {"num_attention_heads": 1, "image_size": 28, "patch_size": 14, **size}
    tokens = {"mm_tokens_per_image": 4, "image_token_index": 5, "boi_token_index": 6, "eoi_token_index": 7}
    shape = Gemma3Config.from_dict({"text_config": text, "vision_config": images, **tokens})
    Gemma3ForConditionalGeneration(shape).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    assert "finite logits" in loading.check_loads(tmp_path / "model")


def test_the_command_says_where_the_model_is_and_what_was_checked(searched: Path, tmp_path: Path) -> None:
    words: list[Any] = ["export", "best", "--from", searched, "--to", tmp_path / "out", "--license", "apache-2.0", "--json"]
    done = CliRunner().invoke(cli.app, list(map(str, words)))
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout.splitlines()[-1])
    assert (told["directory"], told["trial"], told["form"]) == (str(tmp_path / "out"), BEST.id, "full")
    assert "license: apache-2.0" in (tmp_path / "out" / "README.md").read_text()
