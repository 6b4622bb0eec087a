"""Whatever happens in whatever order, a trial is in one place, ends once, and the ledger can tell the board again."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from orchestrator.errors import MachineError
from orchestrator.search.board import Board, Job, Status, TrialRecord
from orchestrator.search.ledger import Event
from orchestrator.search.trial import Trial
from tests.search import events as made

GANGS = ("gang-0", "gang-1", "gang-2")
STEPS = (10, 20, 30)
MAX_ATTEMPTS = 2
OVER = st.sampled_from([status for status in Status if status.is_over])


def trial(number: int) -> Trial:
    """The trial of that number."""
    return Trial(f"{number:03d}", "dpo", {"beta": 0.1 * number}, {})


class Search(RuleBasedStateMachine):
    """The hub's side of a search: it tells the board what happened and writes what the hub writes.

    `held` is the truth: which job each living worker group has in its hands, and the next step that it will save. `leaving` are the groups
    that were told to leave their trial and have not said yet that they did; `given_back` are the trials of dead groups.
    """

    def __init__(self) -> None:
        super().__init__()
        self.board = Board(MAX_ATTEMPTS)
        self.ledger: list[Event] = []
        self.held: dict[str, tuple[Job, int]] = {}
        self.over: dict[str, Status] = {}
        self.leaving: dict[str, str] = {}
        self.given_back: set[str] = set()

    @rule(number=st.integers(1, 5))
    def submit(self, number: int) -> None:
        """A searcher submits a trial, perhaps again."""
        is_new = f"{number:03d}" not in self.board.records
        assert self.board.submit(trial(number)) == is_new
        if is_new:
            self.ledger.append(made.joined(trial(number)))

    @rule(gang=st.sampled_from(GANGS))
    def ask_for_work(self, gang: str) -> None:
        """A worker group asks; if it has a job it has died and come back."""
        lost = self.held.pop(gang, None)
        self.leaving.pop(gang, None)
        killer = self.board.take_back(gang)
        if lost is not None and killer is None:
            self.given_back.add(lost[0].trial.id)
        if killer is not None:
            assert lost is not None and lost[0].trial.id == killer and lost[1] == 0
            self._end(killer, Status.FAILED)
        job = self.board.next_job(gang)
        if job is not None:
            assert job.trial.id not in self.over
            assert job.trial.id not in [other.trial.id for other, _ in self.held.values()]
            self.held[gang] = (job, 0)
            self.given_back.discard(job.trial.id)
            self.ledger.append(made.attempted(job.trial.id, job.attempt, gang=gang))

    @rule(gang=st.sampled_from(GANGS))
    def lose(self, gang: str) -> None:
        """A worker group is gone, which the hub is told and writes down."""
        if gang not in self.held:
            return
        job, _ = self.held.pop(gang)
        self.ledger.append({"event": "lost", "trial": job.trial.id, "gang": gang})
        if (killer := self.board.take_back(gang)) is not None:
            self._end(killer, Status.FAILED)

    @rule(gang=st.sampled_from(GANGS), waits=st.booleans())
    def save(self, gang: str, waits: bool) -> None:
        """A worker group saves its next checkpoint, and goes on or leaves the trial, which is paused there."""
        if gang not in self.held or self.held[gang][1] == len(STEPS):
            return
        job, done = self.held[gang]
        self.board.adopt(gang, job.trial.id)
        if self.board.checkpoint(job.trial.id, STEPS[done], f"{job.trial.id}/{STEPS[done]}"):
            assert job.trial.id not in self.over
            self.ledger.append(made.saved(job.trial.id, STEPS[done], job.attempt))
        self.held[gang] = (job, done + 1)
        if waits and self.board.pause(job.trial.id):
            assert job.trial.id not in self.over
            del self.held[gang]
            self.leaving[gang] = job.trial.id
            self.ledger.append(made.paused(job.trial.id, STEPS[done]))

    @rule(gang=st.sampled_from(GANGS))
    def leave(self, gang: str) -> None:
        """A worker group says that it left a trial that was paused, which another one may have by this time."""
        if gang in self.leaving:
            name = self.leaving.pop(gang)
            self.board.trained(gang, name)
            self.ledger.append(made.trained(name, gang))

    @rule(number=st.integers(1, 5))
    def resume(self, number: int) -> None:
        """The search asks for more of a trial, whether or not it is paused."""
        name = f"{number:03d}"
        if name in self.board.records and self.board.resume(name):
            assert name not in self.over
            self.ledger.append(made.resumed(name))

    @rule(gang=st.sampled_from(GANGS), failed=st.booleans())
    def finish(self, gang: str, failed: bool) -> None:
        """A worker group comes to the end of its trial, or its configuration cannot be trained."""
        if gang not in self.held:
            return
        job, _ = self.held.pop(gang)
        self.board.trained(gang, job.trial.id)
        self.ledger.append(made.trained(job.trial.id, gang))
        if failed:
            self._end(job.trial.id, Status.FAILED)
        elif self.board.is_complete(job.trial.id):
            self._end(job.trial.id, Status.COMPLETED)

    @rule(data=st.data(), win_rate=st.floats(0, 100))
    def score(self, data: st.DataObject, win_rate: float) -> None:
        """An evaluation comes back; the hub drops it when the trial is over."""
        waiting = [(record.trial.id, step) for record in self.board.records.values() for step in record.pending]
        if not waiting:
            return
        name, step = data.draw(st.sampled_from(waiting))
        if name in self.over:
            return
        event = made.scored(name, step, win_rate)
        self.ledger.append(event)
        self.board.scored(event)
        if self.board.is_complete(name):
            self._end(name, Status.COMPLETED)

    @rule(number=st.integers(1, 5), status=OVER)
    def stop(self, number: int, status: Status) -> None:
        """The search is done with a trial, perhaps a second time."""
        name = f"{number:03d}"
        if name in self.board.records:
            self._end(name, status)

    @rule()
    def resume_after_everything_died(self) -> None:
        """The driver, the hub and all groups are gone; another session begins from the ledger, and what was under way waits."""
        self.given_back.clear()
        self.held.clear()
        self.leaving.clear()
        self.ledger.append(made.began())
        self.board = Board.rebuilt(self.ledger, MAX_ATTEMPTS)

    @invariant()
    def no_trial_is_on_two_gangs(self) -> None:
        """What groups hold is told apart, and a held trial does not wait."""
        names = [job.trial.id for job, _ in self.held.values()]
        assert len(names) == len(set(names))
        assert all(self.board.records[name].status is Status.TRAINING or name in self.over for name in names)

    @invariant()
    def a_trial_that_is_over_stays_as_it_ended(self) -> None:
        """Nothing changes how a trial ended."""
        assert {name: record.status for name, record in self.board.records.items() if record.status.is_over} == self.over

    @invariant()
    def attempts_are_few(self) -> None:
        """No trial is handed out more often than it may be without reaching another checkpoint."""
        assert all(record.fruitless <= MAX_ATTEMPTS for record in self.board.records.values())

    @invariant()
    def a_checkpoint_is_pending_or_scored_but_not_both(self) -> None:
        """No checkpoint is paid for twice."""
        assert all(record.pending.keys().isdisjoint(record.scores) for record in self.board.records.values())

    @invariant()
    def the_ledger_tells_the_board_again(self) -> None:
        """A trial that a dead group gave back is still that group's; everything else is as it was."""
        rebuilt = Board.rebuilt(self.ledger, MAX_ATTEMPTS)
        assert list(rebuilt.records.values()) == [self._as_rebuilt(record) for record in self.board.records.values()]

    def _end(self, name: str, status: Status) -> None:
        if self.board.end(name, status):
            assert name not in self.over
            self.over[name] = status
            self.ledger.append(made.ended(name, str(status)))

    def _as_rebuilt(self, record: TrialRecord) -> TrialRecord:
        is_given_back = record.status is Status.WAITING and record.trial.id in self.given_back
        return replace(record, status=Status.TRAINING) if is_given_back else record


Search.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None, derandomize=True)
test_any_order_of_events_keeps_every_trial_in_one_place_and_the_ledger_true: type[Any] = Search.TestCase


@pytest.fixture
def board() -> Board:
    """A board with two trials that wait."""
    made_board = Board(MAX_ATTEMPTS)
    made_board.submit(trial(1))
    made_board.submit(trial(2))
    return made_board


def test_trials_are_handed_out_in_the_order_of_their_submission(board: Board) -> None:
    assert [board.next_job(gang) for gang in GANGS] == [Job(trial(1), 1), Job(trial(2), 1), None]


def test_a_trial_whose_workers_died_goes_first_and_counts_its_attempts(board: Board) -> None:
    board.next_job("gang-0")
    assert board.take_back("gang-0") is None
    assert board.next_job("gang-1") == Job(trial(1), 2)


@pytest.mark.parametrize("is_rebuilt", [False, True])
def test_a_group_that_comes_back_leaves_its_former_trial_to_the_one_that_has_it(board: Board, is_rebuilt: bool) -> None:
    board.next_job("gang-0")
    board.take_back("gang-0")
    board.next_job("gang-1")
    if is_rebuilt:
        joined = [made.joined(trial(1)), made.joined(trial(2))]
        board = Board.rebuilt([*joined, made.attempted("001"), made.attempted("001", 2, gang="gang-1")], MAX_ATTEMPTS)
    assert board.take_back("gang-0") is None
    assert board.next_job("gang-0") == Job(trial(2), 1)


def test_a_trial_that_kills_its_workers_is_named_when_its_attempts_are_used(board: Board) -> None:
    for _ in range(MAX_ATTEMPTS):
        assert board.take_back("gang-0") is None
        board.next_job("gang-0")
    assert board.take_back("gang-0") == "001"


def test_what_was_under_way_when_its_session_ended_does_not_count_as_a_death_of_its_workers() -> None:
    events = [made.joined(trial(1))]
    for attempt in range(1, MAX_ATTEMPTS + 3):
        events += [made.began(), made.attempted("001", attempt)]
    rebuilt = Board.rebuilt([*events, made.began()], MAX_ATTEMPTS)
    assert rebuilt.records["001"].fruitless == 0
    for attempt in range(MAX_ATTEMPTS):
        assert rebuilt.take_back("gang-0") is None
        assert rebuilt.next_job("gang-0") == Job(trial(1), MAX_ATTEMPTS + 3 + attempt)
    assert rebuilt.take_back("gang-0") == "001"


def test_a_group_that_asks_after_its_trial_was_stopped_gets_the_next_one(board: Board) -> None:
    board.next_job("gang-0")
    board.end("001", Status.STOPPED)
    assert board.take_back("gang-0") is None
    assert board.next_job("gang-0") == Job(trial(2), 1)


@pytest.mark.parametrize("again", [lambda board: None, lambda board: board.scored(made.scored("001", 10, 60.0))])
def test_a_checkpoint_that_is_known_is_not_scored_again(again: Callable[[Board], None], board: Board) -> None:
    board.next_job("gang-0")
    assert board.checkpoint("001", 10, "directory")
    again(board)
    assert not board.checkpoint("001", 10, "directory")


def test_a_trial_is_complete_when_it_is_trained_and_its_last_checkpoint_scored(board: Board) -> None:
    board.next_job("gang-0")
    board.checkpoint("001", 10, "directory")
    board.trained("gang-0", "001")
    assert not board.is_complete("001")
    board.scored(made.scored("001", 10, 60.0))
    assert board.is_complete("001")


def test_the_best_and_the_last_checkpoint_are_kept(board: Board) -> None:
    for step, win_rate in ((10, 40.0), (20, 60.0), (30, 50.0)):
        board.scored(made.scored("001", step, win_rate))
    assert board.steps_to_keep("001") == {20, 30}
    assert board.steps_to_keep("002") == set()


def test_a_trial_under_way_is_not_handed_to_another_group_by_a_rebuilt_board() -> None:
    rebuilt = Board.rebuilt([made.joined(trial(1)), made.attempted("001")], MAX_ATTEMPTS)
    assert rebuilt.next_job("gang-1") is None
    assert rebuilt.take_back("gang-0") is None
    assert rebuilt.next_job("gang-1") == Job(trial(1), 2)


def test_a_trained_trial_whose_scores_came_later_is_complete_on_a_rebuilt_board() -> None:
    events = [made.joined(trial(1)), made.attempted("001"), made.saved("001", 10), made.trained("001"), made.scored("001", 10, 60.0)]
    assert Board.rebuilt(events, MAX_ATTEMPTS).is_complete("001")


def test_a_trial_whose_joining_was_taken_out_of_the_ledger_is_not_known_and_begins_anew_when_it_joins_again() -> None:
    told = [made.attempted("001"), made.saved("001", 10), made.scored("001", 10, 60.0), made.trained("001"), made.ended("001", "completed")]
    board = Board.rebuilt([made.joined(trial(2)), *told], MAX_ATTEMPTS)
    assert list(board.records) == ["002"]
    assert board.submit(trial(1))
    again = Board.rebuilt([made.joined(trial(2)), *told, made.joined(trial(1))], MAX_ATTEMPTS)
    assert again.records["001"] == board.records["001"] == TrialRecord(trial(1))


@pytest.mark.parametrize(
    "event",
    [
        made.ended("001", "exploded"),
        {"event": "end", "trial": "001"},
        {"event": "attempt", "gang": "gang-0"},
        {"event": "score", "trial": "001", "scorecard": {}},
        {"event": "trial", "trial": "002"},
        {"event": "trained", "trial": ["001"], "gang": "gang-0"},
    ],
)
def test_a_line_that_lacks_what_its_event_needs_is_named(event: Event) -> None:
    with pytest.raises(MachineError, match="the ledger is damaged") as refused:
        Board.rebuilt([made.joined(trial(1)), event], MAX_ATTEMPTS)
    assert (refused.value.code, refused.value.where) == ("DAA-0702", "ledger.jsonl:2")


def test_every_end_is_an_end_and_nothing_else_is() -> None:
    assert {status for status in Status if status.is_over} == {Status.STOPPED, Status.FAILED, Status.CENSORED, Status.COMPLETED}


def test_a_checkpoint_stays_pending_until_nothing_more_is_asked_about_it(board: Board) -> None:
    board.next_job("gang-0")
    board.checkpoint("001", 10, "directory")
    board.trained("gang-0", "001")
    first = made.scored("001", 10, 60.0, scorecard=made.scorecard(60.0, judged=23), whole=False)
    board.scored(first)
    assert not board.is_complete("001")
    last = made.scored("001", 10, 55.0)
    board.scored(last)
    assert board.is_complete("001")
    assert board.records["001"].score_after(0, 0) == first
    assert board.records["001"].score_after(10, 25) == last
    assert board.records["001"].score_after(10, 102) is None


def test_a_run_of_the_finals_is_not_scored_on_the_way_and_keeps_its_last_checkpoint(board: Board) -> None:
    run = replace(trial(1), id="001-seed1")
    board.submit(run, 20)
    assert not board.checkpoint(run.id, 10, "directory")
    assert board.records[run.id].pending == {}
    assert board.steps_to_keep(run.id) == {20}
    rebuilt = Board.rebuilt([made.joined(run, 20, "001"), made.saved(run.id, 10)], MAX_ATTEMPTS)
    assert (rebuilt.records[run.id].until, rebuilt.records[run.id].pending) == (20, {})


def test_a_paused_trial_gives_its_group_back_and_is_queued_behind_the_others_when_it_is_resumed(board: Board) -> None:
    board.next_job("gang-0")
    board.checkpoint("001", 10, "directory")
    assert board.pause("001")
    assert not board.is_training
    assert board.take_back("gang-0") is None
    assert board.next_job("gang-0") == Job(trial(2), 1)
    assert board.next_job("gang-1") is None
    assert board.resume("001")
    assert not board.resume("001")
    assert board.next_job("gang-1") == Job(trial(1), 2)


def test_a_group_that_leaves_a_paused_trial_late_takes_it_from_no_other_group(board: Board) -> None:
    board.next_job("gang-0")
    board.pause("001")
    board.resume("001")
    board.next_job("gang-1")
    board.next_job("gang-2")
    board.trained("gang-0", "001")
    assert board.records["001"].status is Status.TRAINING


def test_pauses_are_no_failed_attempts(board: Board) -> None:
    for _ in range(MAX_ATTEMPTS + 1):
        job = board.next_job("gang-0")
        while job is not None and job.trial.id != "001":
            board.end(job.trial.id, Status.STOPPED)
            job = board.next_job("gang-0")
        board.pause("001")
        board.resume("001")
    board.next_job("gang-0")
    assert board.take_back("gang-0") is None


def test_a_trial_that_is_over_is_neither_paused_nor_resumed(board: Board) -> None:
    board.end("001", Status.STOPPED)
    assert not board.pause("001")
    assert not board.resume("001")


def test_a_run_that_takes_up_anothers_training_waits_there_until_it_is_asked_for_and_is_scored_after_it_only() -> None:
    run = replace(trial(1), id="001@2")
    events = [made.joined(run, parent="002", from_step=20)]
    taken = Board.rebuilt(events, MAX_ATTEMPTS)
    assert taken.records[run.id].status is Status.PAUSED
    assert taken.records[run.id].told == (20, 0)
    assert taken.next_job("gang-0") is None
    taken.resume(run.id)
    assert taken.next_job("gang-0") == Job(run, 1)
    assert not taken.checkpoint(run.id, 20, "directory")
    assert taken.checkpoint(run.id, 30, "directory")


def test_in_a_new_session_who_asks_first_goes_on_with_what_was_under_way_whoever_had_it() -> None:
    joined = [made.joined(trial(1)), made.joined(trial(2)), made.joined(trial(3))]
    rebuilt = Board.rebuilt([*joined, made.attempted("001"), made.attempted("002", gang="gang-7"), made.began()], MAX_ATTEMPTS)
    assert [rebuilt.next_job(gang).trial.id for gang in ("gang-2", "gang-0", "gang-1")] == ["001", "002", "003"]  # pyright: ignore[reportOptionalMemberAccess]


def test_a_checkpoint_that_is_lost_when_it_is_partly_judged_is_judged_again_when_it_is_trained_again(board: Board) -> None:
    board.next_job("gang-0")
    assert board.checkpoint("001", 10, "directory")
    board.scored(made.scored("001", 10, 60.0, whole=False))
    board.damaged("001", 10)
    assert board.checkpoint("001", 10, "directory")
    board.scored(made.scored("001", 10, 60.0))
    assert not board.checkpoint("001", 10, "directory")
