"""The scorecards in an evaluation's directory: later ones join those that are there, and replace none that was made otherwise."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evals.capability import CapabilityEvaluation
from evals.comparison import compare_scores
from evals.model_files import identity
from evals.protocols.running import Evaluation
from evals.whole_files import save_json
from orchestrator.cluster.candidates import is_served
from orchestrator.cluster.claims import check_same
from orchestrator.settings import BenchmarkSettings, OpenAISettings, ReplaySettings, RewardModelSettings, Settings, VllmJudgeSettings

CARD = "scorecard.json"
CAPABILITY = "capability"
Evaluated = Evaluation | CapabilityEvaluation
Asked = Mapping[str, Any]


class Scorecards:
    """`scorecards.json`. Each card holds what was `asked` for: the benchmark, what the model and the judge are, and how they answer."""

    def __init__(self, directory: Path) -> None:
        self._directory, self._file = directory, directory / "scorecards.json"
        before = json.loads(self._file.read_text(encoding="utf-8")) if self._file.is_file() else {}
        self._rows = {key: {_key(row): row for row in before.get(key, ())} for key in ("scorecards", "comparisons")}
        self.evaluations: list[Evaluated] = []

    def check(self, model: str, asked: Asked) -> None:
        """Raise UserError where a score of a model of this name was made otherwise, or is another model's."""
        for card in self._rows["scorecards"].values():
            if card["model"] == model and card.get("asked", {}).get("benchmark") == asked["benchmark"]:
                check_same(card["asked"], asked, f"a score of {model}", self._directory)

    def take(self, evaluation: Evaluated, asked: Asked) -> None:
        """Add an evaluation's cards, and compare it with the others."""
        self.evaluations.append(evaluation)
        cards, compared = self._rows["scorecards"], self._rows["comparisons"]
        for card in evaluation.cards():
            fresh = card | {"asked": asked}
            # What was found against another model is as true as before.
            found = cards.get(_key(fresh), {}).get("findings", [])
            cards[_key(fresh)] = fresh | {"findings": [*fresh["findings"], *(each for each in found if each not in fresh["findings"])]}
        compared |= {_key(row): row for row in comparisons(self.evaluations)}
        save_json(self._file, {"scorecards": list(cards.values()), "comparisons": list(compared.values())})


def comparisons(evaluations: Sequence[Evaluated]) -> list[dict[str, Any]]:
    """Each model against the first one, benchmark by benchmark and category by category."""
    first: dict[tuple[str, str], Any] = {}
    rows = []
    for score in (score for evaluation in evaluations for score in evaluation.scores):
        key = (score.benchmark, str(score.details.get("category", "")))
        if key in first:
            found = {"benchmark": score.benchmark, "category": key[1], "model": score.model, "against": first[key].model}
            rows.append(found | compare_scores(score, first[key]).as_dict())
        first.setdefault(key, score)
    return rows


def asked_of(settings: BenchmarkSettings, benchmark: str, model: str) -> Asked:
    """What a score on a benchmark, or on the capability suite, comes from."""
    told: dict[str, Any] = {"benchmark": benchmark, "model": content_behind(model)}
    if benchmark == CAPABILITY:
        assert settings.capability is not None
        return told | settings.capability.model_dump(mode="json", exclude={"tasks"})
    told |= settings.model_dump(mode="json", include={"judge", "answering", "limit"}) | {"judge content": _content_of_judge(settings.judge)}
    if benchmark == "mt_bench":
        told |= settings.model_dump(mode="json", include={"mt_bench_references"})
        told["mt_bench_baseline"] = settings.mt_bench_baseline and content_behind(str(settings.mt_bench_baseline))
    return told


def asked_of_search(settings: Settings, model: str) -> Asked:
    """What a win rate on a search's own prompts comes from."""
    evaluation = settings.evaluation.model_dump(mode="json", exclude={"prompts", "held_out", "veto"})
    told = {"model": model, "base": settings.model.base, "prompts": settings.evaluation.prompts}
    contents = {key: content_behind(str(word)) for key, word in told.items()}
    judge = {"judge": settings.judge.model_dump(mode="json"), "judge content": _content_of_judge(settings.judge)}
    return {**contents, "evaluation": evaluation, **judge}


def check_scorecard(asked: Asked, directory: Path) -> None:
    """Raise UserError where `directory` holds another win rate on a search's prompts than is `asked` for."""
    if (directory / CARD).is_file():
        written = json.loads((directory / CARD).read_text(encoding="utf-8"))
        check_same(written.get("asked", asked), asked, "a win rate", directory)


def content_behind(word: str) -> str:
    """What is in a file or a model's directory, as a hash; of a model on the hub its name with the commit, of a served one the address."""
    file = Path(word).expanduser()
    if is_served(word):
        return word
    if file.is_file():
        return hashlib.sha256(file.read_bytes()).hexdigest()[:12]
    return identity(word) if file.is_dir() else f"{word} {identity(word)}".rstrip()


def _content_of_judge(judge: Any) -> str:
    match judge:
        case VllmJudgeSettings() | RewardModelSettings():
            return content_behind(judge.model)
        case ReplaySettings():
            return content_behind(str(judge.file))
        case OpenAISettings() | _:
            return ""


def _key(row: Mapping[str, Any]) -> tuple[str, ...]:
    """What there is one row of."""
    return (row.get("asked", {}).get("benchmark", ""), *(str(row.get(key, "")) for key in ("benchmark", "category", "model", "against")))
