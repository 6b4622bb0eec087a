"""Which of a run's pairs it is trained on."""

from collections.abc import Sequence

from orchestrator.selection.choosing import Margins, selected
from orchestrator.training.engine import Engine
from orchestrator.training.references import reference_table
from orchestrator.training.run import TrainingRun


def selected_pairs(run: TrainingRun, engine: Engine) -> Sequence[int]:
    """Indices of the pairs that the selection keeps, in the order of the data; all ranks together.

    Implicit margins are those of the model that training starts from, by the scores in the reference cache, which trials share.
    """
    implicit = reference_table(run, engine, run.model).mean_margins(run.pairs) if run.selection.needs_model else None
    return selected(run.selection, Margins(run.explicit_margins, implicit))
