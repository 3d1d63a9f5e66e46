"""Peak memory use of a training run."""

import sys
from pathlib import Path

from aiplatform.runtime.loading import device


def peak_memory_mb() -> int:
    """Return the peak memory use in MiB.

    On a GPU, this is the memory that torch has reserved there. On a CPU, it is the resident memory
    of this process.
    """
    import torch

    if device().type == "cuda":
        return int(torch.cuda.max_memory_reserved() >> 20)
    try:
        # Preferred to getrusage(), which includes the memory of the program that started this one.
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            name, _, value = line.partition(":")
            if name == "VmHWM":
                return int(value.split()[0]) >> 10
    except OSError:
        pass
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak >> 20 if sys.platform == "darwin" else peak >> 10)
