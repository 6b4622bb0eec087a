"""Many faults in one search, and what must be true after them."""

from __future__ import annotations

import json
import os
import random
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray.util.placement_group import placement_group_table

from tests.chaos.faults import FAULTS
from tests.chaos.ground import Ground, title_of
from tests.cluster.small_search import read_events, wait_until, write_small_search

# How much of it is free is a matter of moments.
_SHARED_MEMORY = "object_store_memory"
_QUIET_S = 400  # A search that writes nothing for so long has not recovered.
_WHOLE_S = 3600
# Questions that are with the judge at the same time: as many may a fault cost twice.
AT_A_TIME = 2
# Idle workers, the agents of nodes, and one coordinator in a cluster, which Ray Train leaves for as long as that lives.
_RAYS_OWN = ("IDLE", "Agent", "_AutoscalingCoordinatorActor")
# What a search gets on by; that it began again, and hands trials out, is not yet a recovery.
_PROGRESS = {"baseline", "checkpoint", "score", "end", "trained"}


@dataclass(frozen=True)
class Wanted:
    """How many faults, of which `kinds`, in an order that `seed` decides.

    One that passes by itself lasts `lasts_s`; `disk` is a file system that may be filled.
    """

    faults: int
    kinds: Sequence[str]
    seed: int
    lasts_s: float
    disk: Path | None = None


@dataclass(frozen=True)
class Struck:
    """A fault, what it hit, and how many seconds later the search got on: with a checkpoint, a score, an end."""

    fault: str
    what: str
    recovered_s: float


@dataclass
class Campaign:
    """The faults of a run, the ledger that it left, and how many questions the judge ruled on, and on how many of them again.

    `may_cost` is how many of them the faults may cost again: those that were on their way, and verdicts that were cut out of its memory.
    """

    struck: list[Struck] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    paid: int = 0
    paid_again: int = 0
    may_cost: int = 0
    events: list[Mapping[str, Any]] = field(default_factory=list)


def small_search(root: Path, model: Path, trials: int, steps: int, judge_port: int) -> Path:
    """A search whose trials do not depend on one another's scores, so that two runs of it can be compared."""
    settings = write_small_search(root, model, trials, steps, methods=("dpo",))
    text = settings.read_text().replace("workers = 1\n", "gangs = 2\nleast_gangs = 1\nmax_attempts = 50\n")
    text = text.partition("[finals]")[0].replace(f'held_out = "{root}/prompts.jsonl"\n', "") + "[cluster]" + text.partition("[cluster]")[2]
    text = text.replace("[search]\n", f'[search]\nsearcher = "grid"\ngrid_points = {trials}\nscheduler = "none"\n')
    server = (
        f'base_url = "http://127.0.0.1:{judge_port}/v1"\nmodel = "judge"\nmax_concurrency = {AT_A_TIME}\ntimeout_s = 5\nmax_attempts = 60'
    )
    settings.write_text(text.replace('kind = "reference"', f'kind = "openai"\n{server}'))
    return settings


def struck_search(settings: Path, directory: Path, wanted: Wanted, judge_port: int) -> Campaign:
    """Run the search to its end while faults happen at random moments. Fails when it does not recover."""
    chance, told = random.Random(wanted.seed), Campaign()
    shared = set(os.listdir("/dev/shm"))
    ground = Ground(directory, settings, uuid.uuid4().hex, wanted.lasts_s, chance, judge_port, wanted.disk)
    names: list[str] = []
    try:
        _grown(directory, 0, ground, may_end=False)
        while len(told.struck) < wanted.faults and not _is_over(directory, ground):
            time.sleep(chance.uniform(0.5, 6))
            # Each kind once before any comes again.
            names = names or chance.sample(wanted.kinds, len(wanted.kinds))
            fault, before = names.pop(), _progress(directory)
            started = time.monotonic()
            what = FAULTS[fault].strike(ground)
            _grown(directory, before, ground, FAULTS[fault].may_end)
            if what is None:
                # There was nothing of the kind at this moment.
                names.insert(0, fault)
            else:
                told.struck.append(Struck(fault, what, round(time.monotonic() - started, 1)))
                print(f"{len(told.struck):3d} {fault}: {what}, and on it went after {told.struck[-1].recovered_s} s", flush=True)
        ground.search.wait(_WHOLE_S)
        told.left = _left(ground)
        told.events = read_events(directory)
        told.paid, told.paid_again = len(ground.paid), len(ground.paid) - len(set(ground.paid))
        told.may_cost = AT_A_TIME * len(told.struck) + ground.forgotten
    finally:
        ground.end()
    told.left += [f"/dev/shm/{name}" for name in sorted(set(os.listdir("/dev/shm")) - shared)]
    return told


def _is_over(directory: Path, ground: Ground) -> bool:
    return ground.search.process.poll() is not None


def _progress(directory: Path) -> int:
    return sum(event["event"] in _PROGRESS for event in read_events(directory))


def _grown(directory: Path, before: int, ground: Ground, may_end: bool) -> None:
    """Wait until the ledger tells of more progress than before, or the search has ended well. One that gave up is resumed, where it may."""

    def has_recovered() -> bool:
        code = ground.search.process.poll()
        if code not in {None, 0}:
            told = ground.search.process.stdout.read() if ground.search.process.stdout else ""
            assert may_end, told
            assert "resume" in told and "unexpected:" not in told, told
            ground.resume()
        return _progress(directory) > before or code == 0

    wait_until(has_recovered, _QUIET_S, "the search gets on")


def _left(ground: Ground) -> list[str]:
    """What a search that has ended left behind on the cluster: actors' processes, placement groups, resources that are not free."""
    end = time.monotonic() + 60
    ray.init(address=str(ground.cluster.address), log_to_driver=False)
    try:
        while (left := [*_busy(ground), *_held()]) and time.monotonic() < end:
            time.sleep(0.5)
    finally:
        ray.shutdown()
    return left


def _held() -> list[str]:
    """The placement groups of the cluster, and its resources that are not free."""
    groups = [str(group["placement_group_id"]) for group in placement_group_table().values() if group["state"] != "REMOVED"]
    there, free = ray.cluster_resources(), ray.available_resources()
    return [*groups, *(f"{key} is held" for key, amount in there.items() if key != _SHARED_MEMORY and free.get(key, 0) != amount)]


def _busy(ground: Ground) -> list[str]:
    titles = [title_of(process)[:80].strip() for process in ground.processes("ray::")]
    return [title for title in titles if title and not any(known in title for known in _RAYS_OWN)]


def essence(events: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What two runs of a search must have in common: trials, their ends, and every verdict, each asked for once."""
    scores = [event for event in events if event["event"] == "score"]
    keys = [(event["trial"], event["step"], len(event["verdicts"])) for event in scores]
    assert len(keys) == len(set(keys)), "a checkpoint was scored twice"
    return {
        "trials": {event["trial"]: json.dumps(event["hyperparameters"]) for event in events if event["event"] == "trial"},
        "ends": {event["trial"]: event["status"] for event in events if event["event"] == "end"},
        "verdicts": {f"{event['trial']} {event['step']}": event["verdicts"] for event in scores},
    }
