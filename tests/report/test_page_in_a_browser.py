"""The page in a real browser: it runs without a complaint, and sorts, filters, searches, follows keys and news. Needs Chromium."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.report.page.html import page
from orchestrator.report.page.run import Run
from orchestrator.report.page.serving import server_of
from orchestrator.search.trial import Trial
from tests.report.browser import CHROMIUM, Browser, browser
from tests.report.searched import BEST, FALLEN, HOSTILE, OTHER, searched
from tests.search import events as made

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
TRIALS = "[...document.querySelectorAll('#trials tbody tr')].filter((row) => !row.hidden).map((row) => row.cells[1].textContent)"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for all tests of this file."""
    with browser(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.fixture
def opened(chromium: Browser, tmp_path: Path) -> Iterator[Browser]:
    """The page of a small search; whatever the test did, the console has nothing to complain of."""
    file = tmp_path / "report.html"
    (tmp_path / "run").mkdir()
    file.write_text(page(Run.read(searched(tmp_path / "run", HOSTILE))))
    chromium.complaints.clear()
    chromium.open(file.as_uri())
    yield chromium
    assert chromium.complaints == []


def test_every_chart_is_drawn_and_hostile_words_stay_words(opened: Browser) -> None:
    opened.run("document.getElementById('pick-method').dispatchEvent(new Event('input', {bubbles: true}))")
    drawn = opened.run("[...document.querySelectorAll('.chart')].map((chart) => chart.querySelectorAll('.main-svg').length > 0)")
    assert len(drawn) == 8 and all(drawn)
    assert opened.run("window.owned === undefined && document.querySelectorAll('img, a[href^=javascript]').length === 0")
    assert opened.run("document.querySelector('#samples').textContent.includes('onerror=owned=2')")
    assert opened.run("document.querySelectorAll('svg a').length") == 0
    assert opened.run("document.querySelector('#chart-parameters').textContent.includes('</script><script>')")


def test_the_filter_leaves_only_trials_that_have_all_words(opened: Browser) -> None:
    assert opened.run(TRIALS) == [BEST, OTHER, FALLEN, "base"]
    opened.press("/")
    opened.type("dpo fail")
    assert opened.run(TRIALS) == [FALLEN]
    assert opened.run("document.getElementById('count-trials').textContent") == "1 of 4"


def test_a_click_or_the_enter_key_on_a_columns_head_sorts_by_it(opened: Browser) -> None:
    head = "[...document.querySelectorAll('#trials th')].find((head) => head.textContent === 'win rate %')"
    opened.run(f"{head}.querySelector('button').click()")
    assert opened.run(f"{head}.getAttribute('aria-sort')") == "descending"
    opened.run(f"{head}.querySelector('button').focus()")
    opened.press("Enter")
    assert opened.run(f"{head}.getAttribute('aria-sort')") == "ascending"
    assert opened.run(TRIALS) == ["base", FALLEN, OTHER, BEST]


def test_the_search_box_finds_words_of_prompts_answers_and_reasons(opened: Browser) -> None:
    shown = "[...document.querySelectorAll('.sample:not([hidden]) header code')].map((code) => code.textContent)"
    opened.press("s")
    opened.type("question 41:")
    assert opened.run(shown) == ["p41"]
    opened.run(
        "const box = document.getElementById('search-samples'); box.value = ''; box.dispatchEvent(new Event('input', {bubbles: true}))"
    )
    assert len(opened.run(shown)) == 20
    opened.run(
        "const pick = document.getElementById('pick-outcome'); pick.value = 'tie'; pick.dispatchEvent(new Event('input', {bubbles: true}))"
    )
    assert opened.run("document.getElementById('count-samples').textContent") == "25 of 100"
    opened.run("document.getElementById('more-samples').click()")
    assert len(opened.run(shown)) == 25


def test_dark_and_light_follow_the_system_and_the_key_and_charts_with_them(chromium: Browser, opened: Browser, tmp_path: Path) -> None:
    ink = "document.querySelector('#chart-lengths .xtick text').style.fill"
    light = opened.run(ink)
    opened.press("t")
    assert opened.run("document.documentElement.dataset.theme") == "dark" and opened.run(ink) != light
    opened.run("localStorage.clear()")
    chromium.open((tmp_path / "report.html").as_uri(), dark=True)
    assert opened.run("document.documentElement.dataset.theme") == "dark"


def test_j_and_k_walk_through_the_sections(opened: Browser) -> None:
    here = "document.querySelector('nav a.here').hash"
    assert opened.run(here) == "#verdict"
    opened.press("j")
    opened.wait(f"{here} === '#leaderboard'")
    opened.press("k")
    opened.wait(f"{here} === '#verdict'")


def test_nothing_is_wider_than_a_telephone(opened: Browser, tmp_path: Path) -> None:
    opened.open((tmp_path / "report.html").as_uri(), width=390, height=800)
    assert opened.run("document.documentElement.scrollWidth") <= 390


def test_a_served_page_shows_news_and_keeps_place_words_order_and_zoom(chromium: Browser, tmp_path: Path) -> None:
    directory = searched(tmp_path)
    server = server_of(directory, 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        chromium.complaints.clear()
        chromium.open(f"http://localhost:{server.server_address[1]}/")
        chromium.wait("document.getElementById('live').textContent === 'live'")
        chromium.press("/")
        chromium.type("simpo")
        chromium.run("document.querySelector('#trials th button').click(); scrollTo(0, 900)")
        chromium.run("Plotly.relayout('chart-learning', {'xaxis.range': [5, 15]}).then(() => true)")
        with (directory / "ledger.jsonl").open("a") as file:
            text = Trial("004-simpo-dddd", "simpo", {"beta": 9.0, "gamma_over_beta": 0.1}, {})
            file.writelines(f"{json.dumps(event)}\n" for event in (made.joined(text), made.scored(text.id, 10, 66.0, time=70.0)))
        chromium.wait("document.querySelector('#trials').textContent.includes('004-simpo-dddd')")
        assert chromium.run(TRIALS) == [BEST, "004-simpo-dddd"]
        assert chromium.run("[document.getElementById('filter-trials').value, document.activeElement.id, scrollY]") == [
            "simpo",
            "filter-trials",
            900,
        ]
        assert chromium.run("document.getElementById('chart-learning').layout.xaxis.range") == [5, 15]
        assert chromium.complaints == []
    finally:
        server.shutdown()
        server.server_close()
