"""The error tree: every refusal says what is wrong, where, and how to cure it."""

_LONGEST_PART = 4000


def shortened(text: str, most: int = 300) -> str:
    """The text, or its beginning and its end: messages repeat what people and models wrote, and that may be of any length."""
    return text if len(text) <= most else f"{text[: most - 60]} ... {text[-40:]}"


def first_line(error: BaseException) -> str:
    """What another library's error says first; its kind where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


class DaaError(Exception):
    """Root of all errors of the project. `exit_code` is what the command line returns for it.

    `code` names the kind of mistake and never changes: docs/errors.md has a chapter for each. A place that raises may give one of its own.
    """

    exit_code = 1
    code = "DAA-0001"

    def __init__(self, what: str, where: str = "", cure: str = "", code: str = "") -> None:
        super().__init__(what, where, cure)
        self.what = what
        self.where = where
        self.cure = cure
        if code:
            self.code = code

    def __str__(self) -> str:
        lines = [shortened(self.what, _LONGEST_PART)]
        if self.where:
            lines.append(f"  where: {shortened(self.where, _LONGEST_PART)}")
        if self.cure:
            lines.append(f"  cure:  {shortened(self.cure, _LONGEST_PART)}")
        return "\n".join(lines)


class UserError(DaaError):
    """The settings, the data or the command cannot be used as they are."""

    exit_code = 2
    code = "DAA-0002"


class MachineError(DaaError):
    """The machine, the cluster or a service failed; the same command may succeed elsewhere or later."""

    exit_code = 1
    code = "DAA-0003"


class BudgetSpentError(UserError):
    """A bound on requests or money is reached; what was bought with it is remembered."""

    code = "DAA-0401"


class SettingsError(UserError):
    """A settings file has an unknown key, a wrong type or an impossible combination."""

    code = "DAA-0100"


class DataFormatError(UserError):
    """A row of a data file cannot be read; `where` names the file and the line."""

    code = "DAA-0200"


class ModelError(UserError):
    """A model directory or identifier cannot be loaded."""

    code = "DAA-0300"


class JudgeUnavailableError(MachineError):
    """A judge did not answer after all retries."""

    code = "DAA-0400"


class UnreadableVerdictsError(MachineError):
    """No verdict, or too few of them, could be read: there is no score to report. `asked` verdicts were paid for, with `cost` in all."""

    code = "DAA-0402"

    def __init__(self, what: str, where: str = "", cure: str = "", asked: int = 0, cost: float = 0.0) -> None:
        super().__init__(what, where, cure)
        self.asked, self.cost = asked, cost
