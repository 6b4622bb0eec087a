"""The scorecards in an evaluation's directory: later ones join those that are there, and replace none that was made otherwise."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evals.capability import CapabilityEvaluation
from evals.comparison import compared
from evals.model_files import identity, is_path
from evals.protocols.running import Evaluation
from evals.whole_files import save_json, without_nan
from orchestrator.cluster.runs.candidates import base_of_adapter, is_file, is_served
from orchestrator.cluster.runs.claims import check_same, hash_of
from orchestrator.errors import UserError
from orchestrator.settings import BenchmarkSettings, JudgeSettings, Settings

CARD = "scorecard.json"
Evaluated = Evaluation | CapabilityEvaluation
Asked = Mapping[str, Any]


class Scorecards:
    """`scorecards.json`. Each card holds what was `asked` for: the benchmark, what the model and the judge are, and how they answer.

    A figure that is not known, as the error of a single verdict, is null.
    """

    def __init__(self, directory: Path) -> None:
        self._directory, self._file = directory, directory / "scorecards.json"
        before = json.loads(self._file.read_text(encoding="utf-8")) if self._file.is_file() else {}
        self._rows = {key: {_key(row): row for row in before.get(key, ())} for key in ("scorecards", "comparisons")}
        self.evaluations: list[Evaluated] = []

    def check(self, name: str, asked: Asked) -> None:
        """Raise UserError where a benchmark was asked otherwise, or of another model of this name: its scores stand in one table."""
        for card in self._rows["scorecards"].values():
            before = card.get("asked", {})
            if before.get("benchmark") != asked["benchmark"]:
                continue
            now = _as_far_as_known(before, asked)
            if card["model"] != name:
                now = now | {"model": before["model"]}
            elif now["model"] != before["model"]:
                what = f"the scores of {name} in this directory are another model's: {before['model']}, and not {now['model']}"
                cure = "choose another --dir, or give both models in one command, which tells their names apart"
                raise UserError(what, str(self._directory), cure, code="DAA-0712")
            # How answers are made is not asked of a file of outputs.
            shared = before.keys() & now.keys()
            check_same({key: before[key] for key in shared}, {key: now[key] for key in shared}, "scores", self._directory)

    def take(self, evaluation: Evaluated, asked: Mapping[str, Asked]) -> None:
        """Add an evaluation's cards; `asked` is what was asked for, by benchmark. Compares it with the others that were taken."""
        self.evaluations.append(evaluation)
        cards, compared = self._rows["scorecards"], self._rows["comparisons"]
        for card in evaluation.cards():
            fresh = card | {"asked": asked[card["benchmark"]]}
            # What was found against another model is as true as before.
            found = cards.get(_key(fresh), {}).get("findings", [])
            cards[_key(fresh)] = fresh | {"findings": [*fresh["findings"], *(each for each in found if each not in fresh["findings"])]}
        compared |= {_key(row): row for row in comparisons(self.evaluations)}
        save_json(self._file, without_nan({"scorecards": list(cards.values()), "comparisons": list(compared.values())}))


def comparisons(evaluations: Sequence[Evaluated]) -> list[dict[str, Any]]:
    """Each model against the first one, benchmark by benchmark and category by category."""
    first: dict[tuple[str, str], Any] = {}
    rows = []
    for score in (score for evaluation in evaluations for score in evaluation.scores):
        key = (score.benchmark, str(score.details.get("category", "")))
        if key in first and (found := compared(score, first[key])) is not None:
            named = {"benchmark": score.benchmark, "category": key[1], "model": score.model, "against": first[key].model}
            rows.append(named | found.as_dict())
        first.setdefault(key, score)
    return rows


def asked_of_benchmark(settings: BenchmarkSettings, benchmark: str, model: str) -> Asked:
    """What a model's score on a benchmark comes from."""
    judge = settings.judge.model_dump(mode="json") if settings.judge else None
    told: dict[str, Any] = {"benchmark": benchmark, "model": content_behind(model), "judge": judge, "limit": settings.limit}
    told["judge_content"] = _content_of_judge(settings.judge)
    if not is_file(model):
        told["answering"] = settings.answering.model_dump(mode="json")
    if benchmark == "mt_bench":
        baseline = settings.mt_bench_baseline
        told |= {"references": settings.mt_bench_references, "baseline": content_behind(str(baseline)) if baseline else None}
    return told


def asked_of_task(settings: BenchmarkSettings, task: str, model: str) -> Asked:
    """What a model's score on a task of the capability suite comes from."""
    asked = settings.capability
    assert asked is not None
    # The tasks and their code, and not the data that they name.
    files = sorted(file for kind in ("*.yaml", "*.py") for file in asked.task_files.rglob(kind)) if asked.task_files else []
    told = {"benchmark": f"capability {task}", "model": content_behind(model), "limit": asked.limit}
    return told | {"task_files": hash_of(files), "answering": {"max_model_len": settings.answering.max_model_len}}


def asked_of_search(settings: Settings, model: str) -> Asked:
    """What a win rate on a search's own prompts comes from."""
    evaluation = settings.evaluation.model_dump(mode="json", exclude={"prompts", "held_out", "veto"})
    told = {"model": model, "base": settings.model.base, "prompts": settings.evaluation.prompts}
    contents = {key: content_behind(str(word)) for key, word in told.items()}
    judge = {"judge": settings.judge.model_dump(mode="json"), "judge_content": _content_of_judge(settings.judge)}
    return {**contents, "evaluation": evaluation, **judge}


def check_scorecard(asked: Asked, directory: Path) -> None:
    """Raise UserError where `directory` holds another win rate on a search's prompts than is `asked` for."""
    if (directory / CARD).is_file():
        before = json.loads((directory / CARD).read_text(encoding="utf-8")).get("asked", asked)
        check_same(before, _as_far_as_known(before, asked), "a win rate", directory)


def content_behind(word: str) -> str:
    """What is in a file or a model's directory, as a hash; of a model on the hub "name@commit", of a served one the address.

    A hub model that this machine does not have yet is told by its name alone, an adapter by what it holds and its base.
    """
    if is_served(word):
        return word
    if is_file(word):
        return hash_of([Path(word)])
    base = base_of_adapter(word)
    if base is not None:
        return f"{identity(word)} on {content_behind(base)}"
    return identity(word) if is_path(word) else "@".join(filter(None, (word, identity(word))))


def _content_of_judge(judge: JudgeSettings | None) -> str:
    """Of a judge on this machine. Replies that are replayed only grow, and a served judge is known by its address."""
    model = None if judge is None else judge.local_model
    return content_behind(model) if model else ""


def _as_far_as_known(before: Asked, now: Asked) -> dict[str, Any]:
    """What is asked for now, but for a hub model's commit where one of both does not know it."""
    return {key: before[key] if key in before and _may_be(before[key], value) else value for key, value in now.items()}


def _may_be(before: Any, now: Any) -> bool:
    if not isinstance(before, str) or not isinstance(now, str):
        return False
    (name, _, commit), (other, _, theirs) = before.partition("@"), now.partition("@")
    return name == other and not (commit and theirs)


def _key(row: Mapping[str, Any]) -> tuple[str, ...]:
    """What two rows have in common of which the later one replaces the other."""
    benchmark = row.get("asked", row)["benchmark"]
    return tuple(str(each) for each in (benchmark, row.get("category", ""), row["model"], row.get("against", "")))
