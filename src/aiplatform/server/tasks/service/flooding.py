"""The rate limit for the logs of external runs, with the rates and bursts of other tasks.

Lines beyond the rate are dropped, not stored in segments: the run's own machine has them.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from aiplatform.protocol.enums import LogStream
from aiplatform.server.tasks.models import ExternalRun
from aiplatform.server.tasks.rules.levels import Level
from aiplatform.server.tasks.service.attempts import Chunk

CALM_SECONDS = 2.0
"""Seconds of the rate that must be free again before lines are kept, once some were dropped."""


def within_rate(
    run: ExternalRun, lines: Sequence[Chunk], *, rate: float, burst: float, now: float
) -> list[Chunk]:
    """Return the lines that are kept, with a line of the platform in place of dropped ones.

    This reduces the run's allowance, which refills as time passes from line to line, up to ``now``:
    a log that is sent late, all at once, is no flood. ``rate`` is in bytes per second, ``burst`` in
    bytes, times are in seconds since the epoch.
    """
    allowance = burst if run.log_allowance is None else run.log_allowance
    # If the clock was set back, the allowance would not refill until the old time is reached again.
    filled = None if run.log_filled_at is None else min(run.log_filled_at.timestamp(), now)
    kept: list[Chunk] = []
    lost: list[int] = []
    for line in lines:
        size, at = len(line.text.encode()), min(line.time, now)
        filled = at if filled is None else filled
        allowance = min(burst, allowance + rate * max(0.0, at - filled))
        filled = max(filled, at)
        if lost and allowance >= min(burst, rate * CALM_SECONDS):
            kept.append(_in_place_of(run, lost, rate, at))
            lost = []
        if lost or size > allowance:
            lost.append(size)
        else:
            allowance -= size
            kept.append(line)
    if lost:
        kept.append(_in_place_of(run, lost, rate, min(lines[-1].time, now)))
    run.log_allowance = allowance
    run.log_filled_at = None if filled is None else datetime.fromtimestamp(filled, UTC)
    return kept


def _in_place_of(run: ExternalRun, lost: Sequence[int], rate: float, at: float) -> Chunk:
    run.log_lost_bytes += sum(lost)
    text = f"{sum(lost):,} bytes in {len(lost):,} lines were dropped here: "
    text += f"the run prints more than {rate / 1000:.0f} kB/s."
    chunk = Chunk(LogStream.SYSTEM, text + "\n", at)
    chunk.level, chunk.levels = int(Level.WARNING), [[0, int(Level.WARNING)]]
    gone = {"lost_bytes": sum(lost), "lost_lines": len(lost)}
    chunk.segment = {"sha256": None, "bytes": 0, "lines": 0, **gone}
    return chunk
