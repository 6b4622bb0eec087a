"""The error tree: every refusal says what is wrong, where, and how to cure it."""


class DaaError(Exception):
    """Root of all errors of the project. `exit_code` is what the command line returns for it."""

    exit_code = 1

    def __init__(self, what: str, where: str = "", cure: str = "") -> None:
        super().__init__(what, where, cure)
        self.what = what
        self.where = where
        self.cure = cure

    def __str__(self) -> str:
        lines = [self.what]
        if self.where:
            lines.append(f"  where: {self.where}")
        if self.cure:
            lines.append(f"  cure:  {self.cure}")
        return "\n".join(lines)


class UserError(DaaError):
    """The settings, the data or the command cannot be used as they are."""

    exit_code = 2


class MachineError(DaaError):
    """The machine, the cluster or a service failed; the same command may succeed elsewhere or later."""

    exit_code = 1


class BudgetSpentError(UserError):
    """A bound on requests or money is reached; what was bought with it is remembered."""


class SettingsError(UserError):
    """A settings file has an unknown key, a wrong type or an impossible combination."""


class DataFormatError(UserError):
    """A row of a data file cannot be read; `where` names the file and the line."""


class ModelError(UserError):
    """A model directory or identifier cannot be loaded."""


class JudgeUnavailableError(MachineError):
    """A judge did not answer after all retries."""


class UnreadableVerdictsError(MachineError):
    """No verdict, or too few of them, could be read: there is no score to report."""
