"""A description of the environment of a job: platform, Python, packages and hardware."""

import os
import platform
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import aiplatform


def environment() -> dict[str, Any]:
    """Return the packages, platform and hardware, all of which may affect a job's result.

    Memory is in MiB.
    """
    import psutil
    import torch

    packages = {
        str(found.metadata["Name"]): found.version
        for found in distributions()
        if found.metadata["Name"]
    }
    return {
        "aiplatform": aiplatform.__version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "packages": dict(sorted(packages.items(), key=lambda item: item[0].lower())),
        "hardware": {
            "cpu": cpu_name(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "memory_mb": psutil.virtual_memory().total >> 20,
            "gpus": gpus(),
        },
        "cuda": torch.version.cuda,
    }


def cpu_name() -> str:
    """Return the processor's product name if the system knows it, otherwise the architecture."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def gpus() -> list[dict[str, Any]]:
    """Return the name and memory in MiB of each GPU that this process may use."""
    import torch

    if not torch.cuda.is_available():
        return []
    found = []
    for index in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(index)
        found.append({"name": facts.name, "memory_mb": facts.total_memory >> 20})
    return found
