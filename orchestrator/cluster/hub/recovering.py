"""Where a search stood when its hub, or all of it, ended."""

from collections.abc import Sequence
from pathlib import Path

from orchestrator.cluster.hub.journal import Journal
from orchestrator.cluster.session import stands_in
from orchestrator.run_files import RunFiles
from orchestrator.search.board import Board
from orchestrator.search.ledger import Event, read_ledger
from orchestrator.training.tidying import forget_optimizer, is_whole


async def taken_up(events: Sequence[Event], max_attempts: int, journal: Journal, is_restart: bool) -> Board:
    """The board as the ledger tells it. After a restart of the hub alone, workers go on meanwhile; in a new session nobody trains yet."""
    if is_restart:
        return Board.rebuilt(events, max_attempts)
    board = Board.rebuilt([*events, {"event": "begin"}], max_attempts)
    await _give_up_damaged(board, journal)
    return board


def was_begun(directory: Path, sessions: int, is_beginning: bool) -> bool:
    """Whether this process stands in for one that died after it had begun the session that follows so many, or begins it already.

    Before that, its driver begins it: worker groups that ask meanwhile wait.
    """
    return stands_in() and (is_beginning or len(read_ledger(RunFiles(directory).ledger, "begin")) > sessions)


async def _give_up_damaged(board: Board, journal: Journal) -> None:
    """Have trials trained again whose checkpoints were cut short, or are gone, before they were scored."""
    for record in [each for each in board.records.values() if not each.status.is_over]:
        lost = {step: Path(checkpoint) for step, checkpoint in record.pending.items() if not is_whole(Path(checkpoint), "model/")}
        for step, checkpoint in lost.items():
            # From a later step, training would not come to this one.
            for path in checkpoint.parent.glob("step-*"):
                forget_optimizer(path)
            await journal.write("damaged", trial=record.trial.id, step=step, checkpoint=str(checkpoint))
            board.damaged(record.trial.id, step)
