"""Run by a test in a process of its own: what the installed alpaca_eval reads in files of ours, and what it sends to a judge of ours.

The folder named on the command line holds task.json (models, the gamed baselines' verdicts) and the files; the findings go to found.json.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

os.environ |= {"HF_HUB_OFFLINE": "1", "OPENAI_API_KEY": "none"}

import alpaca_eval
import pandas as pd
from alpaca_eval import completion_parsers, metrics, utils
from alpaca_eval.annotators import PairwiseAnnotator
from alpaca_eval.metrics import glm_winrate


def main(folder: Path) -> None:
    task = json.loads((folder / "task.json").read_text())
    frames = {model: pd.read_json(folder / model / "annotations.json") for model in task["models"]}
    with patch.object(glm_winrate, "hf_hub_download", lambda **asked: task["hub"][asked["filename"]]):
        found = {
            "metrics": {model: read(frame) for model, frame in frames.items()},
            "parsed": {model: parsed(frames[model]) for model in task["with_completions"]},
            "outputs": [same_bytes(folder / name) for name in ("baseline.json", "model_outputs.json")],
            "odd": odd_prompts(task["odd"], task["template"]),
            "evaluated": evaluated(folder),
        }
    (folder / "found.json").write_text(json.dumps(found, default=float))


def read(frame: pd.DataFrame) -> dict[str, Any]:
    """What the package's own functions say of annotations: with cross-validation, and at the c that this chose."""
    fitted: list[Any] = []
    fit = glm_winrate.fit_LogisticRegressionCV

    def remembered(*args: Any, **kwargs: Any) -> Any:
        fitted.append(fit(*args, **kwargs))
        return fitted[-1]

    with patch.object(glm_winrate, "fit_LogisticRegressionCV", remembered):
        cross_validated = glm_winrate.get_length_controlled_winrate(frame, save_weights_dir=None)
    c = float(fitted[0].C_[0])
    fixed = {**glm_winrate.GLM_INFO["length_controlled_v1"], "kwargs": {"n_splits": 0, "C": c}}
    at_c = glm_winrate.get_length_controlled_winrate(frame, save_weights_dir=None, glm_info=fixed)
    return {"winrate": metrics.get_winrate(frame), "cross_validated": cross_validated, "c": c, "at_c": at_c}


def parsed(frame: pd.DataFrame) -> list[float | None]:
    """What the package's parser reads in the raw completions, before seats are taken back."""
    return [
        completion_parsers.logprob_parser(raw, numerator_token="m", denominator_tokens=["m", "M"], is_binarize=False)[0] if raw else None
        for raw in frame["preference_raw_completion"]
    ]


def same_bytes(file: Path) -> bool:
    """Whether pandas writes the file's rows as they stand in it."""
    return pd.DataFrame(json.loads(file.read_text())).to_json(orient="records", indent=2) == file.read_text()


def odd_prompts(rows: list[dict[str, str]], template: str) -> list[Any]:
    """The messages of rows whose texts look like parts of the template."""
    prompts, _ = utils.make_prompts(pd.DataFrame(rows), Path(template).read_text())
    return [messages(prompt) for prompt in prompts]


def messages(prompt: str) -> list[list[str]]:
    """What the package's decoder makes of a prompt."""
    return [[message["role"], message["content"]] for message in utils.prompt_to_chatml(prompt)]


def evaluated(folder: Path) -> dict[str, Any]:
    """A whole evaluation, on a judge who knows the completions of the messages in completions.json."""
    rows = json.loads((folder / "completions.json").read_text())
    known = {json.dumps(row["messages"]): row["completion"] for row in rows}
    unknown: list[Any] = []

    def judge(prompts: list[str], **_: Any) -> dict[str, Any]:
        sent = [messages(prompt) for prompt in prompts]
        unknown.extend(one for one in sent if json.dumps(one) not in known)
        completions = [known.pop(json.dumps(one), None) for one in sent]
        each = [0.0] * len(prompts)
        return {"completions": each, "completions_all": completions, "price_per_example": each, "time_per_example": each}

    class Annotator(PairwiseAnnotator):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            for annotator in self.annotators.values():
                annotator.fn_completions = judge

    alpaca_eval.evaluate(
        model_outputs=folder / "model_outputs.json",
        reference_outputs=folder / "baseline.json",
        precomputed_leaderboard=folder / "leaderboard.csv",
        output_path=folder / "evaluated",
        metric_kwargs={"save_weights_dir": None},
        is_return_instead_of_print=True,
        Annotator=Annotator,
        caching_path=None,
    )
    return {"unknown": unknown, "unasked": len(known)}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
