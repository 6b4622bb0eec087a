"""A plan counts the pairs that the search then trains on."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cluster.runs.measuring import STEPS, _on_some
from orchestrator.cluster.workers.preparing import selected
from orchestrator.errors import DataFormatError
from orchestrator.estimates.amounts import amounts_of
from orchestrator.objectives import make_objective
from orchestrator.preferences.pairs import TokenizedPair
from orchestrator.settings import SelectionSettings, Settings, TrainingSettings
from orchestrator.training.inputs import load_inputs
from orchestrator.training.run import TrainingRun


def settings_of(directory: Path, model: Path, rows: int, **sections: Any) -> Settings:
    """A search on so many pairs of equal and unequal rewards in turn."""
    lines = [
        {"prompt": f"say {n}", "chosen": f"yes {n}", "rejected": "no", "chosen_reward": n % 2, "rejected_reward": 0} for n in range(rows)
    ]
    for name, texts in (("pairs", lines), ("prompts", [{"prompt": "say it"}])):
        (directory / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in texts))
    given = {
        "model": {"base": str(model)},
        "data": {"train": str(directory / "pairs.jsonl")},
        "evaluation": {"prompts": str(directory / "prompts.jsonl")},
        "judge": {"kind": "verifier"},
        "training": {"batch_size": 16},
    }
    return Settings.model_validate(given | sections)


@pytest.mark.parametrize(
    ("rows", "sections"),
    [
        (150, {"training": {"batch_size": 128}}),
        (500, {}),
        (300, {"training": {"batch_size": 1}}),
        (500, {"selection": {"metric": "random", "fraction": 0.4}}),
        (500, {"selection": {"metric": "rejection_sampling", "eta": 0.6}}),
        (500, {"search": {"space": {"selection": {"fraction": {"low": 0.3, "high": 0.8}}}}, "selection": {"metric": "random"}}),
    ],
)
def test_as_many_pairs_are_planned_with_as_are_trained_on(rows: int, sections: dict[str, Any], tmp_path: Path, tiny_model: Path) -> None:
    given = settings_of(tmp_path, tiny_model, rows, **sections)
    assert given.model.base is not None
    # Of the pairs that are held out, a plan knows how many there are, and not which.
    near = 0.02 if "selection" in sections else 0
    assert amounts_of(given).pairs == pytest.approx(selected(given, load_inputs(given.model.base, given.data)), rel=near)


def test_a_selection_that_keeps_no_whole_batch_is_refused_as_the_search_refuses_it(tmp_path: Path, tiny_model: Path) -> None:
    few = settings_of(tmp_path, tiny_model, 100, selection={"metric": "random", "fraction": 0.1})
    with pytest.raises(DataFormatError, match="4 pairs are fewer than one batch of 16"):
        amounts_of(few)


@pytest.mark.parametrize("bad_rows", ["refuse", "quarantine"])
def test_a_prompt_that_leaves_no_room_is_refused_as_the_search_refuses_it(bad_rows: str, tmp_path: Path, tiny_model: Path) -> None:
    given = settings_of(tmp_path, tiny_model, 3000, data={"context": 256, "bad_rows": bad_rows, "train": str(tmp_path / "pairs.jsonl")})
    assert given.model.base is not None
    file = tmp_path / "pairs.jsonl"
    lines = file.read_text().splitlines()
    for number in (1500, 2500):
        lines[number] = json.dumps({"prompt": "say it " * 300, "chosen": "yes", "rejected": "no"})
    file.write_text("\n".join(lines))
    if bad_rows == "quarantine":
        assert amounts_of(given).pairs == pytest.approx(3000 - 64, abs=3)
        return
    refusals = []
    for read in (partial(amounts_of, given), partial(load_inputs, given.model.base, given.data)):
        with pytest.raises(DataFormatError, match="leaves no room for an answer") as refusal:
            read()
        refusals.append((refusal.value.what, refusal.value.where, refusal.value.cure))
    assert refusals[0] == refusals[1]
    assert refusals[0][1].endswith("pairs.jsonl:1501")


def test_steps_are_measured_on_whole_batches_however_little_is_selected(tokenized_pairs: Sequence[TokenizedPair], tmp_path: Path) -> None:
    settings, little = TrainingSettings(batch_size=2, steps=STEPS, checkpoints=1), SelectionSettings(metric="random", fraction=0.25)
    run = TrainingRun(make_objective("dpo", {}), settings, tokenized_pairs, "m", None, tmp_path, "cache", selection=little)
    measured = _on_some(run, "other")
    assert (measured.kept, measured.steps, measured.reference_cache) == (STEPS * 2, STEPS, "other")
