"""Preference data in: the rows of a source become pairs, and every row that gives none is known by its place."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.errors import DataFormatError
from orchestrator.preferences.formats import Format, Outcome, format_of, kind_of, read_row
from orchestrator.preferences.pairs import PreferencePair
from orchestrator.preferences.rows import PAIR_HELP, BadRow, Row, SetAside
from orchestrator.preferences.sources import rows


@dataclass
class Told:
    """What the rows of each file were taken for, counted."""

    kinds: dict[str, Counter[str]] = field(default_factory=dict)

    def format_of(self, row: Row) -> Format:
        """The format of a row, which is counted."""
        known = format_of(row.values)
        self.kinds.setdefault(row.file, Counter())[kind_of(known, row.values)] += 1
        return known

    def add(self, kinds: Mapping[str, Mapping[str, int]]) -> None:
        """Count what was told elsewhere too."""
        for file, counts in kinds.items():
            self.kinds.setdefault(file, Counter()).update(counts)

    def lines(self) -> list[str]:
        """A line for each file, such as "pairs.jsonl: prompt/chosen/rejected, plain text"."""
        return [f"{Path(file).name}: {_counted(kinds)}" for file, kinds in self.kinds.items()]


@dataclass(frozen=True)
class Reading:
    """The pairs of a source, what its rows were taken for, and the rows that gave no pair."""

    pairs: tuple[PreferencePair, ...]
    kinds: tuple[str, ...]
    bad: tuple[BadRow, ...] = ()
    set_aside: tuple[SetAside, ...] = ()


def load_pairs(source: str | Path, limit: int | None = None, split: str = "train") -> list[PreferencePair]:
    """The first `limit` pairs of a source (see `sources.rows`), in order.

    Raises DataFormatError with file, line and cure for a missing file, a source without pairs and the first row that cannot be read.
    """
    return list(read_pairs(source, limit, split, refuse=True).pairs)


def read_pairs(
    source: str | Path,
    limit: int | None = None,
    split: str = "train",
    refuse: bool = False,
    config: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> Reading:
    """Read a source as far as `limit` pairs; with `refuse` the first bad row is an error, and else it is kept for the report.

    Raises DataFormatError for a missing or damaged file, and for a source without pairs.
    """
    told = Told()
    pairs: list[PreferencePair] = []
    bad: list[BadRow] = []
    aside: list[SetAside] = []
    for found in outcomes(rows(source, split, config, columns), told):
        if isinstance(found, PreferencePair):
            pairs.append(found)
        elif isinstance(found, SetAside):
            aside.append(found)
        elif refuse:
            raise found.error()
        else:
            bad.append(found)
        if limit is not None and len(pairs) == limit:
            break
    if not pairs:
        raise without_pairs(str(source), bad, aside)
    return Reading(tuple(pairs), tuple(told.lines()), tuple(bad), tuple(aside))


def outcomes(found: Iterable[Row | BadRow], told: Told) -> Iterator[Outcome]:
    """What each row gives, in order; rows that make pairs together come at the end. `told` learns the formats."""
    waiting: dict[Format, list[Row]] = {}
    for row in found:
        if isinstance(row, BadRow):
            yield row
            continue
        known = told.format_of(row)
        if known.together is None:
            yield read_row(known, row)
        else:
            waiting.setdefault(known, []).append(row)
    for known, held in waiting.items():
        assert known.together is not None
        yield from known.together(held)


def outcomes_by_row(found: Iterable[Row | BadRow], told: Told) -> Iterator[Outcome]:
    """What each row gives by itself. Raises DataFormatError for rows that make pairs together, which may lie far apart."""
    for row in found:
        if isinstance(row, BadRow):
            yield row
            continue
        if (known := told.format_of(row)).together is not None:
            what = f"rows of the format {known.name} make pairs together, from everywhere in the data, and cannot be streamed"
            cure = "leave out `data.streaming`, or write the pairs to a file, one in each row"
            raise DataFormatError(what, row.origin, cure, code="DAA-0213")
        yield read_row(known, row)


def _counted(kinds: Mapping[str, int]) -> str:
    if len(kinds) == 1:
        return next(iter(kinds))
    return "; ".join(f"{kind} ({count} rows)" for kind, count in kinds.items())


def without_pairs(source: str, bad: Sequence[BadRow], aside: Sequence[SetAside]) -> DataFormatError:
    """The refusal of a source none of whose rows gives a pair."""
    if bad:
        return DataFormatError(f"none of {len(bad)} rows can be read; the first: {bad[0].reason}", bad[0].origin, bad[0].cure)
    if aside:
        cure = "give prompts with a response that is better than another: of labelled ones, one of either kind"
        return DataFormatError(f"no row makes a pair; the first: {aside[0].reason}", aside[0].origin, cure)
    return DataFormatError("the data file has no rows", source, PAIR_HELP)
