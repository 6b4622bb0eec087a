"""What is wrong with preference data after tokenisation and truncation, which is what training sees."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from evals.rendering import spelt_tokens
from orchestrator.errors import UserError
from orchestrator.preferences.overlap import EvaluationTexts
from orchestrator.preferences.pairs import PreferencePair, TokenizedPair
from orchestrator.preferences.rows import BadRow, SetAside
from orchestrator.preferences.templates import answer_template
from orchestrator.preferences.tokenization import encoded, fitting

_BINS = 12
_PLACES = 5


@dataclass(frozen=True)
class Check:
    """One thing that is counted; a share above `warns_above` is a warning, None never is. Its share is one of pairs, or of rows."""

    name: str
    what: str
    warns_above: float | None = 0.0
    of_rows: bool = False


CHECKS = (
    Check("unreadable", "rows that cannot be read", of_rows=True),
    Check("prompt_mismatch", "rows whose two conversations part before the last turn, or do not begin with the prompt", of_rows=True),
    Check("empty", "rows with a response of no text, or of nothing but white space", of_rows=True),
    Check("refused", "rows that the chat template refuses", of_rows=True),
    Check("over_long", "rows whose prompt leaves no room for an answer", of_rows=True),
    Check("set_aside", "rows that prefer nothing: ties, and responses without a counterpart", None, of_rows=True),
    Check("identical", "pairs with the same tokens on both sides"),
    Check("identical_by_truncation", "pairs that are the same only since truncation"),
    Check("truncated", "pairs with a truncated response", 0.05),
    Check("one_sided", "pairs with one response truncated and the other whole", 0.02),
    Check("missing_end", "pairs whose chosen response has lost its end token", 0.05),
    Check("double_begin", "pairs with more than one beginning-of-text token, or with its name in a text"),
    Check("inner_end", "pairs with the name of an end token inside a response"),
    Check("special_tokens", "pairs with the name of a special token in a text, as a template leaves them"),
    Check("duplicate_prompts", "pairs whose prompt an earlier pair has", 0.5),
    Check("duplicate_pairs", "pairs that an earlier pair equals"),
    Check("contradictions", "pairs that another pair turns round"),
    Check("reversed_rewards", "pairs whose rejected response has the higher reward"),
    Check("evaluation_prompt", "pairs whose prompt is an evaluation prompt"),
    Check("evaluation_words", "pairs whose prompt shares a long run of words with an evaluation prompt"),
    Check("chosen_longer", "pairs whose chosen response is the longer one", 0.65),
)


@dataclass(frozen=True, slots=True)
class Seen:
    """What matters of one pair: the checks it fails by itself, lengths in tokens after truncation, and hashes to find equals by."""

    origin: str
    fails: tuple[str, ...]
    prompt: int
    chosen: int
    rejected: int
    margin: float | None
    prompt_key: int
    chosen_key: int
    rejected_key: int


@dataclass(frozen=True)
class Finding:
    """A check's count among `of` pairs or rows, and the first places."""

    name: str
    what: str
    count: int
    of: int
    places: tuple[str, ...] = ()
    warns_above: float | None = 0.0

    @property
    def share(self) -> float:
        """The count as a share, from 0 to 1."""
        return self.count / self.of if self.of else 0.0

    @property
    def is_warning(self) -> bool:
        """Whether the share is above the default bound."""
        return self.warns_above is not None and self.share > self.warns_above


@dataclass(frozen=True)
class Spread:
    """How numbers lie: their mean, median, 95th percentile and largest."""

    mean: float
    median: float
    p95: float
    largest: float


@dataclass(frozen=True)
class Histogram:
    """Counts between `edges`, of which there is one more, and the mean of what was counted."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    mean: float


@dataclass(frozen=True)
class DataReport:
    """What the check found. `lengths` are tokens after truncation, `margins` chosen minus rejected reward where the data have rewards."""

    pairs: int
    rows: int
    context: int
    findings: tuple[Finding, ...]
    lengths: Mapping[str, Spread]
    margins: Histogram | None
    kinds: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready values; each finding with its share and whether it is a warning."""
        findings = [asdict(found) | {"share": found.share, "warning": found.is_warning} for found in self.findings]
        return asdict(self) | {"findings": findings}

    def above(self, bounds: Mapping[str, float]) -> list[Finding]:
        """The findings whose share is above its bound."""
        return [found for found in self.findings if found.name in bounds and found.share > bounds[found.name]]


def observe(
    tokenizer: Any, pairs: Sequence[PreferencePair], context: int, evaluation: EvaluationTexts | None = None
) -> Iterator[Seen | BadRow]:
    """Each pair as training sees it, or why it cannot. Raises ModelError for a tokenizer without a chat template."""
    template = answer_template(tokenizer)
    known: dict[int, str | None] = {}
    for pair, whole in zip(pairs, encoded(tokenizer, pairs), strict=True):
        if isinstance(whole, UserError):
            yield _unfit(pair, whole, "refused")
            continue
        cut = fitting(whole, context, pair.origin)
        if isinstance(cut, UserError):
            yield _unfit(pair, cut, "over_long")
            continue
        if not all(text.strip() or extra for text, extra in ((pair.chosen, pair.chosen_extra), (pair.rejected, pair.rejected_extra))):
            yield _unfit(pair, UserError("a response is nothing but white space", pair.origin, "remove the row"), "empty")
            continue
        key = hash(whole.prompt)
        if evaluation is not None and key not in known:
            known[key] = evaluation.overlap(pair.prompt)
        fails = [*_fails(whole, cut), *_odd_tokens(tokenizer, pair, whole, template.stops)]
        yield _seen(pair, cut, key, (*fails, *filter(None, [known.get(key)])))


def report(seen: Iterable[Seen | BadRow], unused: Sequence[BadRow | SetAside] = (), context: int = 0) -> DataReport:
    """Sum up what was observed, and the rows that gave no pair."""
    found = list(seen)
    pairs = [one for one in found if isinstance(one, Seen)]
    unfit = [*unused, *(one for one in found if isinstance(one, BadRow))]
    places: dict[str, list[str]] = {check.name: [] for check in CHECKS}
    for row in unfit:
        places[row.kind if isinstance(row, BadRow) else "set_aside"].append(row.origin)
    for pair in pairs:
        for name in pair.fails:
            places[name].append(pair.origin)
    for name, origin in _repeated(pairs):
        places[name].append(origin)
    rows = len(pairs) + len(unfit)
    findings = [_finding(check, places[check.name], rows if check.of_rows else len(pairs)) for check in CHECKS]
    lengths = {side: _spread([getattr(pair, side) for pair in pairs]) for side in ("prompt", "chosen", "rejected") if pairs}
    margins = [pair.margin for pair in pairs if pair.margin is not None]
    return DataReport(len(pairs), rows, context, tuple(findings), lengths, _histogram(margins))


def _fails(whole: TokenizedPair, cut: TokenizedPair) -> Iterator[str]:
    sides = (len(whole.chosen) > len(cut.chosen), len(whole.rejected) > len(cut.rejected))
    if cut.chosen == cut.rejected:
        yield "identical" if whole.chosen == whole.rejected else "identical_by_truncation"
    if any(sides):
        yield "truncated"
    if sides[0] != sides[1]:
        yield "one_sided"
    if sides[0]:
        yield "missing_end"
    if len(cut.chosen) > len(cut.rejected):
        yield "chosen_longer"
    if whole.chosen_reward is not None and whole.rejected_reward is not None and whole.chosen_reward < whole.rejected_reward:
        yield "reversed_rewards"


def _odd_tokens(tokenizer: Any, pair: PreferencePair, whole: TokenizedPair, stops: frozenset[int]) -> Iterator[str]:
    """Names of special tokens where only text should be: they are read as text, and mostly remain of a template that wrote the data."""
    begin = None if tokenizer.bos_token_id in stops else tokenizer.bos_token_id
    texts = (pair.chosen, pair.rejected, *map(str, (*pair.chosen_extra.values(), *pair.rejected_extra.values())))
    odd = {token for text in texts for token in spelt_tokens(tokenizer, text)}
    asked = [token for turn in pair.prompt for token in spelt_tokens(tokenizer, turn.content)]
    if begin is not None and ([*whole.prompt, *asked].count(begin) > 1 or begin in odd):
        yield "double_begin"
    if not stops.isdisjoint(odd):
        yield "inner_end"
    if odd or asked:
        yield "special_tokens"


def _seen(pair: PreferencePair, cut: TokenizedPair, key: int, fails: tuple[str, ...]) -> Seen:
    margin = None if cut.chosen_reward is None or cut.rejected_reward is None else cut.chosen_reward - cut.rejected_reward
    sides = (hash(cut.chosen), hash(cut.rejected))
    return Seen(pair.origin, fails, len(cut.prompt), len(cut.chosen), len(cut.rejected), margin, key, *sides)


def _repeated(pairs: Sequence[Seen]) -> Iterator[tuple[str, str]]:
    """The checks that need all pairs: what an earlier pair has, and pairs that another one turns round."""
    prompts: set[int] = set()
    wholes: Counter[tuple[int, int, int]] = Counter()
    for pair in pairs:
        if pair.prompt_key in prompts:
            yield "duplicate_prompts", pair.origin
        if wholes[pair.prompt_key, pair.chosen_key, pair.rejected_key]:
            yield "duplicate_pairs", pair.origin
        prompts.add(pair.prompt_key)
        wholes[pair.prompt_key, pair.chosen_key, pair.rejected_key] += 1
    for pair in pairs:
        if pair.chosen_key != pair.rejected_key and (pair.prompt_key, pair.rejected_key, pair.chosen_key) in wholes:
            yield "contradictions", pair.origin


def _unfit(pair: PreferencePair, error: UserError, kind: str) -> BadRow:
    content = {"prompt": [message.as_dict() for message in pair.prompt], "chosen": pair.chosen, "rejected": pair.rejected}
    return BadRow("", pair.origin, error.what, error.cure, content, kind)


def _finding(check: Check, places: Sequence[str], of: int) -> Finding:
    return Finding(check.name, check.what, len(places), of, tuple(places[:_PLACES]), check.warns_above)


def _spread(numbers: Sequence[int]) -> Spread:
    values = np.asarray(numbers)
    return Spread(float(values.mean()), *(float(found) for found in np.percentile(values, (50, 95, 100))))


def _histogram(numbers: Sequence[float]) -> Histogram | None:
    if not numbers:
        return None
    # Numbers that differ in their last digits only have no bins between them.
    least = 1e-9 * np.max(np.abs(numbers))
    around = [np.min(numbers) - max(least, 0.5), np.max(numbers) + max(least, 0.5)]
    counts, edges = np.histogram(np.asarray(numbers), bins=_BINS if np.ptp(numbers) > least else around)
    return Histogram(tuple(map(float, edges)), tuple(map(int, counts)), float(np.mean(numbers)))
