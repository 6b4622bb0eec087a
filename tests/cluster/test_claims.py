"""A directory stays one run's: what would have trained another model is refused, what only takes less memory goes on."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cluster.runs.claims import check_inputs, check_same, inputs_told
from orchestrator.cluster.runs.single_runs import chosen_trial, write_down
from orchestrator.errors import DataFormatError, UserError
from orchestrator.preferences.pairs import TokenizedPair
from orchestrator.settings import EvaluationSettings, ModelSettings, Settings
from orchestrator.training.records import TRAINED

MADE = {"name": "mine", "cluster": {"workers": 4}, "training": {"learning_rate": 1e-6, "micro_batch_tokens": 8192, "lora": None}}


def changed(section: str, **values: Any) -> dict[str, Any]:
    return {**MADE, section: {**MADE[section], **values}}


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (changed("training", learning_rate=1e-5), "training.learning_rate was 1e-06, and is 1e-05"),
        (changed("training", lora={"rank": 4}), "training.lora was None, and is {'rank': 4}"),
        (changed("training", learning_rate=1e-5, warmup=0.2), "is 1e-05, and 1 more"),
        ({**MADE, "data": {"train": "pairs.jsonl"}}, "data was 'nothing', and is {'train': 'pairs.jsonl'}"),
    ],
)
def test_what_trains_another_model_is_refused_with_its_key_and_both_values(now: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as refused:
        check_same(MADE, now, "a model", tmp_path)
    assert refused.value.what.startswith("this directory holds a model of other settings: ")
    assert words in refused.value.what
    assert (refused.value.code, refused.value.where) == ("DAA-0712", str(tmp_path))


def test_other_workers_another_name_and_less_memory_go_on(tmp_path: Path) -> None:
    check_same(MADE, changed("training", micro_batch_tokens=1024, zero_stage=3), "a model", tmp_path)
    check_same(MADE, {**changed("cluster", workers=2), "name": "renamed", "cache": "elsewhere"}, "a model", tmp_path)
    check_same(MADE, {**MADE, "judge": {"kind": "verifier"}}, "a model", tmp_path, ("training",))


def test_who_has_spent_all_may_spend_more(tmp_path: Path) -> None:
    judge = {"kind": "openai", "model": "m", "max_cost": 5.0, "max_concurrency": 4, "batch_size": 8}
    before = {**MADE, "judge": judge, "rounds": {"scorers": [{"kind": "judge", "model": judge}]}}
    richer = judge | {"max_cost": 9.0, "max_concurrency": 1, "batch_size": 2}
    check_same(before, {**before, "judge": richer, "budget": {"cost": 9.0}}, "rounds", tmp_path)
    check_same(before, {**before, "rounds": {"scorers": [{"kind": "judge", "model": richer}]}}, "rounds", tmp_path)
    with pytest.raises(UserError, match=r"judge\.model was 'm', and is 'n'"):
        check_same(before, {**before, "judge": richer | {"model": "n"}}, "rounds", tmp_path)


def settings_of(**training: Any) -> Settings:
    given = {"model": {"base": "model"}, "data": {"train": "pairs.jsonl"}, "evaluation": {"prompts": "prompts.jsonl"}}
    return Settings.model_validate({**given, "judge": {"kind": "verifier"}, "training": training})


def test_a_trained_model_keeps_what_it_was_trained_with_and_one_that_has_no_checkpoint_may_be_begun_otherwise(tmp_path: Path) -> None:
    def write(beta: float = 0.1, data: str = "ab", **training: Any) -> None:
        settings = settings_of(**training)
        write_down(settings, chosen_trial(settings, ["dpo", f"beta={beta}"]), tmp_path, {"data": data})

    write(learning_rate=1e-6)
    write(learning_rate=1e-5)
    (run,) = (tmp_path / "checkpoints").iterdir()
    (run / "step-000004").mkdir()
    write(learning_rate=1e-5, micro_batch_tokens=64)
    with pytest.raises(UserError, match=r"a model of other settings: training\.learning_rate"):
        write(learning_rate=2e-5)
    with pytest.raises(UserError, match="a model of other inputs: the content of data has changed"):
        write(data="cd", learning_rate=1e-5)
    write(beta=0.2, learning_rate=2e-5)
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2
    assert json.loads((run / TRAINED).read_text())["settings"]["training"]["learning_rate"] == 1e-5


def test_inputs_that_are_edited_in_place_are_known_by_their_keys(tiny_model: Path, tmp_path: Path) -> None:
    model, prompts = tmp_path / "model", tmp_path / "prompts.jsonl"
    shutil.copytree(tiny_model, model)
    prompts.write_text('{"prompt": "say fox"}\n')
    settings = settings_of().model_copy(
        update={"model": ModelSettings(base=str(model)), "evaluation": EvaluationSettings(prompts=prompts, held_out=prompts)}
    )
    pairs = [TokenizedPair((1, 2), (3,), (4,), 1.0, 0.0)]
    told = inputs_told(settings, pairs, ())
    assert sorted(told) == ["data", "evaluation.held_out", "evaluation.prompts", "model.base"]
    check_inputs(told, inputs_told(settings, list(pairs), ()), "a search", tmp_path)
    check_inputs({}, told, "a search", tmp_path)

    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"rope_theta": 1.0}))
    prompts.write_text('{"prompt": "say dog"}\n')
    for changed in (replace(pairs[0], rejected=(5,)), replace(pairs[0], chosen_reward=2.0), replace(pairs[0], prompt=(1,), chosen=(2, 3))):
        with pytest.raises(UserError, match=r"of data, evaluation\.held_out, evaluation\.prompts, model\.base has changed") as refused:
            check_inputs(told, inputs_told(settings, [changed], ()), "a search", tmp_path)
        assert refused.value.code == "DAA-0712"
    prompts.unlink()
    with pytest.raises(DataFormatError, match="there is no prompt file") as gone:
        inputs_told(settings, pairs, ())
    assert (gone.value.code, gone.value.where) == ("DAA-0220", "evaluation.prompts")


def test_further_references_and_rounds_prompts_are_inputs_and_a_hub_model_nobody_has_yet_is_passed_over(tmp_path: Path) -> None:
    model = ModelSettings(base="hub/nobody-has-this", references=(str(tmp_path),))
    settings = settings_of().model_copy(update={"model": model, "evaluation": EvaluationSettings()})
    assert list(inputs_told(settings)) == [f"the reference {tmp_path}"]
