"""What a world is made of, and what it hands over."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from evals.errors import SettingsError

FINITE_AND_KNOWN: dict[str, str | bool] = {"extra": "forbid", "allow_inf_nan": False}


@dataclass(frozen=True)
class TasksRecipe:
    """Short verifiable instructions: a model learns them from a textbook (`steps`), then a crowd that slips spoils it (`crowd_steps`).

    Its own answers become pairs whose truth is known.
    `temperature` samples the pairs; evaluate at the same one, or the base model's share of right answers is another.
    """

    __pydantic_config__: ClassVar[dict[str, str | bool]] = FINITE_AND_KNOWN

    kind: Literal["tasks"] = "tasks"
    seed: int = 0
    steps: int = 400
    crowd_steps: int = 80
    batch: int = 64
    slip_rate: float = 0.5
    train_prompts: int = 1000
    samples_per_prompt: int = 8
    pairs_per_prompt: int = 2
    search_prompts: int = 200
    held_out_prompts: int = 400
    temperature: float = 0.7

    def __post_init__(self) -> None:
        _refuse_below(self, 1, "steps", "crowd_steps", "batch", "train_prompts", "pairs_per_prompt", "search_prompts", "held_out_prompts")
        _refuse_below(self, 2, "samples_per_prompt")
        if not 0 <= self.slip_rate < 1:
            raise SettingsError(f"slip_rate is {self.slip_rate}", "the tasks recipe", "give a share from 0 up to, not including, 1")
        if self.temperature <= 0:
            raise SettingsError(f"temperature is {self.temperature}", "the tasks recipe", "give more than 0: equal samples make no pair")


@dataclass(frozen=True)
class TextRecipe:
    """Real judged answers: `pairs` and `references` are .jsonl.gz files with the columns of AlpacaEval 2."""

    __pydantic_config__: ClassVar[dict[str, str | bool]] = FINITE_AND_KNOWN

    pairs: str
    references: str
    kind: Literal["preference_text"] = "preference_text"
    seed: int = 0
    vocabulary: int = 4096
    context: int = 256
    steps: int = 100
    batch: int = 16
    train_pairs: int = 2000
    search_prompts: int = 80
    held_out_prompts: int = 120

    def __post_init__(self) -> None:
        _refuse_below(self, 1, "steps", "batch", "train_pairs", "search_prompts", "held_out_prompts")
        _refuse_below(self, 32, "context")
        _refuse_below(self, 300, "vocabulary")


@dataclass(frozen=True)
class World:
    """Where a made world lies: a Hugging Face directory and JSONL files.

    `practice` has the prompts of the training pairs, with what the verifier knows about them, for worlds of tasks.
    """

    model: Path
    train: Path
    prompts: Path
    held_out: Path
    practice: Path

    @classmethod
    def at(cls, directory: Path) -> "World":
        """Name the world whose files lie in `directory`."""
        files = (directory / f"{name}.jsonl" for name in ("train", "prompts", "held_out", "practice"))
        return cls(directory / "model", *files)


def _refuse_below(recipe: TasksRecipe | TextRecipe, least: int, *names: str) -> None:
    for name in names:
        if getattr(recipe, name) < least:
            raise SettingsError(f"{name} is {getattr(recipe, name)}", f"the {recipe.kind} recipe", f"give {least} or more")
