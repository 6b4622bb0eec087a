"""The settings of the preference data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from orchestrator.settings.section import Address, Section

# What is said of a source.
_OF_ONE = ("split", "config", "columns", "limit")


class MixtureSettings(Section):
    """One source of a mixture: `weight` 2 takes its pairs twice, 0.5 every other one; `limit` takes the first pairs only.

    `source` is a file, a directory, an address that fsspec opens or a hub data set, of which `split` of the configuration `config` is read.
    `columns` names those of the source's columns that the formats have under another name, such as `{ prompt = "query" }`.
    """

    source: Address
    weight: PositiveFloat = 1.0
    split: str = "train"
    config: str | None = None
    columns: Mapping[str, str] = {}
    limit: PositiveInt | None = None

    @property
    def named(self) -> str:
        """The source without the query of a web address, which may be a signature that opens it to everybody."""
        return re.sub(r"(https?://[^?#]*)[?#].*?(?=::|$)", r"\1", self.source, flags=re.IGNORECASE)


class DataSettings(Section):
    """Preference pairs: `train` is a file, a directory of files, an address that fsspec opens or a data set of the Hugging Face hub.

    `split` and `config`, a configuration's name, count for hub data sets, `limit` takes the first pairs only, and `columns` are the
    source's names for those of a format. In place of all five, `mixture` names several sources, from which `mixture_seed` chooses the
    pairs of fractional weights. `context` bounds prompt and response in tokens. `bad_rows`, those that cannot be read or do not fit,
    are refused, or else left out and listed in the run's `quarantine.jsonl`. `validation_pairs`, a twentieth at most, are not trained
    on: each checkpoint tells how often it prefers their chosen response. With `streaming`, pairs are tokenised by Ray Data into files
    of the cache and read from there batch by batch, so that they need not fit in memory.
    """

    train: Address | None = None
    split: str = "train"
    config: str | None = None
    columns: Mapping[str, str] = {}
    context: PositiveInt = 2048
    limit: PositiveInt | None = None
    mixture: tuple[MixtureSettings, ...] = ()
    mixture_seed: int = 0
    bad_rows: Literal["refuse", "quarantine"] = "refuse"
    validation_pairs: NonNegativeInt = 64
    streaming: bool = False

    @model_validator(mode="after")
    def _one_or_many(self) -> DataSettings:
        alone = {name: getattr(self, name) for name in _OF_ONE}
        if self.mixture and (self.train is not None or alone != {name: _default(name) for name in _OF_ONE}):
            names = ", ".join(f"data.{name}" for name in _OF_ONE)
            raise ValueError(f"data.mixture takes the place of data.train, {names}: give them in an entry of the mixture")
        return self

    @property
    def sources(self) -> tuple[MixtureSettings, ...]:
        """What is read: the mixture, or `train` as a mixture of one; () where neither is given."""
        alone = () if self.train is None else (MixtureSettings(source=self.train, **{name: getattr(self, name) for name in _OF_ONE}),)
        return self.mixture or alone

    def of_file(self, file: Path) -> DataSettings:
        """The same with one file of our own in the place of all sources."""
        return self.model_copy(update={"train": str(file), "mixture": (), **{name: _default(name) for name in _OF_ONE}})

    @property
    def named(self) -> str:
        """The sources in words."""
        return " + ".join(part.named for part in self.sources)

    def published(self) -> DataSettings:
        """The same data, named for everybody to read."""
        mixture = tuple(part.model_copy(update={"source": part.named}) for part in self.mixture)
        return self.model_copy(update={"train": self.named if self.train else None, "mixture": mixture})


def _default(name: str) -> Any:
    """What `data` says of a source when nothing is given."""
    return DataSettings.model_fields[name].default
