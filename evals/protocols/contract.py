"""How a benchmark is run: its prompts, the questions that its judge is asked about a model's outputs, and the official rows they give."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from evals.asking import Question, Reply
from evals.benchmarks.formats import Outputs
from evals.benchmarks.score import BenchmarkScore
from evals.errors import DataFormatError
from evals.judging import Match, Verdict, swap_consistency

if TYPE_CHECKING:
    from evals.protocols.running import Evaluation

Row = dict[str, Any]


@dataclass(frozen=True)
class BenchmarkPrompt:
    """What a model is asked, turn by turn; `temperature` is the one that the benchmark prescribes for its category, if any."""

    id: str
    turns: tuple[str, ...]
    category: str = ""
    temperature: float | None = None


@dataclass(frozen=True)
class PositionBias:
    """What seats decide: the share of pairs whose winner is the same in both orders, and the first seat's mean score in percent."""

    swap_consistency: float
    first_seat: float


@dataclass(frozen=True)
class Judged:
    """The official rows of one model's outputs, with the seats' share in them where both orders were asked.

    `texts` are the outputs by prompt, for benchmarks whose rows do not hold them.
    """

    rows: Sequence[Row]
    bias: PositionBias | None = None
    texts: Mapping[str, str] = field(default_factory=dict)


class Benchmark(Protocol):
    """One benchmark and the settings it is run with. `max_tokens` bounds an answer."""

    @property
    def name(self) -> str: ...

    @property
    def max_tokens(self) -> int: ...

    def prompts(self) -> Sequence[BenchmarkPrompt]:
        """The prompts in official order. Raises DataFormatError when they are not there, or not the official ones."""
        ...

    def baseline(self) -> Mapping[str, tuple[str, ...]] | None:
        """The baseline's answers by prompt id; None for a benchmark without one."""
        ...

    def questions(self, outputs: Outputs) -> list[Question]:
        """All that a language model is asked about the outputs."""
        ...

    def readable(self, question: Question, reply: Reply) -> bool:
        """Whether the reply holds a verdict."""
        ...

    def judged(self, outputs: Outputs, questions: Sequence[Question], replies: Sequence[Reply], judge: str) -> Judged:
        """The official rows that the replies give."""
        ...

    def matches(self, outputs: Outputs) -> list[Match]:
        """The pairs that a judge of another kind compares. Raises UserError where the benchmark has none."""
        ...

    def ruled(self, outputs: Outputs, verdicts: Sequence[Verdict], judge: str) -> Judged:
        """The official rows that such verdicts give."""
        ...

    def scores(self, judged: Judged) -> list[BenchmarkScore]:
        """The scores of the rows."""
        ...

    def save(self, evaluation: "Evaluation", folder: Path) -> list[Path]:
        """Write the official files of an evaluation into the benchmark's folder; returns them."""
        ...


def aligned(prompts: Sequence[BenchmarkPrompt], outputs: Outputs, where: str = "the outputs") -> Outputs:
    """The outputs keyed by the prompts' ids, whether they name ids or repeat the prompts' texts.

    Raises DataFormatError when prompts have no output, or too few turns.
    """
    answers = outputs.answers
    found = {prompt.id: answers.get(prompt.id, answers.get(prompt.turns[0])) for prompt in prompts}
    missing = [name for name, turns in found.items() if turns is None]
    if missing:
        what = f"{len(missing)} of {len(prompts)} prompts have no output of {outputs.model}, the first is {missing[0]}"
        raise DataFormatError(what, where, "answer all prompts, each row with the benchmark's own id or instruction")
    short = next((prompt.id for prompt in prompts if len(found[prompt.id] or ()) < len(prompt.turns)), None)
    if short is not None:
        raise DataFormatError(f"the output of {outputs.model} to prompt {short} has too few turns", where, "answer every turn")
    return Outputs(outputs.model, {name: turns for name, turns in found.items() if turns is not None})


def position_bias(pairs: Sequence[tuple[float, float]], first_seats: Sequence[float]) -> PositionBias | None:
    """From the candidate's scores in both orders, and the scores of whoever sat first, all in [0, 1]."""
    consistency = swap_consistency(pairs)
    return None if consistency is None else PositionBias(consistency, 100 * sum(first_seats) / len(first_seats))
