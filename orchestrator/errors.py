"""The project's errors under one root; they are defined beside the evaluations, which stand alone."""

from evals.errors import (
    BudgetSpentError,
    DaaError,
    DataFormatError,
    JudgeUnavailableError,
    MachineError,
    ModelError,
    SettingsError,
    UserError,
)


class TrainingDivergedError(UserError):
    """A loss or a gradient stopped being a finite number: the configuration cannot be trained as it is."""

    code = "DAA-0500"


class ClusterError(MachineError):
    """The cluster cannot give what the run needs, or lost it."""

    code = "DAA-0600"


class CheckpointError(MachineError):
    """A checkpoint cannot be written, or is not whole."""

    code = "DAA-0510"


__all__ = [
    "BudgetSpentError",
    "CheckpointError",
    "ClusterError",
    "DaaError",
    "DataFormatError",
    "JudgeUnavailableError",
    "MachineError",
    "ModelError",
    "SettingsError",
    "TrainingDivergedError",
    "UserError",
]
