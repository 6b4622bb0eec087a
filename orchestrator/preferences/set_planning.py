"""Which pairs of token shards are trained on and which are held out: the same ones, in the same order, as of data in memory."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np

from evals.whole_files import save_json, written_beside
from orchestrator.preferences.holding_out import USUAL_SHARE, held_by_key
from orchestrator.preferences.mixing import drawn_first, shares
from orchestrator.preferences.reading import Told, without_pairs
from orchestrator.preferences.rows import BadRow, SetAside
from orchestrator.preferences.streamed_set import COMPLETE, ShardedRows
from orchestrator.preferences.token_shards import IDENTICAL, UNFIT, USABLE, Shard, shard_file
from orchestrator.preferences.tokenization import after_prompts, all_identical

_SIDES = ("train", "validation")


@dataclass(frozen=True)
class ShardedSource:
    """One source of the data as shards, in order: of their pairs, the first `limit` are taken as often as `weight` says."""

    name: str
    shards: Sequence[str]
    weight: float = 1.0
    limit: int | None = None


@dataclass(frozen=True)
class Plan:
    """The places of the pairs that are trained on, of those that are held out and of those that do not fit, among all pairs.

    Rewards (2, N) are those of the chosen and the rejected responses, `after` (N,) the numbers of the pairs whose responses are mismatched.
    """

    train: np.ndarray
    validation: np.ndarray
    unfit: np.ndarray
    train_after: np.ndarray
    validation_after: np.ndarray
    train_rewards: np.ndarray
    validation_rewards: np.ndarray
    identical: int


class _Opened:
    """The shards of one source: what must be known of all pairs at once, a few bytes for each."""

    def __init__(self, source: ShardedSource, shards: Path) -> None:
        files = [shard_file(shards, name) for name in source.shards]
        self.told = Told()
        columns: list[list[np.ndarray]] = []
        for file in files:
            shard = Shard(file)
            self.told.add(shard.told["kinds"])
            columns.append([shard.column(name) for name in ("state", "prompt_key", "chosen_reward", "rejected_reward")])
        self.states, self.prompt_keys, *rewards = (_joined([column[part] for column in columns]) for part in range(4))
        self.rewards = np.stack(rewards)
        self.counts = [len(states) for states, *_ in columns]
        before = [0, *accumulate(self.counts)][:-1]
        rooms = [None if source.limit is None else source.limit - start for start in before]
        self.source, self.rows = source, ShardedRows(files, before, rooms)

    def taken(self) -> np.ndarray:
        """Which of the source's pairs are taken, those that are taken twice twice."""
        count = min(len(self.states), len(self.states) if self.source.limit is None else self.source.limit)
        if not count:
            unused = list(self.rows.unused())
            bad, aside = [row for row in unused if isinstance(row, BadRow)], [row for row in unused if isinstance(row, SetAside)]
            raise without_pairs(self.source.name, bad, aside)
        whole, further = shares(self.source.weight, count)
        drawn = drawn_first(_joined([Shard(file).column("content_key") for file in self.rows.files])[:count], further) if further else []
        return np.concatenate([*[np.arange(count)] * whole, np.array(drawn, dtype=np.int64)])


def plan_set(directory: Path, shards: Path, sources: Sequence[ShardedSource], context: int, held_out: int) -> None:
    """Choose pairs as `mixed` and `tokenize` do, and write what `StreamedSet` reads; the set is there when its last file is.

    Raises DataFormatError for a source without pairs, or when no pair is left.
    """
    opened = [_Opened(source, shards) for source in sources]
    plan = _planned(opened, held_out)
    for name in (*_SIDES, "unfit", *(f"{side}_{part}" for side in _SIDES for part in ("after", "rewards"))):
        with written_beside(directory / f"{name}.npy") as partial, partial.open("wb") as content:
            np.save(content, getattr(plan, name))
    names = [name for source in sources for name in source.shards]
    counts = [count for source in opened for count in source.counts]
    digest = hashlib.sha256(json.dumps([context, names]).encode() + plan.train.tobytes() + b"|" + plan.validation.tobytes())
    told = {
        "context": context,
        "digest": digest.hexdigest(),
        "identical": plan.identical,
        "kinds": [line for source in opened for line in source.told.lines()],
        "shards": names,
        "starts": [0, *accumulate(counts)][:-1],
        "rooms": [room for source in opened for room in source.rows.rooms],
    }
    save_json(directory / COMPLETE, told, indent=None)


def _planned(opened: Sequence[_Opened], held_out: int) -> Plan:
    begins = [0, *accumulate(len(source.states) for source in opened)][:-1]
    places = np.concatenate([source.taken() + begin for source, begin in zip(opened, begins, strict=True)])
    states = np.concatenate([source.states for source in opened])[places]
    usable = places[states == USABLE]
    if not len(usable):
        raise all_identical(opened[0].source.name)
    keys = np.concatenate([source.prompt_keys for source in opened])[usable]
    held = np.zeros(len(usable), dtype=bool)
    held[list(held_by_key(keys, min(held_out, int(USUAL_SHARE * len(usable)))))] = True
    unfit, first = np.unique(places[states == UNFIT], return_index=True)
    rewards = np.concatenate([source.rewards for source in opened], axis=1)
    train, validation = usable[~held], usable[held]
    train_after, validation_after = (after_prompts(of_side == np.roll(of_side, -1)) for of_side in (keys[~held], keys[held]))
    return Plan(
        train=train,
        validation=validation,
        unfit=unfit[np.argsort(first)],
        train_after=train_after,
        validation_after=validation_after,
        train_rewards=rewards[:, train],
        validation_rewards=rewards[:, validation],
        identical=int((states == IDENTICAL).sum()),
    )


def _joined(columns: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate(columns) if columns else np.zeros(0, dtype="S1")
