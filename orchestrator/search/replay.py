"""Every number of a search again, from what its models answered and its judge said; nothing is asked, no library of models is loaded."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evals.answers import load_answers
from evals.generation import Decoding
from evals.guards import Finding
from evals.scorecard import Measurement, score
from orchestrator.errors import MachineError, UserError
from orchestrator.run_files import RunFiles
from orchestrator.search.goal import asked
from orchestrator.search.ledger import Event, Events, read_ledger
from orchestrator.search.plan import SearchPlan, race_rules
from orchestrator.search.racing import Rung, Scores, compare
from orchestrator.settings import Settings


@dataclass(frozen=True)
class Mismatch:
    """A number that came out otherwise: what it is, what was written and what is computed."""

    what: str
    written: Any
    computed: Any


@dataclass(frozen=True)
class Replay:
    """How many scorecards and decisions were computed again, and those that differ."""

    scorecards: int
    decisions: int
    mismatches: tuple[Mismatch, ...]


def replay(directory: Path, settings: Settings) -> Replay:
    """Compute every scorecard of a search from its answers, and every decision of its race from its verdicts; compare to the last digit.

    Raises UserError where there is no ledger, or where answers are missing.
    """
    if not RunFiles(directory).ledger.is_file():
        raise UserError("there is no search to replay: no ledger.jsonl", str(directory), "give the directory of a search")
    events = read_ledger(RunFiles(directory).ledger)
    scored, decided = events.judged, [event for event in events.of("end") if "checkpoint_number" in event]
    mismatches = [found for event in scored for found in _scorecard(directory, event)]
    if decided:
        heard = _Heard.of(events, settings, directory)
        mismatches += [found for event in decided for found in _decision(event, heard)]
    return Replay(len(scored), len(decided), tuple(mismatches))


def scores_before(events: Events) -> Iterator[tuple[str, Rung, Scores]]:
    """What the race was told in earlier sessions than the latest: trial, rung and verdicts, in order."""
    earlier = _earlier(events)
    steps: dict[str, set[int]] = defaultdict(set)
    for event in earlier.of("checkpoint", "score"):
        steps[event["trial"]].add(event["step"])
    for event in earlier.of("score"):
        checkpoint = 1 + sorted(steps[event["trial"]]).index(event["step"])
        yield event["trial"], Rung(checkpoint, asked(event)), list(event["verdicts"].values())


def scored_before(events: Events) -> set[tuple[str, int]]:
    """Which runs had a score at which step in earlier sessions than the latest."""
    return {(event["trial"], event["step"]) for event in _earlier(events).of("score")}


def _earlier(events: Events) -> Events:
    return Events(events[: -len(events.session)])


def _scorecard(directory: Path, event: Event) -> Iterator[Mismatch]:
    """What differs between a scorecard and the one that its answers make; a rung's answers are the first of its checkpoint's."""
    file, card = RunFiles(directory).answers(event), event["scorecard"]
    if not file.is_file():
        raise UserError("the answers of a score are missing", str(file), "restore the directory `responses`")
    responses, verdicts = load_answers(file)
    responses, verdicts = responses[: asked(event)], verdicts[: asked(event)]
    findings = tuple(Finding(**finding) for finding in card["findings"])
    how = (card["judge"], Decoding(**card["decoding"]), card["prompts_sha256"], card["seconds"], 1.0)
    again = _plain(score(verdicts, responses, Measurement(*how, findings)).as_dict())
    # A ledger may be older than this figure.
    card = {"unfinished": again["unfinished"], **card}
    where = " ".join(str(event[key]) for key in ("event", "trial", "run", "step") if key in event)
    yield from (Mismatch(f"{where}: {key}", card.get(key), value) for key, value in again.items() if card.get(key) != value)
    by_prompt = {verdict.prompt_id: verdict.candidate_score for verdict in verdicts}
    for prompt in by_prompt.keys() | event["verdicts"].keys():
        written, computed = event["verdicts"].get(prompt), by_prompt.get(prompt)
        if written != computed:
            yield Mismatch(f"{where}: verdict on {prompt}", written, computed)


@dataclass(frozen=True)
class _Heard:
    """What the race was told: how each trial joined, and its last score at each step."""

    settings: Settings
    plan: SearchPlan
    joined: Mapping[str, Event]
    scores: Mapping[tuple[str, int], Event]

    @staticmethod
    def of(events: Events, settings: Settings, directory: Path) -> "_Heard":
        """At once, since every decision asks for it. Raises MachineError for a ledger without a beginning."""
        begun = events.first("begin")
        if begun is None:
            what, cure = "the ledger does not tell how the search began, so its race cannot be replayed", "restore the file"
            raise MachineError(what, str(RunFiles(directory).ledger), cure, code="DAA-0702")
        plan = SearchPlan.of(begun)
        joined = {event["trial"]: event for event in events.of("trial")}
        return _Heard(settings, plan, joined, {(event["trial"], event["step"]): event for event in events.of("score")})

    def at(self, trial: str, rung: Rung) -> Scores | None:
        """A trial's verdicts at a rung, in the order in which they were asked for; None where the ledger does not have them any more."""
        if trial not in self.joined:
            return None
        training = self.settings.training.model_copy(update=dict(self.joined[trial]["training"]))
        score = self.scores.get((trial, training.checkpoint_steps(self.plan.pairs)[rung.checkpoint - 1]))
        return None if score is None else list(score["verdicts"].values())[: rung.prompts]


def _decision(end: Event, heard: _Heard) -> Iterator[Mismatch]:
    """What differs between the reason for which a trial left the race and the one that its verdicts give, against the same leader."""
    rung = Rung(end["checkpoint_number"], end["prompts"])
    own, leader = (heard.at(trial, rung) for trial in (end["trial"], end["against"]))
    computed = "nothing, for the ledger lacks the verdicts"
    if own is not None and leader is not None:
        computed = compare(own, end["against"], leader, rung, race_rules(heard.settings, heard.plan)).reason
    if computed != end["reason"]:
        yield Mismatch(f"end {end['trial']}: reason", end["reason"], computed)


def _plain(card: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON has it."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in card.items()}
