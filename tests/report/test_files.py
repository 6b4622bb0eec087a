"""The reports hold every number, need no network, and show hostile text as text."""

import json
from html.parser import HTMLParser
from pathlib import Path

import pytest

from orchestrator.report.files import write_reports
from orchestrator.report.page.html import page
from orchestrator.report.page.learning import MOST_CURVES
from orchestrator.report.page.run import Run
from orchestrator.report.telling import answer_ready
from orchestrator.search.board import Board
from orchestrator.search.leaderboard import leaderboard, winner
from orchestrator.search.ledger import Event, Events, read_ledger
from orchestrator.search.progress import progress_in
from orchestrator.search.trial import Trial
from tests.report import searched
from tests.search import events as made

HOSTILE = "</script><script src='http://evil.example/x.js'>alert(1)</script><img src=x onerror=alert(2)>"
LOADING = {"src", "href", "srcset", "data", "action", "poster"}


class Tags(HTMLParser):
    """Every tag of a page with its attributes; what is inside a script is no tag."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep a tag."""
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Keep text."""
        self.words.append(data)


def ledger(trial: str, reason: str = "", checkpoint: str = "model") -> list[Event]:
    """A trial that was scored twice, one that failed, and the finals."""
    fallen = Trial("002-ipo", "ipo", {"beta": 0.1}, {})
    score = made.scored(trial, 20, 60.0)
    return [
        made.began(),
        made.baseline(),
        made.joined(Trial(trial, "dpo", {"beta": 0.1}, {})),
        made.joined(fallen),
        made.scored(trial, 10, 55.0),
        {**score, "checkpoint": checkpoint},
        made.ended(trial, "completed"),
        made.ended(fallen.id, "failed", reason),
        made.held_out(trial, made.verdicts(*[1.0, 0.5, 0.0, 0.82] * 25), mean_length=80.0),
    ]


def html(events: list[Event], title: str = "run") -> str:
    """The page of these events."""
    known = Events(events)
    rows = leaderboard(known)
    return page(Run(title, known, rows, answer_ready(known, rows)))


def test_the_page_names_the_trials_their_numbers_and_the_verdict() -> None:
    words = " ".join(Tags(html(ledger("001-dpo", "the loss is not a number"))).words)
    for expected in (
        "001-dpo",
        "60.0 (55.0–65.0)",
        "failed: the loss is not a number",
        "not scored",
        "58.0 % (95 %",
        "100 held-out prompts",
        "Finals",
    ):
        assert expected in words


def test_the_page_loads_nothing_from_anywhere() -> None:
    tags = Tags(html(ledger("001-dpo"))).found
    assert [(tag, attributes) for tag, attributes in tags if tag in {"link", "iframe", "object", "embed", "base", "img"}] == []
    assert [attributes for _, attributes in tags for name in LOADING & attributes.keys() if not str(attributes[name]).startswith("#")] == []
    assert sum(tag == "script" for tag, _ in tags) >= 1


def test_hostile_text_is_shown_and_never_run() -> None:
    clean = Tags(html(ledger("001-dpo")))
    attacked = Tags(html(ledger(HOSTILE, HOSTILE, HOSTILE), HOSTILE))
    assert [tag for tag, _ in attacked.found] == [tag for tag, _ in clean.found]
    assert not any(name.startswith("on") for _, attributes in attacked.found for name in attributes)
    assert any(HOSTILE in text for text in attacked.words)


def test_a_page_of_a_search_that_measured_nothing_can_be_made() -> None:
    assert "Nothing is scored" in html([])


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run's directory with a ledger."""
    events = ledger("001-dpo", "ε – α")
    (tmp_path / "ledger.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    return tmp_path


def test_the_leaderboard_file_has_every_trial_with_the_promised_keys(run: Path) -> None:
    rows = write_reports(run)
    written = json.loads((run / "leaderboard.json").read_text())
    assert [row["trial"] for row in written] == [row.trial for row in rows] == ["001-dpo", "base", "002-ipo"]
    assert all(row.keys() >= made.LEADERBOARD_KEYS for row in written)
    best = {key: written[0][key] for key in ("method", "hyperparameters", "win_rate", "low", "high", "judged", "unreadable", "step")}
    assert best == {
        "method": "dpo",
        "hyperparameters": {"beta": 0.1},
        "win_rate": 60.0,
        "low": 55.0,
        "high": 65.0,
        "judged": 100,
        "unreadable": 2,
        "step": 20,
    }
    assert (written[0]["status"], written[0]["checkpoint"]) == ("completed", "model")
    assert written[2]["win_rate"] is None and written[2]["reason"] == "ε – α"


def test_reports_are_written_anew_and_leave_no_partial_file(run: Path) -> None:
    write_reports(run)
    before = (run / "leaderboard.json").read_text()
    write_reports(run)
    assert (run / "leaderboard.json").read_text() == before
    assert {file.name for file in run.iterdir()} == {
        "ledger.jsonl",
        "leaderboard.json",
        "answer.json",
        "report.html",
        "report.md",
        "report.json",
    }


def test_what_finalists_lost_is_told_in_words_in_numbers_and_on_the_page_and_so_is_that_the_finals_were_cut_short() -> None:
    events = [*ledger("001-dpo"), made.capability("base", 0.8), made.capability("001-dpo", 0.4), made.capability("002-ipo", 0.78)]
    told = answer_ready(known := Events(events), leaderboard(known))
    assert told is not None
    assert [(each["trial"], each["task"], each["score"], each["fell"]) for each in told["capability"]] == [
        ("base", "sums", pytest.approx(80.0), False),
        ("001-dpo", "sums", pytest.approx(40.0), True),
        ("002-ipo", "sums", pytest.approx(78.0), False),
    ]
    (sentence,) = [sentence for sentence in told["sentences"] if "apability" in sentence]
    assert sentence.startswith("001-dpo: capability fell by 40.0 points (95 % 3")
    assert sentence.endswith(") on sums against the base model.")
    assert sentence in " ".join(Tags(html(events)).words)
    kept = [*ledger("001-dpo"), made.capability("base", 0.8), made.capability("001-dpo", 0.78)]
    assert "No finalist surely lost capability against the base model on sums." in (answer_ready(Events(kept), []) or {})["sentences"]
    cut = [*ledger("001-dpo"), {"event": "spent", "time": 50.0, "reason": "the budget of 1 hours is spent", "finals": True}]
    assert "The finals ended early: the budget of 1 hours is spent." in (answer_ready(Events(cut), []) or {})["sentences"]
    unreadable = {"event": "unreadable", "time": 50.0, "asked": 9, "cost": 1.0, "reason": "8 of 9 verdicts could not be read"}
    left_out = [*ledger("001-dpo"), {**unreadable, "trial": "001-dpo", "step": 10}, {**unreadable, "trial": "002-ipo", "run": "002-ipo"}]
    sentences = (answer_ready(Events(left_out), []) or {})["sentences"]
    assert [each for each in sentences if "left out" in each] == ["002-ipo is left out of the finals: 8 of 9 verdicts could not be read."]


def test_the_answer_file_has_the_answer_its_sentences_and_what_it_cost(run: Path) -> None:
    write_reports(run)
    told = json.loads((run / "answer.json").read_text())
    answered = {"finalists", "differences", "is_fresh", "seed_deviation", "sentences"}
    assert told.keys() == answered | {"spent", "saved", "expected_best", "correlations", "capability"}
    best = told["finalists"][0]
    assert (best["trial"], best["win_rate"], best["prompts"], best["seeds"]) == ("001-dpo", pytest.approx(58.0), 100, 1)
    assert best["low"] < 58 < best["high"]
    base = told["differences"][0]
    assert (base["second"], base["difference"], base["is_real"]) == ("base", pytest.approx(8.0), base["p"] < 0.05)
    assert told["is_fresh"] and told["seed_deviation"] is None
    assert told["sentences"][0].startswith("001-dpo wins 58.0 % (95 % ")
    assert told["sentences"][-1].startswith("Spent: ")
    assert told["spent"]["judgments"] == 4 * 102 - 2
    assert told["expected_best"] == {"dpo": [60.0]}
    assert told["saved"] == {"judgments": 1 - 204 / 400, "checkpoints": 1.0}


def test_while_nothing_is_scored_the_answer_is_null(tmp_path: Path) -> None:
    (tmp_path / "ledger.jsonl").write_text(json.dumps(made.began()) + "\n")
    write_reports(tmp_path)
    assert json.loads((tmp_path / "answer.json").read_text()) is None


def test_without_finals_the_page_has_no_table_of_them_and_says_that_the_figure_flatters() -> None:
    words = " ".join(Tags(html([event for event in ledger("001-dpo") if event["event"] != "held_out"])).words)
    assert "Finals" not in words
    assert "The search chose it on these same prompts" in words


def test_all_sentences_of_the_answer_are_on_the_page() -> None:
    words = Tags(html(ledger("001-dpo"))).words
    events = ledger("001-dpo")
    told = answer_ready(known := Events(events), leaderboard(known))
    assert told is not None
    assert all(sentence in words for sentence in told["sentences"])


def test_how_far_a_cheaper_measure_ranks_as_the_judge_does_is_told_where_there_is_one() -> None:
    trials = [Trial(f"{number:03d}-dpo", "dpo", {"beta": 0.1 * number}, {}) for number in range(1, 7)]
    events = [made.began(), *(made.joined(trial) for trial in trials)]
    for number, trial in enumerate(trials):
        events.append({**made.scored(trial.id, 20, 50.0 + number), "training": {"validation_accuracy": 0.5 + 0.05 * number}})
    told = answer_ready(known := Events(events), leaderboard(known))
    assert told is not None
    found = told["correlations"]["validation"]
    assert (found["trials"], found["tau"]) == (6, pytest.approx(1.0))
    assert found["low"] < 1
    words = " ".join(" ".join(Tags(html(events)).words).split())
    assert "validation: Kendall's tau with the judge 1.00 (95 % above" in words
    assert "Cheaper measures" not in " ".join(Tags(html(ledger("001-dpo"))).words)


def test_without_any_one_of_its_lines_a_ledger_can_still_be_read_and_the_search_taken_up(tmp_path: Path) -> None:
    whole = searched.ledger("digest", "words")
    for number in range(len(whole)):
        searched.write_ledger(tmp_path, whole[:number] + whole[number + 1 :])
        rows = write_reports(tmp_path)
        assert progress_in(tmp_path).best == winner(rows)
        assert Board.rebuilt([*read_ledger(tmp_path / "ledger.jsonl"), {"event": "begin"}], 3).records


def test_of_many_trials_the_page_lists_all_draws_the_best_and_says_so() -> None:
    trials = [Trial(f"{number:03d}-dpo", "dpo", {"beta": 0.1}, {}) for number in range(MOST_CURVES + 5)]
    events = [made.began(), *map(made.joined, trials)]
    events += [made.scored(trial.id, 10, 60.0 - number) for number, trial in enumerate(trials)]
    words = " ".join(" ".join(Tags(html(events)).words).split())
    assert f"Of the {MOST_CURVES + 5} trials with a score, the first {MOST_CURVES} of the table" in words
    assert all(trial.id in words for trial in trials)
    assert "trials with a score, the first" not in " ".join(Tags(html(ledger("001-dpo"))).words)
