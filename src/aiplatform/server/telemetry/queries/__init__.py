"""SELECT statements for metrics, logs and the use of machines; series are in ``series``."""

from aiplatform.server.telemetry.queries.logs import (
    CHUNKS_PER_PAGE,
    POINTS_PER_PAGE,
    chunks_after,
    chunks_between,
    last_chunk,
    newest_ids,
    points_after,
)
from aiplatform.server.telemetry.queries.telemetry import (
    held_by,
    samples_of,
    task_blocks,
    usage_of,
    worker_blocks,
)

__all__ = [
    "CHUNKS_PER_PAGE",
    "POINTS_PER_PAGE",
    "chunks_after",
    "chunks_between",
    "held_by",
    "last_chunk",
    "newest_ids",
    "points_after",
    "samples_of",
    "task_blocks",
    "usage_of",
    "worker_blocks",
]
