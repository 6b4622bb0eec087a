"""What a round trains from and is compared with; where a trial's rounds end; what rewriting asks for."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from evals.comparison import compare_verdicts
from evals.prompts import Message
from orchestrator.errors import SettingsError
from orchestrator.rounds.plan import boundaries, merges_adapters, reference, required_rounds, round_settings
from orchestrator.rounds.results import RoundResult, gains, table
from orchestrator.rounds.rewriting import INSTRUCTIONS, evolved, evolving, revising
from orchestrator.rounds.sampling import prompt_of
from orchestrator.settings import DataSettings, EvolutionSettings, RevisionSettings, RoundsSettings, Settings
from orchestrator.settings_file import check_prompts

MODELS = ["base", "one", "two"]


def rounds(**given: Any) -> RoundsSettings:
    """Rounds with a verifier."""
    return RoundsSettings.model_validate({"scorers": [{"kind": "verifier"}], **given})


def settings(**given: Any) -> Settings:
    """A run on a world, with rounds."""
    own = {"world": {"kind": "tasks"}, "judge": {"kind": "verifier"}, "rounds": rounds().model_dump()}
    return Settings.model_validate({**own, **given})


def test_a_rounds_own_pairs_are_read_by_their_own_names_whatever_those_of_the_first_data_were() -> None:
    source = {"train": "rows.jsonl", "columns": {"prompt": "query"}, "config": "main", "split": "train_prefs", "limit": 3, "context": 64}
    given = settings().model_copy(update={"data": DataSettings.model_validate(source)})
    made = round_settings(given, MODELS, Path("pairs.jsonl")).data
    assert made == DataSettings(train="pairs.jsonl", context=64)
    mixture = given.model_copy(update={"data": DataSettings.model_validate({"mixture": [{"source": "a.jsonl"}], "context": 64})})
    assert round_settings(mixture, MODELS, Path("pairs.jsonl")).data == made


@pytest.mark.parametrize(
    ("given", "models", "expected"),
    [
        ({}, MODELS, {"two": 1.0}),
        ({"reference": "base"}, MODELS, {"base": 1.0}),
        ({"reference": "extrapolated", "extrapolation": 0.25}, MODELS, {"two": 1.25, "one": -0.25}),
        ({"reference": "extrapolated"}, ["base"], {"base": 1.0}),
    ],
)
def test_a_round_is_compared_with_what_the_settings_say(given: dict[str, Any], models: list[str], expected: dict[str, float]) -> None:
    assert reference(rounds(**given), models, models[-1]) == expected


def test_a_round_starts_from_the_newest_model_or_from_the_base_on_its_own_data() -> None:
    data = Path("round.jsonl")
    own = round_settings(settings(), MODELS, data)
    assert (own.model.base, own.data.train, own.model.references) == ("two", str(data), ())
    again = round_settings(settings(rounds=rounds(start="base").model_dump()), MODELS, data)
    assert (again.model.base, again.model.reference) == ("base", {"base": 1.0})


def test_past_models_are_further_references_and_the_base_stands_in_for_them_at_first() -> None:
    several = settings(rounds=rounds(past_references=True).model_dump())
    assert round_settings(several, MODELS, Path("x")).model.references == ("base", "one")
    assert round_settings(several, MODELS[:1], Path("x")).model.references == ("base",)


def test_rounds_that_cannot_be_are_refused() -> None:
    with pytest.raises(SettingsError, match="there is no"):
        required_rounds(settings(rounds=None))


@pytest.mark.parametrize(
    ("given", "is_merged"),
    [
        ({}, True),
        ({"count": 1}, False),
        ({"start": "base"}, False),
        ({"start": "base", "past_references": True}, True),
        ({"start": "base", "reference": "extrapolated"}, True),
    ],
)
def test_adapters_are_merged_where_a_later_round_loads_the_model(given: dict[str, Any], is_merged: bool) -> None:
    own = rounds(**given).model_dump()
    assert merges_adapters(settings(rounds=own, training={"lora": {}})) is is_merged
    assert not merges_adapters(settings(rounds=own))


@pytest.mark.parametrize("kind", ["verifier", "reference"])
def test_prompts_that_nobody_knows_the_answer_to_are_refused_before_a_scorer_misses_it(kind: str, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=f"the scorer {kind} compares with a prompt's own answer"):
        rounds(scorers=[{"kind": kind}], evolution={})
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "Hi", "answer": "Hello", "reference": "Hello"}\n')
    own = {"model": {"base": "m"}, "data": {"train": "d.jsonl"}, "evaluation": {"prompts": str(tmp_path / "prompts.jsonl")}}
    given = {**own, "judge": {"kind": "verifier"}, "rounds": rounds(scorers=[{"kind": kind}])}
    with pytest.raises(SettingsError, match="prompts of preference data have none") as refused:
        check_prompts(Settings.model_validate(given))
    assert refused.value.where == "rounds.prompts"
    check_prompts(Settings.model_validate({**given, "rounds": rounds(scorers=[{"kind": kind}], first="data", count=1)}))
    check_prompts(Settings.model_validate({**given, "rounds": rounds(scorers=[{"kind": kind}], prompts=tmp_path / "prompts.jsonl")}))


def test_revisions_are_refused_beside_a_scorer_that_would_have_to_see_what_they_revise() -> None:
    ranker = {"kind": "pair_ranker", "model": "m"}
    given = {"scorers": [ranker, {"kind": "length"}], "pairing": "pareto"}
    assert rounds(**given).scorers[0].kind == "pair_ranker"
    with pytest.raises(ValidationError, match="scored without the responses that they revise"):
        rounds(**given, revision={})


@pytest.mark.parametrize(("count", "expected"), [(1, [72]), (2, [48, 72]), (3, [24, 48, 72]), (5, [24, 48, 72])], ids=str)
def test_a_trials_rounds_end_at_checkpoints(count: int, expected: list[int]) -> None:
    found = boundaries([24, 48, 72], count)
    assert found[-1] == 72
    assert len(found) == min(count, 3)
    assert set(found) <= {24, 48, 72}
    assert found == sorted(set(found))
    assert count == 2 or found == expected


def test_rewritten_prompts_of_a_strange_length_and_copies_are_dropped() -> None:
    sources = [prompt_of((Message("user", "What is rain?"),))]
    settings = EvolutionSettings(factor=3.0)
    assert len(evolving(sources, settings)) == len(INSTRUCTIONS)
    texts = ["Why does rain fall?", "Why does rain fall?", "What is rain?", "x" * 100, "?"]
    assert [prompt.text for prompt in evolved(sources, texts, settings)] == ["Why does rain fall?"]


def test_a_question_to_rewrite_or_revise_has_its_texts_in_place() -> None:
    prompt = prompt_of((Message("user", "What is {first}?"),))
    asked = revising(prompt, "A", "B", RevisionSettings(instruction="{prompt} {second} {first}"))
    assert asked.text == "What is {first}? B A"
    assert "What is {first}?" in evolving([prompt], EvolutionSettings())[0].text


def test_gains_are_paired_by_prompt_and_stand_in_the_table() -> None:
    def result(number: int, scores: list[float]) -> RoundResult:
        card = {"win_rate": 100 * sum(scores) / len(scores), "low": 0.0, "high": 100.0}
        return RoundResult(number, f"model-{number}", card, {str(n): score for n, score in enumerate(scores)}, {"pairs": 7})

    results = [result(1, [0.0, 0.5, 1.0, 0.5]), result(2, [0.5, 1.0, 1.0, 0.5])]
    first, second = gains(results)
    assert first is None
    assert second == compare_verdicts(results[1].readable, results[0].readable)
    assert "| 2 | 7 | 75.0 (0.0–100.0) | +25.0" in table(results)
