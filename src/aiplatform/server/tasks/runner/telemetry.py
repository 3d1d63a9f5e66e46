"""What an attempt uses of the machine, sampled from outside the child and summed up at its end.

Nothing is made up: a machine without GPUs says ``"gpus": []``, and says that there are none.
"""

from dataclasses import dataclass, field
from typing import Any

import psutil

MIB = 1 << 20


@dataclass(slots=True)
class Usage:
    """Samples of one attempt's process tree. Memory in MiB, CPU in percent of one core."""

    gpu_indices: tuple[int, ...]
    memory: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    _known: dict[int, psutil.Process] = field(default_factory=dict)

    def sample(self, pid: int) -> None:
        """Measure the tree below ``pid`` once."""
        memory = 0
        cpu = 0.0
        try:
            root = psutil.Process(pid)
            tree = [root, *root.children(recursive=True)]
        except psutil.Error:
            return
        for process in tree:
            # cpu_percent measures since its last call on the same object, so objects are kept.
            known = self._known.setdefault(process.pid, process)
            try:
                memory += known.memory_info().rss
                cpu += known.cpu_percent()
            except psutil.Error:
                self._known.pop(process.pid, None)
        self.memory.append(memory / MIB)
        self.cpu.append(cpu)

    def summary(self) -> dict[str, Any]:
        """What is kept in ``tasks.gpu_usage``; empty when nothing was sampled."""
        if not self.memory:
            return {}
        cpu = self.cpu[1:] or self.cpu  # the first sample has no interval to measure over
        return {
            "gpus": list(self.gpu_indices),
            "note": None if self.gpu_indices else "no GPU",
            "samples": len(self.memory),
            "memory_mb": _series(self.memory),
            "cpu_percent": _series(cpu),
        }


def _series(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {
        "mean": round(sum(values) / len(values), 1),
        "p95": round(ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))], 1),
        "peak": round(ordered[-1], 1),
    }
