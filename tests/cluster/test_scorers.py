"""Several actors share the scoring, and nobody can tell from the scores."""

from pathlib import Path
from typing import Any

import pytest
import ray
from pydantic import TypeAdapter

from evals.errors import UserError
from evals.prompts import EvaluationPrompt, Message
from evals.scoring import ScoredItem
from orchestrator.cluster.engines import scorers
from orchestrator.cluster.engines.scorers import by_prompt, dealt, make_scorer, score_with, start_scorers
from orchestrator.cluster.judges import scorer_gpus
from orchestrator.cluster.session import ray_session
from orchestrator.settings import ClusterSettings
from orchestrator.settings.scoring import ScorerSettings
from tests.evals.test_reward_model import make_reward_model
from tests.evals.tiny_pair_ranker import make_pair_ranker

ITEMS = [
    ScoredItem(EvaluationPrompt(f"{n}", (Message("user", f"say {n}"),), reference="fox", answer="fox"), "fox " * (n % 5 + 1))
    for n in range(17)
]


def settings_of(**values: Any) -> ScorerSettings:
    return TypeAdapter(ScorerSettings).validate_python(values)


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"kind": "verifier"}, "verifier"),
        ({"kind": "reference"}, "chrf"),
        ({"kind": "length"}, "length"),
        ({"kind": "length", "prefer": "shorter"}, "brevity"),
        ({"kind": "judge", "model": {"kind": "openai", "model": "m", "base_url": "http://x/v1"}}, "rating by openai m"),
    ],
)
def test_settings_of_every_kind_make_their_scorer(values: dict[str, Any], name: str, tmp_path: Path) -> None:
    assert make_scorer(settings_of(**values), tmp_path).name.startswith(name)


def test_what_a_reward_models_settings_say_reaches_it(tiny_model: Path, tmp_path: Path) -> None:
    directory = str(make_reward_model(tmp_path / "several", tiny_model, labels=3))
    names = {
        make_scorer(settings_of(kind="reward_model", model=directory, output=output), tmp_path).name
        for output in (0, "mean", [1.0, 0.0, 0.5])
    }
    assert len(names) == 3


def test_what_a_pair_rankers_settings_say_reaches_it_and_it_holds_a_gpu_where_there_is_one(tmp_path: Path) -> None:
    directory = str(make_pair_ranker(tmp_path / "ranker"))
    settings = settings_of(kind="pair_ranker", model=directory, source_length=100, candidate_length=50, precision="bf16", gpus=0.5)
    name = make_scorer(settings, tmp_path).name
    assert name.startswith(f"pair ranker {directory} (") and name.endswith("cut at 100 + 2 x 50 tokens, bf16")
    assert scorer_gpus(settings) == 0.5


class Started:
    """A scorer's actor that starts no process, and keeps the settings it was given."""

    @staticmethod
    def options(**options: Any) -> type["Started"]:
        return Started

    @staticmethod
    def remote(settings: ScorerSettings, log: str, replies: str) -> ScorerSettings:
        return settings


@pytest.mark.parametrize(("requests", "share"), [(11, 2), (3, 1), (None, None)])
def test_the_actors_of_a_scorer_share_what_its_model_may_be_asked_and_paid(
    requests: int | None, share: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scorers, "ScorerActor", Started)
    model = {"kind": "openai", "model": "m", "base_url": "http://x/v1", "max_requests": requests, "max_cost": 2.0, "output_price": 1.0}
    settings = settings_of(kind="judge", model=model)
    started = start_scorers("scorer", settings, 4, tmp_path, tmp_path)
    assert [(each.model.max_requests, each.model.max_cost) for each in started] == [(share, 0.5)] * 4
    assert start_scorers("scorer", settings, 1, tmp_path, tmp_path) == [settings]


def test_responses_to_a_prompt_stay_together() -> None:
    items = [ITEMS[0], ITEMS[1], ScoredItem(ITEMS[0].prompt, "another"), ITEMS[2]]
    assert by_prompt(items) == [[0, 2], [1], [3]]


def test_items_are_dealt_out_by_their_lengths_each_once() -> None:
    shares = dealt([100, 1, 1, 1, 97], 2)
    assert sorted(number for share in shares for number in share) == list(range(5))
    assert {4 in share for share in shares if 0 in share} == {False}
    assert [len(share) for share in dealt([5, 5], 4)] == [1, 1]
    assert dealt([], 3) == []


@pytest.mark.cluster
@pytest.mark.timeout(300)
def test_two_actors_score_as_one_does_in_order_also_after_one_was_killed(tiny_model: Path, tmp_path: Path) -> None:
    directory = str(make_reward_model(tmp_path / "reward", tiny_model))
    settings = settings_of(kind="reward_model", model=directory)
    alone = make_scorer(settings, tmp_path / "alone").score(ITEMS)
    with ray_session(ClusterSettings(cpus_per_worker=0.5), tmp_path):
        actors = start_scorers("scorer", settings, 2, tmp_path / "cache", tmp_path)
        assert score_with(actors, ITEMS) == pytest.approx(alone, abs=1e-5)
        ray.kill(actors[0], no_restart=False)
        assert score_with(actors, ITEMS[::-1]) == pytest.approx(alone[::-1], abs=1e-5)
        assert score_with(actors, []) == []
        (refusing,) = start_scorers("verifier", settings_of(kind="verifier"), 1, tmp_path / "cache", tmp_path)
        with pytest.raises(UserError, match="neither `answer` nor `pattern`"):
            score_with([refusing], [ScoredItem(EvaluationPrompt("q", ITEMS[0].prompt.messages), "fox")])
        ranking = settings_of(kind="pair_ranker", model=str(make_pair_ranker(tmp_path / "ranker")))
        several = [ScoredItem(item.prompt, f"{item.text}{word}") for word in ("one", "two", "three") for item in ITEMS]
        rankers = start_scorers("ranker", ranking, 1, tmp_path / "ranked", tmp_path)
        ranked = make_scorer(ranking, tmp_path / "alone").score(several)
        assert score_with(rankers, several) == pytest.approx(ranked, abs=1e-5) and None not in ranked
    replies = list((tmp_path / "cache" / "replies").glob("*.jsonl"))
    assert len(replies) == 1 and len(replies[0].read_text().splitlines()) == len(ITEMS)
