"""What the screen shows while a search runs: one line for each event, and the table at the end."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any, TextIO

from rich.console import RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from orchestrator.figures import with_interval
from orchestrator.output import screen_kept_from
from orchestrator.preferences.rows import BadRow, SetAside, write_quarantine
from orchestrator.report import words
from orchestrator.report.following import Follower
from orchestrator.report.progress import Progress
from orchestrator.report.terminal import console
from orchestrator.run_files import RunFiles
from orchestrator.search.leaderboard import BASE, Row
from orchestrator.search.trial import Trial

_WIDTH_OF_A_PIPE = 160
_TELLS_EVERY_S = 300.0
_TELLS_OF_STEPS_EVERY_S = 10.0


class Narrator:
    """Writes to a terminal with colour, to anything else as plain lines."""

    def __init__(self, screen: TextIO) -> None:
        self._console = console(screen, _WIDTH_OF_A_PIPE)
        self._started = time.monotonic()
        self._best = (0, 0.0)
        self._troubles: set[tuple[str, str]] = set()

    def say(self, text: str) -> None:
        """One line with the time since the start."""
        minutes, seconds = divmod(int(time.monotonic() - self._started), 60)
        self._console.print(f"[dim]{minutes:02d}:{seconds:02d}[/dim]  {text}", soft_wrap=True)

    def say_path(self, text: str, path: object) -> None:
        """One line that ends with a path, whatever characters it has."""
        self.say(f"{text} {escape(str(path))}")

    def data_read(self, kinds: Sequence[str], unused: Iterable[BadRow | SetAside], directory: Path) -> None:
        """What the data were taken for; rows that gave no pair are counted here and listed in `directory`."""
        for line in kinds:
            self.say(escape(line))
        file = directory / "quarantine.jsonl"
        # That of an earlier run in the same directory, whose data were others.
        file.unlink(missing_ok=True)
        if next(iter(unused), None) is not None:
            count = write_quarantine(file, unused)
            self.say_path(f"{count} rows give no pair to train on; each with its place and the reason:", file)

    def trial_started(self, trial: Trial) -> None:
        """A trial joined the queue."""
        self.say(f"[cyan]{trial.id}[/cyan] joins: {words.hyperparameters(trial.described())}")

    def scored(self, trial: Trial, result: Mapping[str, Any]) -> None:
        """A checkpoint was scored."""
        rank = (result["prompts"], result["win_rate"])
        best = "  [green]best[/green]" if rank > self._best else ""
        self._best = max(self._best, rank)
        number = f"{with_interval(result)} on {result['prompts']} prompts"
        where = f"checkpoint {result['checkpoint']}/{result['checkpoints']}, step {result['step']}"
        self.say(f"[cyan]{trial.id}[/cyan] {where}: win rate {number}{best}")
        trouble = (trial.id, result.get("health", ""))
        if result.get("cure") and trouble not in self._troubles:
            self._troubles.add(trouble)
            self.say(f"[cyan]{trial.id}[/cyan] [yellow]{trouble[1]}[/yellow]: {escape(result['cure'])}")

    def trial_ended(self, trial: Trial, end: str, step: int) -> None:
        """The search is done with a trial."""
        self.say(f"[cyan]{trial.id}[/cyan] {escape(end)} after step {step}")

    def finalist_scored(self, event: Mapping[str, Any]) -> None:
        """A finalist, trained under one seed, was scored on held-out prompts."""
        card = event["scorecard"]
        number = f"{with_interval(card)} on {card['judged']} held-out prompts"
        self.say(f"[cyan]{event['trial']}[/cyan] seed {event['seed']}: win rate {number}")

    def table(self, rows: Sequence[Row], title: str) -> None:
        """The leaderboard."""
        table = Table(title=title, title_justify="left")
        for heading in ("", "trial", "hyperparameters", "win rate % (95 %)", "length", "step", "stopped at", "seconds", "status"):
            table.add_column(heading, overflow="fold")
        for place, row in enumerate(rows, 1):
            numbers = (
                words.length(row.mean_length, row.unfinished),
                _text(row.step),
                _text(row.stopped_at),
                _text(row.seconds),
            )
            style = "dim" if row.trial == BASE else "bold" if place == 1 else ""
            table.add_row(
                str(place),
                row.trial,
                escape(words.hyperparameters(row.hyperparameters)),
                words.win_rate(row),
                *numbers,
                escape(row.status),
                style=style,
            )
        self._console.print(table)

    @contextmanager
    def waiting(self, text: str) -> Iterator[None]:
        """Say what is being waited for, whatever characters it has; a terminal shows that something moves."""
        text = escape(text)
        self.say(text)
        if self._console.is_terminal:
            with self._console.status(text):
                yield
        else:
            yield

    @contextmanager
    def following(self, directory: Path, planned: int) -> Iterator[None]:
        """While a search runs: a terminal has its best trials, spending and projection below the story, others a line now and then."""
        follower = Follower(directory, planned)
        with self._beside(follower, lambda: "; ".join(follower.glance().in_words), _TELLS_EVERY_S):
            yield

    @contextmanager
    def training(self, progress: Progress) -> Iterator[None]:
        """While a model is trained: a terminal has a bar and the last step's figures below the story, others a line now and then."""

        def told() -> str:
            progress.look()
            return progress.in_words()

        with self._beside(progress, told, _TELLS_OF_STEPS_EVERY_S):
            yield
        progress.look()

    @contextmanager
    def _beside(self, shown: RenderableType, in_words: Callable[[], str], every_s: float) -> Iterator[None]:
        if self._console.is_terminal:
            with Live(shown, console=self._console, refresh_per_second=1, transient=True, redirect_stdout=False, redirect_stderr=False):
                yield
            return
        is_over = Event()
        beside = Thread(target=self._tell_now_and_then, args=(in_words, every_s, is_over), daemon=True)
        beside.start()
        try:
            yield
        finally:
            is_over.set()
            beside.join()

    def _tell_now_and_then(self, in_words: Callable[[], str], every_s: float, is_over: Event) -> None:
        last = ""
        while not is_over.wait(every_s):
            if (line := in_words()) != last:
                self.say(escape(line))
                last = line


class _Stage:
    narrator: Narrator | None = None


def narrator() -> Narrator:
    """The narrator of this process; outside of `narrated`, one on its standard output."""
    return _Stage.narrator or Narrator(sys.stdout)


@contextmanager
def narrated(log: Path, is_search: bool = False) -> Iterator[Narrator]:
    """A new narrator that has the screen to itself; everything else this process prints goes to `log`.

    Left by Ctrl-C, it says how to go on in the directory above that of the log: by resuming a search that has begun, or the same command.
    """
    directory = log.parents[1]
    with screen_kept_from(log) as screen:
        story = _Stage.narrator = Narrator(screen)
        try:
            yield story
        except KeyboardInterrupt:
            if is_search and RunFiles(directory).settings.is_file():
                story.say_path("stopped, and nothing that was measured is lost. To go on: daa search --resume", directory)
            else:
                story.say_path("stopped. What it goes on with: the same command and --dir", directory)
            raise
        finally:
            _Stage.narrator = None


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:g}"
