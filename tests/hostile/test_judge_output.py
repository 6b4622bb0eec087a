"""Whatever a judge replies, each parser reads a verdict within its bounds or counts it as unreadable."""

import random
from collections.abc import Callable

import pytest

from evals.asking import Reply
from evals.benchmarks.alpaca_eval2 import preference
from evals.benchmarks.arena_hard import VERDICTS, parse_verdict
from evals.benchmarks.mt_bench import parse_rating, parse_winner
from evals.judges.pairwise_prompt import label_logprobs, score_from_text, score_from_tokens
from evals.protocols.alpaca_eval2 import _letters
from evals.scorers.rating import HIGHEST, LOWEST, rating_of

TEXTS = 10_000
PIECES = (
    *(
        "[[A]]",
        "[[B]]",
        "[[A>B]]",
        "[[7]]",
        "[[",
        "]]",
        "[",
        "]",
        "A",
        "B",
        "C",
        ">",
        ">>",
        "<",
        "<<",
        "=",
        "m",
        "M",
        " m",
        "M\n",
        "a",
        "b",
        "c",
        "tie",
    ),
    *(
        "0",
        "1",
        "5",
        "10",
        "11",
        "7.5",
        "1e3",
        "-3",
        "9" * 400,
        "10.",
        ".5",
        "1.2.3",
        "\u0667",
        "\uff17",
        "\u00b2",
        "nan",
        "inf",
        "Infinity",
    ),
    *(
        "Rating: ",
        "score is ",
        "/10",
        " out of 10",
        "My final verdict is ",
        "\n",
        " ",
        "\t",
        "\0",
        "\u202e",
        "\ud800",
        "\U0001f9ea",
        "**",
        "'",
    ),
)


def texts() -> list[str]:
    """Replies of one to a dozen pieces of verdicts, and of letters of any kind; the same ones each time."""
    rng = random.Random(0)
    return [
        "".join(rng.choice((rng.choice(PIECES), chr(rng.randrange(0x110000)))) for _ in range(rng.randint(1, 12))) for _ in range(TEXTS)
    ] + [
        *("", "[" * 100_000, "[[" * 50_000, "[[A]]" * 20_000, "Rating: " * 20_000, "my the overall " * 5_000 + "7", " \n" * 50_000 + "7"),
        *("7" * 100_000, "[[" + "7" * 100_000 + "]]", "[[10000]]", "[[0]]", "[[-1]]", "[[1.0000]]", "(((((" * 10_000 + "x"),
    ]


def is_share(score: float | None) -> bool:
    return score is None or 0 <= score <= 1


PARSERS: dict[str, Callable[[str], bool]] = {
    "pairwise text, candidate first": lambda text: is_share(score_from_text(text, True)),
    "pairwise text, candidate second": lambda text: is_share(score_from_text(text, False)),
    "Arena-Hard": lambda text: parse_verdict(text) in {None, *VERDICTS},
    "MT-Bench rating": lambda text: (rating := parse_rating(text)) is None or 1 <= rating <= 10,
    "MT-Bench pair": lambda text: parse_winner(text) in {None, "A", "B", "tie"},
    "rating scorer": lambda text: (rating := rating_of(Reply(text))) is None or LOWEST <= rating <= HIGHEST,
}


@pytest.mark.parametrize("parser", PARSERS)
@pytest.mark.timeout(60)
def test_ten_thousand_replies_are_each_read_within_bounds_or_unreadable(parser: str) -> None:
    assert [text for text in texts() if not PARSERS[parser](text)] == []


def logprobs() -> list[dict[str, float]]:
    """What servers may tell of a first token: some letters, some odd ones, and numbers that are no log-probabilities."""
    rng = random.Random(0)
    tokens = ("m", "M", " m", "M\n", "\u00a0m", "", "x", "[[A]]", "\ud800")
    values = (0.0, -0.1, -5.0, -900.0, 5.0, 1e308, -1e308, float("inf"), float("-inf"), float("nan"))
    return [
        {rng.choice(tokens): rng.choice((rng.choice(values), rng.uniform(-30, 1))) for _ in range(rng.randrange(6))} for _ in range(TEXTS)
    ]


@pytest.mark.parametrize("first", [True, False])
def test_ten_thousand_log_probabilities_are_each_read_within_bounds_or_unreadable(first: bool) -> None:
    assert [told for told in logprobs() if not is_share(score_from_tokens(label_logprobs(told), first))] == []
    scores = [(told, preference(*_letters(Reply(logprobs=told)), first)) for told in logprobs()]
    assert [told for told, score in scores if score is not None and not 1 <= score <= 2] == []


def test_what_is_readable_among_them_is_read() -> None:
    assert sum(score_from_text(text, True) is not None for text in texts()) > 5
    assert sum(rating_of(Reply(text)) is not None for text in texts()) > 20
    assert sum(score_from_tokens(label_logprobs(told), True) is not None for told in logprobs()) > 1000
