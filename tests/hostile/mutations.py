"""Settings as nobody should write them: seeded mutations of the values of a TOML file."""

import copy
import random
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

HUGE = "x" * 200_000
# What may stand where anything else was expected.
VALUES: tuple[Any, ...] = (
    *(0, -1, 10**30, -(10**30), 1e308, 5e-324, float("inf"), float("-inf"), float("nan"), True, False),
    *("", " ", "\0", "../../etc/passwd", "~", "héllo\u202e wörld", "\U0001f9ea" * 50, "{braces} [bold]", "a.b:c", "s3://nowhere/x", HUGE),
    *([], [[]], [{}], {}, {"": ""}, {"kind": "nobody"}, {"low": 1.0, "high": 0.0}, [None], date(2024, 1, 1), ["a"] * 1000),
)


def mutated(values: dict[str, Any], seed: int) -> tuple[dict[str, Any], str]:
    """The values after one to three mutations, and what was done to them in words."""
    rng = random.Random(seed)
    changed = copy.deepcopy(values)
    done = [rng.choice(MUTATIONS)(changed, rng) for _ in range(rng.randint(1, 3))]
    return changed, "; ".join(done)


def tables(values: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every table of the values with its dotted path, the whole first."""
    yield path, values
    for key, value in values.items():
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, dict):
                yield from tables(inner, f"{path}.{key}")


def _place(values: dict[str, Any], rng: random.Random) -> tuple[str, dict[str, Any], str]:
    """A table that has keys, and one of its keys."""
    path, table = rng.choice([(path, table) for path, table in tables(values) if table] or [("", values)])
    if not table:
        table["name"] = "empty"
    key = rng.choice(sorted(table))
    return f"{path}.{key}", table, key


def _delete(values: dict[str, Any], rng: random.Random) -> str:
    path, table, key = _place(values, rng)
    del table[key]
    return f"delete {path}"


def _rename(values: dict[str, Any], rng: random.Random) -> str:
    path, table, key = _place(values, rng)
    name = rng.choice([key[:-1], key + "s", key.upper(), f"{key}\u0301", "", "кey", "a" * 5000, "with.dot", "model_config"])
    table[name] = table.pop(key)
    return f"rename {path} to {name[:20]!r}"


def _move(values: dict[str, Any], rng: random.Random) -> str:
    path, table, key = _place(values, rng)
    where, other = rng.choice(list(tables(values)))
    other[key] = copy.deepcopy(table[key])
    return f"copy {path} to {where}"


def _replace(values: dict[str, Any], rng: random.Random) -> str:
    path, table, key = _place(values, rng)
    table[key] = copy.deepcopy(rng.choice(VALUES))
    return f"set {path} to {table[key]!r:.40}"


def _add(values: dict[str, Any], rng: random.Random) -> str:
    path, table = rng.choice(list(tables(values)))
    key = rng.choice(["method", "hyperparameters", "search", "seed", "unknown", "kind", "mixture", "lora", "budget", "__class__"])
    table[key] = copy.deepcopy(rng.choice(VALUES))
    return f"add {path}.{key} = {table[key]!r:.40}"


def _nest(values: dict[str, Any], rng: random.Random) -> str:
    path, table, key = _place(values, rng)
    inner = table[key]
    for _ in range(rng.choice([1, 3, 200])):
        inner = {key: inner}
    table[key] = inner
    return f"nest {path}"


def _stretch(values: dict[str, Any], rng: random.Random) -> str:
    path, table, key = _place(values, rng)
    old = table[key]
    table[key] = [old] * 50 if rng.random() < 0.5 else str(old)
    return f"stretch {path}"


MUTATIONS: tuple[Callable[[dict[str, Any], random.Random], str], ...] = (_delete, _rename, _move, _replace, _replace, _add, _nest, _stretch)
