"""Rules for when a worker keeps a spare runtime. Memory in MiB, times in seconds."""

from typing import Literal

Mode = Literal["auto", "on", "off"]

ENOUGH_MB = 3072
"""Available memory needed to make a spare: it takes about 600, and the next task needs more."""

SCARCE_MB = 1536
"""Available memory below which a spare is ended. Ending one frees too little to make another."""

IDLE_SECONDS = 600.0
"""Time after which a spare is ended if no task could have used it."""


def is_made(mode: Mode, available_mb: float, unused_seconds: float) -> bool:
    """Return True if a worker without a spare should make one."""
    if mode != "auto":
        return mode == "on"
    return available_mb >= ENOUGH_MB and unused_seconds < IDLE_SECONDS


def is_kept(mode: Mode, available_mb: float, unused_seconds: float) -> bool:
    """Return True if a worker should keep its spare."""
    if mode != "auto":
        return mode == "on"
    return available_mb >= SCARCE_MB and unused_seconds < IDLE_SECONDS
