"""An evaluation's official files, answers and judgments, laid out as each benchmark's own tools read them."""

from collections.abc import Sequence
from pathlib import Path

from evals.benchmarks.formats import arena_answer, mt_answer
from evals.benchmarks.style_control import answer_style
from evals.benchmarks.writing import safe_name, write_annotations, write_json, write_json_lines, write_leaderboard, write_model_outputs
from evals.protocols.contract import BenchmarkPrompt
from evals.protocols.running import Evaluation


def save_alpaca_eval(evaluation: Evaluation, folder: Path, is_whole: bool) -> list[Path]:
    """AlpacaEval's model_outputs.json, annotations.json and leaderboard.csv; `is_whole` where all instructions were answered."""
    own = folder / safe_name(evaluation.outputs.model)
    files = [own / "model_outputs.json", own / "annotations.json", folder / "leaderboard.csv"]
    outputs = [
        {"dataset": row["dataset"], "instruction": row["instruction"], "output": row["output_2"], "generator": row["generator_2"]}
        for row in evaluation.judged.rows
    ]
    own.mkdir(parents=True, exist_ok=True)
    write_model_outputs(files[0], outputs)
    # The official annotations hold all instructions: a sample of them is written as it is.
    (write_annotations if is_whole else write_json)(files[1], evaluation.judged.rows)
    if evaluation.scores:
        write_leaderboard(files[2], evaluation.scores)
    return files


def save_arena_hard(evaluation: Evaluation, folder: Path, prompts: Sequence[BenchmarkPrompt]) -> list[Path]:
    """Arena-Hard's model_answer and model_judgment."""
    model, judge = safe_name(evaluation.outputs.model), safe_name(evaluation.judge)
    files = [folder / "model_answer" / f"{model}.jsonl", folder / "model_judgment" / judge / f"{model}.jsonl"]
    answers = [(prompt, evaluation.outputs.answers[prompt.id][0]) for prompt in prompts]
    rows = [arena_answer(p.id, evaluation.outputs.model, p.turns[0], text, answer_style(text)) for p, text in answers]
    for file, content in zip(files, (rows, evaluation.judged.rows), strict=True):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json_lines(file, content)
    return files


def save_mt_bench(evaluation: Evaluation, folder: Path) -> list[Path]:
    """MT-Bench's model_answer and model_judgment."""
    model, judge = safe_name(evaluation.outputs.model), safe_name(evaluation.judge)
    kind = "pair" if evaluation.judged.rows and "model_1" in evaluation.judged.rows[0] else "single"
    files = [folder / "model_answer" / f"{model}.jsonl", folder / "model_judgment" / f"{judge}_{kind}" / f"{model}.jsonl"]
    rows = [mt_answer(name, evaluation.outputs.model, turns) for name, turns in evaluation.outputs.answers.items()]
    for file, content in zip(files, (rows, evaluation.judged.rows), strict=True):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json_lines(file, content)
    return files
