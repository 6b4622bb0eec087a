"""What GPUs hold and do, as their makers state it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from orchestrator.errors import SettingsError
from orchestrator.nearest import nearest


@dataclass(frozen=True)
class Gpu:
    """Memory in GiB, dense 16-bit products in operations a second, and memory traffic in bytes a second; None where nobody states it.

    `larger` is the name of the kind with more memory where it was not said which of two it is.
    """

    name: str
    memory: float
    flops: float | None
    bandwidth: float | None
    larger: str | None = None


GPUS = {
    each.name: each
    for each in (
        Gpu("GB200", 184, 2500e12, 8.0e12),
        Gpu("B200", 179, 2250e12, 8.0e12),
        Gpu("H200", 139, 989e12, 4.8e12),
        Gpu("H100", 79, 989e12, 3.35e12),
        Gpu("A100-80G", 79, 312e12, 2.0e12),
        Gpu("A100-40G", 39, 312e12, 1.55e12),
        Gpu("L40", 44, 181e12, 0.86e12),
        Gpu("L40S", 44, 362e12, 0.86e12),
        Gpu("A10G", 22, 70e12, 0.6e12),
        Gpu("L4", 22, 121e12, 0.3e12),
        Gpu("RTX4090", 23, 165e12, 1.0e12),
    )
}


def _is_in(key: str, name: str) -> bool:
    """Whether a name has the key's letters and digits, however they are set apart, and no more digits: an L40 is no L4, a GH200 no H200."""
    letters = r"[\s_-]*".join(key.replace("-", ""))
    return re.search(rf"(?<![A-Z0-9]){letters}(?!\d)", name) is not None


def known_gpu(name: str) -> Gpu | None:
    """The GPU of a name as users write it, or as Ray or CUDA names it; None for one that is not in the table."""
    plain = name.upper()
    if found := [key for key in GPUS if _is_in(key, plain)]:
        return GPUS[max(found, key=len)]
    if _is_in("A100", plain):
        # Ray names both alike.
        return GPUS["A100-80G"] if "80G" in plain else replace(GPUS["A100-40G"], larger="A100-80G")
    return None


def gpu_named(name: str) -> Gpu:
    """The same. Raises SettingsError for one that is not in the table."""
    if (known := known_gpu(name)) is None:
        raise SettingsError(f"there is no GPU {name!r} in the table", "--gpu", f"{nearest(name, list(GPUS))}; one of {', '.join(GPUS)}")
    return known
