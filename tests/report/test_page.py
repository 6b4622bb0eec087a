"""What the report says, section by section; that it is nothing but text whatever it is made of; and that old ledgers give one too."""

import base64
import hashlib
import json
import random
import re
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.errors import UserError
from orchestrator.report.files import as_json
from orchestrator.report.page.displacement import _changes
from orchestrator.report.page.html import embedded, page, rounded
from orchestrator.report.page.markdown import markdown
from orchestrator.report.page.run import Run
from orchestrator.report.page.samples import MOST_LETTERS, cut
from orchestrator.report.page.sections import SECTIONS, told
from orchestrator.search.ledger import Event, Events
from orchestrator.search.trial import Trial
from tests.report.searched import BEST, FALLEN, HOSTILE, OTHER, searched, write_ledger
from tests.report.test_files import Tags
from tests.search import events as made


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A small search that is over."""
    return Run.read(searched(tmp_path))


def test_the_verdict_comes_first_and_every_section_has_something_to_tell(run: Run) -> None:
    section = told(run)
    assert all(section[each.name] is not None for each in SECTIONS)
    assert [name for name, _ in zip(section, range(2), strict=False)] == ["verdict", "leaderboard"]
    verdict = section["verdict"]
    assert (verdict["best"]["trial"], verdict["phase"], verdict["is_fresh"]) == (BEST, "finished", True)
    assert verdict["control"]["second"] == OTHER and verdict["control"]["low"] < verdict["control"]["difference"]
    assert (verdict["progress"]["over"], verdict["progress"]["planned"]) == (3, 3)


def test_the_search_is_told_to_be_where_its_last_events_leave_it(run: Run) -> None:
    def phase(events: list[Event]) -> str:
        return told(replace(run, events=Events(events)))["verdict"]["phase"]

    events, fatal = list(run.events), {"event": "fatal", "time": 63.0, "what": "no disk", "where": "", "cure": ""}
    assert [phase(events[:count]) for count in (1, 14, 15, 16)] == [
        "searching",
        "about to play the finals",
        "in the finals",
        "in the finals",
    ]
    early = page(replace(run, events=Events(events[:14])))
    assert "The answer is final when the search is over, on prompts that it never used." in early
    assert "The answer is final when" not in page(run)
    assert phase([*events[:14], fatal]) == "ended by an error: no disk"
    assert phase([*events[:14], fatal, {**made.began(time=70.0)}]) == "about to play the finals"


def test_answers_that_were_cut_off_are_told_beside_their_length(run: Run) -> None:
    assert "120 (25.0 % cut off)" in page(run) and "120 (25.0 % cut off)" in markdown(run)


def test_a_trial_whose_chosen_responses_lost_probability_is_said_to_be_displaced(run: Run) -> None:
    shown = {each["trial"]: each for each in told(run)["displacement"]}
    assert shown[BEST]["chosen_change"] == pytest.approx(9.0)
    assert shown[OTHER]["chosen_change"] == pytest.approx(-9.0) and shown[OTHER]["rejected_change"] == pytest.approx(-18.0)
    text = page(run)
    assert text.count(">displaced<") == 1
    assert re.search(rf"{OTHER}</td>\s*<td>-9\.0 <span", text)


def test_samples_stand_side_by_side_with_the_judges_reasons_and_each_outcome_comes_early(run: Run) -> None:
    samples = told(run)["samples"]
    first = samples["rows"][0]
    assert (first["id"], first["prompt"], first["base"]) == ("p3", "question 3: plain words", "base says plain words")
    assert [(each["trial"], each["score"]) for each in first["answers"]] == [(BEST, 0.0), (OTHER, 0.0)]
    assert first["answers"][0]["reason"] == "because of plain words"
    assert [row["answers"][0]["score"] for row in samples["rows"][:3]] == [0.0, 1.0, 0.5]
    assert cut("a" * (MOST_LETTERS + 5)).endswith("… (5 more characters)")


def test_a_prompt_file_that_changed_since_is_not_shown_as_what_was_asked(tmp_path: Path) -> None:
    directory = searched(tmp_path)
    (directory / "held_out.jsonl").write_text('{"id": "p3", "prompt": "another question"}\n')
    assert {row["prompt"] for row in told(Run.read(directory))["samples"]["rows"]} == {""}


def test_answers_and_figures_that_are_damaged_are_left_out_and_the_report_is_made_all_the_same(tmp_path: Path) -> None:
    directory = searched(tmp_path)
    (directory / "responses" / BEST / "held-out.jsonl").write_text('{"response": {')
    (directory / "responses" / OTHER / "held-out.jsonl").write_text('{"response": {"another": "form"}, "verdict": {}}\n')
    (directory / "checkpoints" / BEST / "metrics.jsonl").write_text("no step\n")
    section = told(Run.read(directory))
    assert section["samples"] is None and [each["trial"] for each in section["displacement"]] == [OTHER]
    assert f"{BEST} wins" in page(Run.read(directory))


def test_where_the_judge_was_shown_an_answer_first_or_second_is_told_apart(run: Run) -> None:
    verdicts = {each["name"]: each for each in told(run)["judging"]["verdicts"]}
    assert verdicts[BEST]["outcomes"] == {"win": 50, "tie": 25, "loss": 25}
    # Even prompts win or tie, odd ones win or lose.
    assert verdicts[BEST]["shown_first"] == {"win_rate": 75.0, "verdicts": 50}
    assert verdicts[BEST]["shown_second"] == {"win_rate": 50.0, "verdicts": 50}
    assert verdicts["base"]["shown_first"] is None


def test_without_finals_a_trial_is_told_by_the_checkpoint_that_the_leaderboard_shows(tmp_path: Path) -> None:
    trial = Trial(BEST, "simpo", {"beta": 2.5}, {"learning_rate": 1e-6})
    scores = [made.scored(BEST, 10, 70.0, time=30.0), made.scored(BEST, 20, 62.0, time=50.0)]
    write_ledger(tmp_path, [made.began(), made.baseline(), made.joined(trial), *scores])
    run = Run.read(tmp_path)
    (shown,) = (each for each in told(run)["judging"]["verdicts"] if each["name"] == BEST)
    assert shown["win_rate"] == run.finalists[0]["win_rate"] == 70.0


def test_health_lists_what_failed_what_was_unwell_and_what_guards_found(run: Run) -> None:
    found = [(each["trial"], each["what"]) for each in told(run)["health"]["events"]]
    assert found == [(BEST, "drifting"), (FALLEN, "failed"), (BEST, "guard: repetition")]


def test_the_command_the_versions_and_the_code_are_told_and_what_a_ledger_does_not_know_is_said_to_be_unknown(run: Run) -> None:
    text = page(run)
    assert "daa search plain words" in text and "abc123" in text and "ray 2.60.0" in text
    old = [{key: value for key, value in event.items() if key not in {"origin", "versions"}} for event in run.events]
    assert "not told by this ledger" in page(Run("old", Events(old), run.rows, run.answer))


def test_a_ledger_of_nothing_but_its_beginning_gives_a_page_and_all_other_forms(tmp_path: Path) -> None:
    write_ledger(tmp_path, [made.began()])
    run = Run.read(tmp_path)
    assert "Nothing is scored" in page(run)
    assert "Nothing is scored yet." in markdown(run)
    assert json.loads(as_json(run))["verdict"]["answer"] is None


def test_a_directory_without_a_search_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no ledger\.jsonl"):
        Run.read(tmp_path)


@pytest.mark.parametrize("words", [HOSTILE, "<!--<script>", "]]>", "\\u003c/script>"])
def test_hostile_words_in_every_place_add_no_tag_and_no_attribute(words: str, tmp_path: Path) -> None:
    (tmp_path / "clean").mkdir()
    (tmp_path / "attacked").mkdir()
    clean, attacked = (
        Tags(page(Run.read(searched(tmp_path / name, text)))) for name, text in (("clean", "plain words"), ("attacked", words))
    )
    assert [tag for tag, _ in attacked.found] == [tag for tag, _ in clean.found]
    assert [sorted(attributes) for _, attributes in attacked.found] == [sorted(attributes) for _, attributes in clean.found]


def test_the_policy_lets_only_the_pages_own_pieces_run_and_nothing_be_fetched(run: Run) -> None:
    text = page(run)
    policy = policy_of(text)
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert len(scripts) == 2
    for script in scripts:
        assert f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" in policy
    assert "unsafe" not in policy and "default-src 'none'" in policy and "connect-src 'none'" in policy
    assert "connect-src 'self'" in policy_of(page(run, is_live=True))


def policy_of(text: str) -> str:
    """The policy that a page sets itself."""
    return next(str(attributes["content"]) for _, attributes in Tags(text).found if attributes.get("http-equiv"))


def test_numbers_in_charts_are_never_more_than_json_and_never_end_the_script() -> None:
    value = {"a": [1 / 3, float("nan"), float("inf")], "b": HOSTILE}
    assert rounded(value["a"]) == [0.333333, None, None]
    text = embedded(value)
    assert "<" not in text and json.loads(text) == {"a": [0.333333, None, None], "b": HOSTILE}


def test_markdown_has_the_verdict_the_tables_and_the_settings_and_hostile_words_are_no_markup(tmp_path: Path) -> None:
    text = markdown(Run.read(searched(tmp_path, HOSTILE)))
    assert text.index(f"- {BEST} wins") < text.index("## Finals") < text.index("## Leaderboard") < text.index("## Reproduce")
    outside = text[: text.index("````json")]
    assert "<script" not in outside.replace("\\<", "")


def test_the_json_form_holds_every_section(run: Run) -> None:
    assert json.loads(as_json(run)).keys() == {each.name for each in SECTIONS}


@pytest.mark.parametrize(("fall", "is_marked"), [(0.0, False), (60.0, True)])
def test_displacement_is_more_than_what_the_pairs_of_single_steps_differ_by(fall: float, is_marked: bool) -> None:
    chance = random.Random(0)
    steps = [{"step": n + 1, "chosen_logp": -200 + chance.gauss(0, 20) - fall * n / 99, "loss": 0.6} for n in range(100)]
    assert _changes(steps)["displaced"] is is_marked
