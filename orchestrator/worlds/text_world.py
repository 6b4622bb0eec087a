"""A world of real judged answers: instructions of the evaluation splits are never trained on."""

import gzip
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from evals.prompts import EvaluationPrompt, Message, save_prompts
from orchestrator.errors import DataFormatError, SettingsError
from orchestrator.worlds.cache import keep_world
from orchestrator.worlds.recipes import TextRecipe, World
from orchestrator.worlds.small_model import make_model, make_tokenizer, prompt_text, save
from orchestrator.worlds.teaching import Demonstration, Schedule, enlarge, teach

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PAIR_COLUMNS = ("prompt", "chosen", "rejected", "score_chosen", "score_rejected", "index")
REFERENCE_COLUMNS = ("instruction", "output", "index")


@dataclass(frozen=True)
class Split:
    """The pairs of the training instructions, and the prompts of the two evaluation splits."""

    train: Sequence[dict[str, Any]]
    search: Sequence[EvaluationPrompt]
    held_out: Sequence[EvaluationPrompt]


def make_text_world(recipe: TextRecipe, cache: Path, progress: Callable[[str], None]) -> World:
    """Teach a small model the preferred answers to the training instructions; kept under `cache` by content.

    Raises DataFormatError for a missing file or a row that cannot be read, SettingsError when the data are too few for the recipe.
    """
    files = (_existing(recipe.pairs, "pairs"), _existing(recipe.references, "references"))
    return keep_world(cache, recipe, files, lambda world: _make(recipe, world, progress))


def _make(recipe: TextRecipe, world: World, progress: Callable[[str], None]) -> None:
    rng = Random(recipe.seed)
    split = _split(recipe, rng)
    tokenizer = make_tokenizer([f"{row['prompt']}\n{row['chosen']}" for row in split.train], recipe.vocabulary, recipe.context)
    rows = _fitting(split.train, tokenizer, recipe.context // 2)
    if len(rows) < recipe.train_pairs:
        raise _too_few("pairs", len(rows), recipe.train_pairs)
    model = make_model(tokenizer, recipe.context, recipe.seed)
    progress(f"teaching a model of {model.num_parameters() / 1e6:.1f} M parameters from {len(rows)} preferred answers")
    demonstrations = [Demonstration((Message("user", row["prompt"]),), row["chosen"]) for row in rows]
    teach(model, tokenizer, demonstrations, Schedule(recipe.steps, recipe.batch, recipe.seed, learn_prompts=True), progress)
    enlarge(model)
    save(model, tokenizer, world.model)
    kept = rng.sample(rows, recipe.train_pairs)
    world.train.write_text("".join(json.dumps(_pair_row(row), ensure_ascii=False) + "\n" for row in kept), encoding="utf-8")
    save_prompts(world.practice, _practice(kept))
    save_prompts(world.prompts, split.search)
    save_prompts(world.held_out, split.held_out)


def _split(recipe: TextRecipe, rng: Random) -> Split:
    """Share out the instructions by their index; pairs of an evaluation instruction are dropped."""
    references = {int(row["index"]): row for row in _rows(Path(recipe.references), REFERENCE_COLUMNS)}
    # A token is at least a byte, so an instruction of this many bytes fits half the context under any tokenizer.
    short = [index for index, row in references.items() if len(row["instruction"].encode()) < recipe.context // 2]
    needed = recipe.search_prompts + recipe.held_out_prompts
    if len(short) < needed:
        raise _too_few("instructions short enough to evaluate", len(short), needed)
    evaluation = rng.sample(sorted(short), needed)
    prompts = [_prompt(index, references[index]) for index in evaluation]
    texts = {references[index]["instruction"] for index in evaluation}
    train = [
        row
        for row in _rows(Path(recipe.pairs), PAIR_COLUMNS)
        if int(row["index"]) not in evaluation and row["prompt"] not in texts and row["chosen"] and row["rejected"]
    ]
    return Split(train, prompts[: recipe.search_prompts], prompts[recipe.search_prompts :])


def _prompt(index: int, row: dict[str, Any]) -> EvaluationPrompt:
    return EvaluationPrompt(str(index), (Message("user", row["instruction"]),), reference=row["output"])


def _practice(rows: Sequence[dict[str, Any]]) -> list[EvaluationPrompt]:
    """The training instructions, each once."""
    texts = dict.fromkeys(row["prompt"] for row in rows)
    return [EvaluationPrompt(f"train-{number}", (Message("user", text),)) for number, text in enumerate(texts)]


def _fitting(rows: Sequence[dict[str, Any]], tokenizer: "PreTrainedTokenizerFast", most: int) -> list[dict[str, Any]]:
    """Keep the rows whose prompt takes at most `most` tokens: what is left of the context is for the answer."""
    texts = [prompt_text(tokenizer, (Message("user", row["prompt"]),)) for row in rows]
    lengths = map(len, tokenizer(texts, add_special_tokens=False, truncation=True, max_length=most + 1)["input_ids"])
    return [row for row, length in zip(rows, lengths, strict=True) if length <= most]


def _pair_row(row: dict[str, Any]) -> dict[str, object]:
    return {
        "prompt": [{"role": "user", "content": row["prompt"]}],
        "chosen": row["chosen"],
        "rejected": row["rejected"],
        "chosen_reward": float(row["score_chosen"]),
        "rejected_reward": float(row["score_rejected"]),
    }


def _existing(path: str, field: str) -> Path:
    if not Path(path).is_file():
        cure = f"set `{field}` to the AlpacaEval 2 file, or choose the world of tasks, which needs no data"
        raise DataFormatError(f"there is no data file {path}", f"`{field}` of the preference_text recipe", cure)
    return Path(path)


def _rows(file: Path, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        try:
            for number, line in enumerate(lines, 1):
                yield _row(line, f"{file}:{number}", columns)
        except (OSError, EOFError, UnicodeDecodeError) as error:
            raise DataFormatError(f"the file cannot be unpacked: {error}", str(file), "give a whole .jsonl.gz file") from error


def _row(line: str, where: str, columns: Sequence[str]) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise DataFormatError(f"this line is not JSON: {error}", where, "write one JSON object on each line") from error
    missing = [column for column in columns if not isinstance(row, dict) or column not in row]
    if missing:
        raise DataFormatError(f"this row has no `{missing[0]}`", where, f"each row needs {', '.join(columns)}")
    return row


def _too_few(what: str, found: int, needed: int) -> SettingsError:
    return SettingsError(f"there are {found} {what}, {needed} are asked for", "the preference_text recipe", "ask for fewer")
