"""What the run ran on, for the record."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
from pathlib import Path

import torch

_PACKAGES = ("torch", "onnx", "onnxruntime-gpu", "onnxruntime", "numpy", "scipy", "scikit-learn")


def environment(provider: str) -> dict[str, str]:
    """Versions and the machine in words; nothing that names a user, a host or a folder."""
    versions = {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "cores": str(os.cpu_count() or 1),
        "answers from": provider,
    }
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


@functools.cache
def machine() -> str:
    """What makes units in this process: the processor, and the first GPU where there is one that torch can use."""
    cuda = torch.cuda
    return f"{processor()}, {cuda.get_device_name(0)}" if cuda.is_available() else processor()


def processor() -> str:
    """The processor's name."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"
