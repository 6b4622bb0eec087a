"""Makes a round's preference data: answers from the engines, rewards from the scorers, pairs from both."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evals.prompts import EvaluationPrompt, load_prompts
from evals.scoring import ScoredItem
from evals.whole_files import save_json, save_rows
from orchestrator.cluster.asking import ask
from orchestrator.cluster.engines.generating import Generation, Throughput
from orchestrator.cluster.engines.scorers import score_with, start_scorers
from orchestrator.errors import DataFormatError
from orchestrator.preferences.reading import load_pairs
from orchestrator.preferences.writing import row_of
from orchestrator.rounds.pairing import Scored, conflicts, most_potential, resolved, rows_of, scored
from orchestrator.rounds.rewriting import evolved, evolving, revising
from orchestrator.rounds.sampling import Sampled, Sampling, of_round, prompts_of
from orchestrator.selection.alignment_potential import share_of
from orchestrator.selection.rewards import Scale, scale_of
from orchestrator.settings import DataSettings, EvolutionSettings, RevisionSettings, RoundsSettings
from orchestrator.training.inputs import read_sources

PAIRS, RESPONSES, MADE = "pairs.jsonl", "responses.jsonl", "made.json"
_LEFT_OUT = ("repeated", "unfinished", "empty", "failed")


@dataclass(frozen=True)
class Made:
    """A round's data file, and what is told of it: prompts, replies, what was left out, the scorers' scales, throughput, pairs."""

    pairs: Path
    told: dict[str, Any]

    @staticmethod
    def at(directory: Path) -> "Made | None":
        """The data in `directory`, if they are there whole."""
        file = directory / MADE
        return Made(directory / PAIRS, json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else None


class Scoring:
    """The rounds' scorers, each by its actors."""

    def __init__(self, rounds: RoundsSettings, cache: Path, logs: Path) -> None:
        each = enumerate(rounds.scorers)
        self._actors = [start_scorers(f"scorer-{number}", scorer, rounds.scorer_actors, cache, logs) for number, scorer in each]

    @property
    def names(self) -> list[str]:
        """What each scorer's rewards depend on."""
        return [ask(actors[0].name) for actors in self._actors]

    def rewards(self, samples: Sequence[Sampled]) -> list[list[float | None]]:
        """Each scorer's rewards of all responses, prompt by prompt; None for what it could not read."""
        items = [ScoredItem(each.prompt, text) for each in samples for text in each.texts]
        return [score_with(actors, items) for actors in self._actors]


class Workshop:
    """Makes data for any model. What exists already is left as it is."""

    def __init__(
        self, rounds: RoundsSettings, data: DataSettings, generation: Generation, scoring: Scoring, say: Callable[[str], None]
    ) -> None:
        self._rounds, self._data, self._generation, self._scoring, self._say = rounds, data, generation, scoring, say

    def make(self, model: str, number: int, directory: Path, before: Path | None = None) -> Made:
        """The data of round `number`, by the answers of `model`; `before` are the data of the round before, if it made any.

        Raises DataFormatError when no pair comes of it.
        """
        if (made := Made.at(directory)) is not None:
            return made
        rounds = self._rounds
        prompts = of_round(self._prompts(), number, rounds.prompts_per_round)
        self._say(f"round {number}: {rounds.generation.responses} answers to each of {len(prompts)} prompts")
        sampling, throughput = self._generation.sample(model, prompts, rounds.generation)
        save_rows(directory / RESPONSES, (each.as_dict() for each in sampling.sampled))
        self._say(f"round {number}: {told(sampling, throughput)}")
        rewards = self._scoring.rewards(sampling.sampled)
        scales = [_scale(of_scorer) if rounds.standardise else Scale(0.0, 1.0) for of_scorer in rewards]
        found = self._scored(sampling.sampled, rewards, scales)
        if rounds.evolution is not None:
            found += self._evolved(model, found, rounds.evolution, scales)
        rows = rows_of(rounds, found)
        if rounds.revision is not None:
            rows += self._revised(model, found, rounds.revision, scales)
        if not rows:
            what = f"no pair comes of {len(sampling.sampled)} prompts with different answers: their rewards are the same"
            raise DataFormatError(what, f"round {number}", "use more prompts or responses, a higher temperature, or another scorer")
        own = len(rows)
        save_rows(directory / PAIRS, (*rows, *self._kept(before)))
        numbers = {"model": model, **sampling.as_dict(), **throughput.as_dict(), "pairs": own, "scorers": self._told_of(rewards, scales)}
        save_json(directory / MADE, numbers)
        return Made(directory / PAIRS, numbers)

    def _prompts(self) -> Sequence[EvaluationPrompt]:
        if self._rounds.prompts is not None:
            return load_prompts(self._rounds.prompts).prompts
        return prompts_of(read_sources(self._data).pairs)

    def _scored(self, samples: Sequence[Sampled], rewards: Sequence[Sequence[float | None]], scales: Sequence[Scale]) -> list[Scored]:
        return scored(samples, [_on(scale, of_scorer) for scale, of_scorer in zip(scales, rewards, strict=True)])

    def _evolved(self, model: str, found: Sequence[Scored], evolution: EvolutionSettings, scales: Sequence[Scale]) -> list[Scored]:
        """Answers to prompts that the model made of those that teach it most; at most as many prompts as there were."""
        best = most_potential(found, evolution.weight, share_of(len(found), evolution.fraction))
        sources = [each.prompt for each in best]
        texts = self._texts(model, evolving(sources, evolution), 1)
        prompts = evolved(sources, [text for (text,) in texts], evolution)
        sampling, throughput = self._generation.sample(model, prompts, self._rounds.generation)
        self._say(f"{len(prompts)} prompts evolved from {len(sources)}: {told(sampling, throughput)}")
        more = self._scored(sampling.sampled, self._scoring.rewards(sampling.sampled), scales)
        return most_potential(more, evolution.weight, len(found))

    def _revised(self, model: str, found: Sequence[Scored], revision: RevisionSettings, scales: Sequence[Scale]) -> list[dict[str, Any]]:
        """Pairs of prompts that scorers disagree about, with the model's own revisions as the preferred responses."""
        at_odds = conflicts(found)
        asked = [revising(each.prompt, each.texts[first], each.texts[second], revision) for each, first, second in at_odds]
        written = self._texts(model, asked, revision.responses)
        different = [tuple(dict.fromkeys(filter(str.strip, texts))) for texts in written]
        samples = [Sampled(at[0].prompt, texts, (0.0,) * len(texts)) for at, texts in zip(at_odds, different, strict=True)]
        revisions = self._scored(samples, self._scoring.rewards(samples), scales)
        by_prompt = {each.prompt.id: each for each in revisions}
        rows = [row for at in at_odds if at[0].prompt.id in by_prompt for row in resolved(at, by_prompt[at[0].prompt.id])]
        self._say(f"scorers are at odds about {len(at_odds)} prompts; revisions make {len(rows)} pairs of them")
        return rows

    def _texts(self, model: str, asked: Sequence[EvaluationPrompt], count: int) -> list[list[str]]:
        """`count` answers to each prompt as they are; an answer that is not finished is empty."""
        settings = self._rounds.generation.model_copy(update={"responses": count})
        replies = self._generation.replies(model, asked, settings)
        texts = [reply.text if reply.finished else "" for reply in replies]
        return [texts[start : start + count] for start in range(0, len(texts), count)]

    def _kept(self, before: Path | None) -> Iterator[dict[str, Any]]:
        """Rows that join the round's own. What was kept of earlier rounds is among those of the round before."""
        if self._rounds.keep == "given":
            yield from (row_of(pair) for pair in read_sources(self._data).pairs)
        elif self._rounds.keep == "earlier" and before is not None:
            yield from (row_of(pair) for pair in load_pairs(before))

    def _told_of(self, rewards: Sequence[Sequence[float | None]], scales: Sequence[Scale]) -> list[dict[str, Any]]:
        unread = [sum(reward is None for reward in of_scorer) for of_scorer in rewards]
        each = zip(self._scoring.names, scales, unread, strict=True)
        return [{"name": name, "scale": scale.as_dict(), "unread": count} for name, scale, count in each]


def _scale(rewards: Sequence[float | None]) -> Scale:
    """The scale of the rewards that could be read; of none, the identity."""
    known = [reward for reward in rewards if reward is not None]
    return scale_of(known) if known else Scale(0.0, 1.0)


def _on(scale: Scale, rewards: Sequence[float | None]) -> list[float | None]:
    """Rewards on a scale; unknown ones stay unknown."""
    return [None if reward is None else float(scale.applied([reward])[0]) for reward in rewards]


def told(sampling: Sampling, throughput: Throughput) -> str:
    """What came of generating, in one line."""
    left_out = ", ".join(f"{count} {name}" for name in _LEFT_OUT if (count := sampling.as_dict()[name]))
    words = f" ({left_out} left out)" if left_out else ""
    kept = f"{len(sampling.sampled)} of {sampling.prompts} prompts have different answers"
    return f"{kept}{words}; {throughput.tokens_per_second:.0f} tokens/s"
