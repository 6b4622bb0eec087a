"""What a policy is compared with: scores that were computed once, or the frozen model itself."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import pairwise

import torch

from evals.model_files import local_model
from orchestrator.errors import SettingsError
from orchestrator.policy.loading import load_reference
from orchestrator.policy.reference_cache import complete, keep_share, read_reference, reference_key, writing_alone
from orchestrator.policy.reference_tables import MixedTables, ReferenceTable
from orchestrator.policy.scoring import FrozenModel, ReferenceScores, reference_scores
from orchestrator.preferences.pairs import PairBatch
from orchestrator.training.engine import Engine
from orchestrator.training.inputs import check_references
from orchestrator.training.passes import in_step
from orchestrator.training.run import TrainingRun

# So many response tokens' scores are held before they are written.
_KEPT_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class References:
    """What the policy is compared with: None, all pairs' scores, or the frozen model where the objective compares logits."""

    main: MixedTables | FrozenModel | None
    extra: tuple[ReferenceTable, ...]

    def of(self, indices: Sequence[int], device: torch.device) -> tuple[ReferenceScores | FrozenModel | None, tuple[ReferenceScores, ...]]:
        """What some pairs are compared with: the main reference, and the further ones."""
        main = self.main.of(indices).to(device) if isinstance(self.main, MixedTables) else self.main
        return main, tuple(table.of(indices).to(device) for table in self.extra)


def references_of(run: TrainingRun, engine: Engine) -> References:
    """What the run's method needs, from the cache or computed by all ranks together. Raises SettingsError for too few further models."""
    needs = run.objective.needs
    check_references({run.objective.name: needs}, len(run.references))
    main = None
    if needs.reference_logits:
        main = _frozen(run, engine, _only(run.compared_with, run.objective.name))
    elif needs.reference:
        main = MixedTables([(reference_table(run, engine, model), weight) for model, weight in run.compared_with.items()])
    return References(main, tuple(reference_table(run, engine, model) for model in run.references) if needs.extra_references else ())


def _only(mixed: Mapping[str, float], method: str) -> str:
    """The one model whose logits are compared."""
    if len(mixed) > 1:
        what = f"{method} compares logits, and model.reference mixes the log-probabilities of {len(mixed)} models"
        raise SettingsError(what, "model.reference", "choose a method that compares log-probabilities, such as dpo")
    return next(iter(mixed))


def _frozen(run: TrainingRun, engine: Engine, name: str) -> FrozenModel:
    """A reference model: the policy without its adapters where it is that, else another copy in memory."""
    if engine.base is not None and name == run.model:
        return engine.base
    return engine.prepare(load_reference(name, run.settings.dtype, engine.device, run.settings.compile))


def reference_table(run: TrainingRun, engine: Engine, name: str) -> ReferenceTable:
    """All pairs' scores under a model, from the cache; the ranks compute them together when they are not there."""
    needs, cache = run.objective.needs, run.reference_cache
    if name != run.model:
        # A hub model's scores have the name of its commit: the one that would be loaded.
        local_model(name)
    computed = run.settings.computed(is_trained=name == run.model)
    key = reference_key(name, run.every_pair, computed, engine.layout, needs.candidates, needs.mismatched)
    precision = torch.promote_types(run.settings.dtype, torch.float32)
    with writing_alone(cache, key) if engine.rank == 0 else nullcontext():
        kept = read_reference(cache, key, precision)
        # Computing is a collective: the ranks go either way together, also when the scores appear while they look.
        if engine.average({"kept": float(kept is not None)})["kept"] == 1 and kept is not None:
            return kept
        # Ranks that share sequences have the same scores: the first of them keeps them.
        is_first = engine.rank % (engine.world_size // engine.shares) == 0
        kept_files = [keep_share(cache, key, scores) for scores in _compute_share(run, engine, name) if is_first]
        files = [file for of_rank in engine.gather(kept_files) for file in of_rank]
        if engine.rank == 0:
            complete(cache, key, files)
        engine.gather(True)
    made = read_reference(cache, key, precision)
    assert made is not None
    return made


def _compute_share(run: TrainingRun, engine: Engine, name: str) -> Iterator[dict[int, ReferenceScores]]:
    """Each share of the ranks scores its part of the pairs, those that are not trained on in batches of their own; some at a time."""
    model = _frozen(run, engine, name)
    found: dict[int, ReferenceScores] = {}
    # Batches that held-out pairs took part in would change the last digits of the others' scores.
    for pairs in (range(len(run.pairs)), run.validation_indices):
        passes = in_step(run, engine, pairs)
        for number, indices in enumerate(passes.batches):
            scored = _compute(model, run.collate(indices), engine.device, run.objective.needs.mismatched)
            if number < passes.own:
                found.update(zip(indices, scored, strict=True))
            if sum(len(scores.tokens) for scores in found.values()) > _KEPT_AT_ONCE:
                yield found
                found = {}
    if found:
        yield found


def _compute(model: FrozenModel, batch: PairBatch, device: torch.device, with_mismatched: bool) -> list[ReferenceScores]:
    """The scores of each pair of a batch."""
    scores = reference_scores(model, batch.to(device))
    made = []
    for place, (start, end) in enumerate(pairwise((0, *batch.responses.ends))):
        mismatched = scores.mismatched[place].cpu() if with_mismatched and scores.mismatched is not None else None
        made.append(ReferenceScores(scores.tokens[start:end].cpu(), mismatched))
    return made
