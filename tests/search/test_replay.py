"""A search is computed again from its answers and its ledger; what was altered is found and named."""

import random
from pathlib import Path

import pytest

from evals.answers import save_answers
from evals.generation import Decoding, Response
from evals.judging import Verdict
from evals.scorecard import Measurement, score
from orchestrator.errors import MachineError
from orchestrator.run_files import RunFiles
from orchestrator.search.ledger import Events, LedgerWriter
from orchestrator.search.plan import make_plan, race_rules
from orchestrator.search.racing import Race
from orchestrator.search.replay import replay, scores_before
from tests.search import events as made
from tests.search.test_plan import PAIRS, PROMPTS, settings

HOW = Measurement("a judge", Decoding(0.0, 1.0, 64, 0), "digest", 1.5)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A search of trials that win more and more, told from the best on; all but the first leave at once."""
    given, ledger = settings(trials=4), LedgerWriter(tmp_path / "ledger.jsonl")
    plan = make_plan(given, PAIRS, 0.0, PROMPTS, 0)
    race, rung, chance = Race(race_rules(given, plan)), plan.rungs[0], random.Random(0)
    step = given.training.checkpoint_steps(PAIRS)[0]
    ledger.append("begin", **plan.as_dict())
    for trial, rate in (("a", 0.95), ("b", 0.3), ("c", 0.2), ("d", 0.1)):
        found = [Verdict(f"p{number}", float(chance.random() < rate)) for number in range(rung.prompts)]
        answered = [Response(verdict.prompt_id, "text", 3) for verdict in found]
        event = {"trial": trial, "step": step, "verdicts": {verdict.prompt_id: verdict.candidate_score for verdict in found}}
        save_answers(RunFiles(tmp_path).answers({"event": "score", **event}), answered, found)
        ledger.append("trial", trial=trial, method="dpo", hyperparameters={}, training={})
        ledger.append("score", **event, scorecard=score(found, answered, HOW).as_dict())
        decision = race.add(trial, rung, list(event["verdicts"].values()))
        if not decision.goes_on:
            grounds = {"against": decision.against, "checkpoint_number": rung.checkpoint, "prompts": rung.prompts}
            ledger.append("end", trial=trial, status="stopped", reason=decision.reason, **grounds)
    return tmp_path


def test_all_scorecards_and_decisions_come_out_again(run: Path) -> None:
    found = replay(run, settings(trials=4))
    assert (found.scorecards, found.decisions, found.mismatches) == (4, 3, ())


def test_a_ledger_without_the_share_of_answers_cut_off_comes_out_again(run: Path) -> None:
    file = run / "ledger.jsonl"
    assert '"unfinished": 0.0' in file.read_text()
    file.write_text(file.read_text().replace(', "unfinished": 0.0', ""))
    assert replay(run, settings(trials=4)).mismatches == ()


def test_a_reason_that_the_verdicts_do_not_give_is_named_with_its_trial(run: Path) -> None:
    file = run / "ledger.jsonl"
    file.write_text(file.read_text().replace("behind", "ahead", 1))
    [mismatch] = replay(run, settings(trials=4)).mismatches
    assert mismatch.what == "end b: reason"
    assert "ahead" in mismatch.written and "behind" in mismatch.computed


@pytest.mark.parametrize("lost", ["trial", "score"])
def test_a_decision_whose_grounds_were_taken_out_of_the_ledger_is_named(run: Path, lost: str) -> None:
    file = run / "ledger.jsonl"
    file.write_text("".join(line for line in file.open() if not line.startswith(f'{{"event": "{lost}"') or '"trial": "b"' not in line))
    [mismatch] = replay(run, settings(trials=4)).mismatches
    assert mismatch.what == "end b: reason"
    assert "the ledger lacks the verdicts" in mismatch.computed


def test_a_race_without_its_beginning_is_not_replayed(run: Path) -> None:
    file = run / "ledger.jsonl"
    file.write_text("".join(line for line in file.open() if '"event": "begin"' not in line))
    with pytest.raises(MachineError, match="how the search began") as refused:
        replay(run, settings(trials=4))
    assert (refused.value.code, refused.value.where) == ("DAA-0702", str(file))


def test_a_score_is_heard_at_its_rung_also_where_the_line_of_its_checkpoint_was_taken_out() -> None:
    earlier = [made.began(), made.saved("a", 10), made.scored("a", 10, 50.0), made.scored("a", 20, 60.0)]
    heard = [(trial, rung.checkpoint) for trial, rung, _ in scores_before(Events([*earlier, made.began()]))]
    assert heard == [("a", 1), ("a", 2)]
