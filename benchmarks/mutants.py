"""What the tests do not notice: the mutants that survived `mutmut run`, by file and change, in one text file.

python -m benchmarks.mutants benchmarks/survivors.txt

Ends with 1 where less than 90 % were killed. `[tool.mutmut]` in pyproject.toml says what is changed: methods, the race, statistics.
"""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

LEAST = 0.9
# A mutant that loops, or eats the memory, until it is stopped was noticed.
KILLED = ("killed", "timeout", "segfault", "caught by type check")


@dataclass(frozen=True)
class Mutant:
    """One change of one function, `name` as mutmut has it, and what became of it."""

    name: str
    status: str

    @property
    def module(self) -> str:
        """The module that was changed."""
        return self.name.split(".x", 1)[0]

    @property
    def is_killed(self) -> bool:
        """Whether a test failed of it."""
        return self.status in KILLED


def mutants(listed: str) -> list[Mutant]:
    """Those that `mutmut results` lists, one on a line, as `name: status`."""
    split = (line.strip().rpartition(": ") for line in listed.splitlines() if ": " in line)
    return [Mutant(name, status) for name, _, status in split if status != "skipped"]


def share_killed(found: Sequence[Mutant]) -> float:
    """The share of mutants that a test noticed. Raises ValueError where there are none."""
    if not found:
        raise ValueError("there are no mutants: `make mutants` makes them")
    return sum(mutant.is_killed for mutant in found) / len(found)


def table(found: Sequence[Mutant]) -> str:
    """Each module with its mutants, those that were killed and the share."""
    all_of, killed = (Counter(m.module for m in chosen) for chosen in (found, [m for m in found if m.is_killed]))
    rows = [f"{module:<45} {killed[module]:>5} of {count:>5}  {killed[module] / count:>6.1%}" for module, count in sorted(all_of.items())]
    total = sum(killed.values())
    return "\n".join([*rows, f"{'together':<45} {total:>5} of {len(found):>5}  {share_killed(found):>6.1%}"])


def listing(found: Sequence[Mutant], changes: Mapping[str, str]) -> str:
    """The table, and each survivor with its change."""
    survivors = [f"{mutant.name}: {mutant.status}\n{changes[mutant.name]}" for mutant in found if not mutant.is_killed]
    return "\n\n".join([table(found), *survivors]) + "\n"


def _mutmut(*words: str) -> str:
    command = [str(Path(sys.executable).parent / "mutmut"), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _change(mutant: Mutant) -> str:
    """The lines that were taken away and put in."""
    lines = _mutmut("show", mutant.name).splitlines()
    return "\n".join(line for line in lines if line.startswith(("-", "+")) and not line.startswith(("---", "+++")))


def main(file: Path) -> int:
    """Write the listing and print its table; 0 where enough were killed."""
    found = mutants(_mutmut("results", "--all", "true"))
    survivors = [mutant for mutant in found if not mutant.is_killed]
    with ThreadPoolExecutor(os.cpu_count()) as several:
        changes = dict(zip([mutant.name for mutant in survivors], several.map(_change, survivors), strict=True))
    file.write_text(listing(found, changes), encoding="utf-8")
    print(table(found))
    print(f"the survivors: {file}")
    return int(share_killed(found) < LEAST)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
