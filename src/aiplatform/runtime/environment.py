"""What a run depends on beside its job: platform, Python, packages, hardware."""

import os
import platform
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import aiplatform


def environment() -> dict[str, Any]:
    """Everything that may make the same job come out differently. Memory in MiB.

    torch must have been imported, since it says which GPUs the process has.
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
    """The processor as its maker calls it, where the system tells."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def gpus() -> list[dict[str, Any]]:
    """The GPUs that this process may use; none is an empty list."""
    import torch

    if not torch.cuda.is_available():
        return []
    found = []
    for index in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(index)
        found.append({"name": facts.name, "memory_mb": facts.total_memory >> 20})
    return found
