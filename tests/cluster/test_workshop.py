"""A round's data from answers and rewards that are given, without a cluster."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evals.prompts import EvaluationPrompt, Message, load_prompts
from evals.whole_files import save_rows
from orchestrator.cluster.engines.generating import Throughput
from orchestrator.cluster.engines.workshop import Workshop
from orchestrator.preferences.reading import load_pairs
from orchestrator.rounds.sampling import Sampled, Sampling
from orchestrator.settings import DataSettings, GenerationSettings, RoundsSettings


class Answers:
    """Answers every prompt with the model's name, and with it twice."""

    def sample(self, model: str, prompts: Sequence[EvaluationPrompt], settings: GenerationSettings) -> tuple[Sampling, Throughput]:
        found = [Sampled(prompt, (model, f"{model} {model}"), (-1.0, -2.0)) for prompt in prompts]
        counts = dict.fromkeys(("alike", "without", "empty", "unfinished", "repeated", "failed"), 0)
        return Sampling(found, len(prompts), 2 * len(prompts), 6, **counts), Throughput(1.0, 6)


class Lengths:
    """The longer the better."""

    names = ("length",)

    def rewards(self, samples: Sequence[Sampled]) -> list[list[float | None]]:
        return [[float(len(text)) for each in samples for text in each.texts]]


def test_what_is_kept_of_earlier_rounds_is_there_once(tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.jsonl"
    save_rows(prompts, [{"prompt": "why?"}])
    rounds = RoundsSettings.model_validate({"scorers": [{"kind": "length"}], "prompts": prompts, "keep": "earlier"})
    generation: Any = Answers()
    scoring: Any = Lengths()
    workshop = Workshop(rounds, DataSettings(), generation, scoring, lambda text: None)
    before = None
    for number, model in enumerate(("one", "two", "three"), 1):
        made = workshop.make(model, number, tmp_path / model, before)
        before = made.pairs
        assert made.told["pairs"] == 1
    assert before is not None
    assert [pair.rejected for pair in load_pairs(before)] == ["three", "two", "one"]


def test_prompts_may_be_the_messages_of_preference_data(tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    save_rows(file, [{"prompt": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "why?"}], "chosen": "x"}])
    (prompt,) = load_prompts(file).prompts
    assert prompt.messages == (Message("system", "be brief"), Message("user", "why?"))
