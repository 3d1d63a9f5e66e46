"""When a worker keeps a spare runtime. Memory in MiB, times in seconds."""

from typing import Literal

Mode = Literal["auto", "on", "off"]

ENOUGH_MB = 3072
"""Available before one is made: it takes some 600 itself, and what comes next needs more."""

SCARCE_MB = 1536
"""Available at least while one is kept. What giving it up frees is not enough to make another."""

IDLE_SECONDS = 600.0
"""Time after which a spare is given up, if no task could have used it."""


def is_made(mode: Mode, available_mb: float, unused_seconds: float) -> bool:
    """Whether a worker without a spare makes one."""
    if mode != "auto":
        return mode == "on"
    return available_mb >= ENOUGH_MB and unused_seconds < IDLE_SECONDS


def is_kept(mode: Mode, available_mb: float, unused_seconds: float) -> bool:
    """Whether a worker that has a spare keeps it."""
    if mode != "auto":
        return mode == "on"
    return available_mb >= SCARCE_MB and unused_seconds < IDLE_SECONDS
