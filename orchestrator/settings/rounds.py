"""Training in rounds on what the model itself writes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from orchestrator.settings.scoring import KNOWING, PairRankerSettings, ScorerSettings
from orchestrator.settings.section import Section


class GenerationSettings(Section):
    """How a model answers training prompts: `responses` samples to each, with seeds of their own."""

    responses: Annotated[int, Field(ge=2)] = 5
    temperature: PositiveFloat = 0.8
    top_p: Annotated[float, Field(gt=0, le=1)] = 0.95
    max_tokens: PositiveInt = 2048
    seed: NonNegativeInt = 0


class EvolutionSettings(Section):
    """The model rewrites the prompts that teach it most, and its answers to the new ones compete with the others' (M_AP's self-play).

    The best `fraction` of prompts, by the alignment potential of their best and worst response with this `weight`, are rewritten once by
    each of `instructions`, which name the `{prompt}`. A rewritten prompt is kept when its length is within `factor` of the original's.
    Answers to the kept ones join the others', to at most as many prompts as there were, those of the highest potential.
    """

    fraction: Annotated[float, Field(gt=0, le=1)] = 0.25
    weight: NonNegativeFloat = 1.0
    factor: Annotated[float, Field(ge=1)] = 5.0
    instructions: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _name_the_prompt(self) -> EvolutionSettings:
        if any("{prompt}" not in instruction for instruction in self.instructions):
            raise ValueError("an instruction does not say where the prompt goes: write {prompt} in it")
        return self


class RevisionSettings(Section):
    """Where the scorers disagree about two responses, the model revises them; `instruction` may name `{prompt}`, `{first}`, `{second}`.

    Of `responses` revisions, one that every scorer puts above both responses, or on a level with the better, becomes the preferred one.
    """

    responses: PositiveInt = 4
    instruction: str = ""


class RoundsSettings(Section):
    """`count` rounds, each: answer prompts, score the answers, make pairs, select, train, evaluate.

    The `first` round is trained on answers like the others ("generate"), or on the given pairs ("data"). Prompts are those of the file
    `prompts`, or of the data; with `prompts_per_round` each round has the next so many of them. A round's training starts from the model of
    the round before ("previous"), or from the base model each time ("base"). It is compared with the model that it starts from ("start"),
    with the base model, or with an extrapolation of the last two rounds' models, 1 + `extrapolation` times the later one's
    log-probabilities less `extrapolation` times the earlier one's; with `past_references` the earlier rounds' models are further
    references. `keep` adds the given pairs, or those of all rounds before, to a round's own.

    `scorers` are summed, with `standardise` each on a scale of mean 0 and deviation 1 over the round, which is written down; each runs in
    `scorer_actors` processes, a reward model on a GPU each where the cluster has any, and an endpoint's `max_requests` and `max_cost` are
    divided among them. Pairs are the best and the worst response of a prompt; all ordered pairs whose sigmoid(difference / `tau`) is above
    `eta`; rows of all responses, for methods that take several; or pairs in which one response is better for every scorer ("pareto"), with
    `revision` where there is none.
    """

    count: PositiveInt = 2
    first: Literal["generate", "data"] = "generate"
    prompts: Path | None = None
    prompts_per_round: PositiveInt | None = None
    start: Literal["previous", "base"] = "previous"
    reference: Literal["start", "base", "extrapolated"] = "start"
    extrapolation: Annotated[float, Field(ge=0, lt=1)] = 0.3
    past_references: bool = False
    keep: Literal["none", "given", "earlier"] = "none"
    generation: GenerationSettings = GenerationSettings()
    scorers: Annotated[tuple[ScorerSettings, ...], Field(min_length=1)]
    standardise: bool = True
    scorer_actors: PositiveInt = 1
    pairing: Literal["best_worst", "rejection_sampling", "all", "pareto"] = "best_worst"
    tau: PositiveFloat = 1.0
    eta: Annotated[float, Field(ge=0.5, lt=1)] = 0.8
    evolution: EvolutionSettings | None = None
    revision: RevisionSettings | None = None

    @model_validator(mode="after")
    def _possible(self) -> RoundsSettings:
        if self.revision is not None and self.pairing != "pareto":
            raise ValueError('revision is given and pairing is not "pareto": set it, or remove the section')
        if self.pairing == "pareto" and len(self.scorers) < 2:
            raise ValueError('pairing "pareto" compares by several scorers, and one is given: add another [[rounds.scorers]]')
        if self.revision is not None and any(isinstance(scorer, PairRankerSettings) for scorer in self.scorers):
            what = "a pair_ranker scores responses against each other, and revisions are scored without the responses that they revise"
            raise ValueError(f"{what}: use other scorers, or remove `revision`")
        if self.evolution is not None and (known := [scorer.kind for scorer in self.scorers if scorer.kind in KNOWING]):
            what = f"the scorer {known[0]} compares with a prompt's own answer, and prompts that evolution writes have none"
            raise ValueError(f"{what}: use other scorers, or remove `evolution`")
        return self
