"""Rules for alerts about what a running task uses; pure, fed with one sample per second."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

IDLE_PERCENT = 5.0
IDLE_SECONDS = 600.0
NEAR_SHARE = 0.95
GPU_NEAR_SHARE = 0.97
"""Share of used memory that counts as near the limit.

It is higher than for other memory, because frameworks keep memory that they once took, and servers
take 90 % on purpose.
"""
DISK_FREE_SHARE = 0.05
THROTTLED_SECONDS = 30.0
NEAR_SECONDS = 10.0
REARM_SECONDS = 60.0
"""Seconds for which a condition must be gone before it can cause another alert."""


class AlertKind(StrEnum):
    """The conditions that cause an alert."""

    DISK_NEAR = "disk_near"
    GPU_IDLE = "gpu_idle"
    GPU_MEMORY_NEAR = "gpu_memory_near"
    GPU_THROTTLED = "gpu_throttled"
    MEMORY_NEAR = "memory_near"


TEXTS: dict[AlertKind, dict[str, str]] = {
    AlertKind.DISK_NEAR: {
        "en": "the disk of its worker is nearly full",
        "zh": "所在机器的磁盘即将写满",
    },
    AlertKind.GPU_IDLE: {
        "en": "its GPUs have been idle for 10 minutes",
        "zh": "GPU 已空闲 10 分钟",
    },
    AlertKind.GPU_MEMORY_NEAR: {
        "en": "the memory of a GPU is nearly used up",
        "zh": "GPU 显存即将用尽",
    },
    AlertKind.GPU_THROTTLED: {
        "en": "a GPU is slowed down by heat or power",
        "zh": "GPU 因过热或供电不足而降频",
    },
    AlertKind.MEMORY_NEAR: {"en": "its memory is nearly used up", "zh": "内存即将用尽"},
}


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert, with the value that was measured at that moment (percent or MiB)."""

    kind: AlertKind
    value: float


@dataclass(slots=True)
class _Condition:
    since: float | None = None
    gone_since: float | None = None
    raised: bool = False


@dataclass(slots=True)
class Watch:
    """The conditions of one attempt over time.

    ``memory_limit_mb`` is the memory that the task asked for; 0 if it asked for none.
    """

    memory_limit_mb: float = 0.0
    _conditions: dict[AlertKind, _Condition] = field(default_factory=dict)

    def check(self, now: float, sample: Mapping[str, float]) -> list[Alert]:
        """Return the alerts that are due now. A value that is missing from ``sample`` is ignored.

        Args:
            now: seconds, by any clock that does not jump.
            sample: by key as :mod:`runner.sampling` makes them, the machine's with ``machine.``.
        """
        raised = []
        for kind, value, holds, seconds in self._conditions_in(sample):
            condition = self._conditions.setdefault(kind, _Condition())
            if holds:
                condition.gone_since = None
                condition.since = now if condition.since is None else condition.since
                if not condition.raised and now - condition.since >= seconds:
                    condition.raised = True
                    raised.append(Alert(kind, round(value, 1)))
                continue
            condition.since = None
            condition.gone_since = now if condition.gone_since is None else condition.gone_since
            if now - condition.gone_since >= REARM_SECONDS:
                condition.raised = False
        return raised

    def _conditions_in(
        self, sample: Mapping[str, float]
    ) -> Iterator[tuple[AlertKind, float, bool, float]]:
        busy = [sample[key] for key in sample if _is_gpu(key, "percent")]
        if busy:
            yield AlertKind.GPU_IDLE, max(busy), max(busy) < IDLE_PERCENT, IDLE_SECONDS
        shares = [
            sample[key] / total
            for key in sample
            if _is_gpu(key, "memory_mb") and (total := sample.get(f"{key}_total", 0.0)) > 0
        ]
        if shares:
            share = max(shares)
            yield AlertKind.GPU_MEMORY_NEAR, share * 100, share >= GPU_NEAR_SHARE, NEAR_SECONDS
        throttled = [sample[key] for key in sample if _is_gpu(key, "throttled")]
        if throttled:
            yield AlertKind.GPU_THROTTLED, 100.0, max(throttled) > 0, THROTTLED_SECONDS
        share = sample.get("machine.memory_percent", 0.0) / 100
        if self.memory_limit_mb:
            share = max(share, sample.get("memory_mb", 0.0) / self.memory_limit_mb)
        yield AlertKind.MEMORY_NEAR, share * 100, share >= NEAR_SHARE, NEAR_SECONDS
        full = sample.get("machine.disk_percent")
        if full is not None:
            near = full >= 100 * (1 - DISK_FREE_SHARE)
            yield AlertKind.DISK_NEAR, full, near, NEAR_SECONDS


def _is_gpu(key: str, measure: str) -> bool:
    device, _, rest = key.partition(".")
    return device.startswith("gpu") and rest == measure
