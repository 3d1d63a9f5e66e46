"""Prometheus metrics of workers, which each worker stores in the database.

A worker stores them with each heartbeat, and the API returns them under ``/metrics``. Prometheus
therefore scrapes one address for all workers and needs no access to them. Counters start at 0 when
a worker starts, as Prometheus expects.
"""

from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import Metric
from sqlalchemy import text
from sqlalchemy.orm import Session

from aiplatform.protocol.encoding import dumps

WORKER = CollectorRegistry()
"""The registry of the metrics that this process collects as a worker."""

BUCKETS = (0.05, 0.1, 0.5, 1, 5, 30, 60, 300, 1800, 3600, 4 * 3600, 24 * 3600)
CLAIMS = Counter(
    "aiplatform_worker_claims", "Attempts that were started", ["type"], registry=WORKER
)
EXPIRIES = Counter(
    "aiplatform_worker_lease_expiries", "Leases that this worker's reaper ended", registry=WORKER
)
WAITS = Histogram(
    "aiplatform_task_wait_seconds",
    "From submission to the first start",
    ["type"],
    buckets=BUCKETS,
    registry=WORKER,
)
DURATIONS = Histogram(
    "aiplatform_attempt_seconds",
    "How long attempts ran, by how they ended",
    ["type", "outcome"],
    buckets=BUCKETS,
    registry=WORKER,
)
LOG_BYTES = Counter("aiplatform_worker_log_bytes", "Text that tasks printed", registry=WORKER)


def snapshot() -> list[Any]:
    """Return all of this worker's metrics as JSON."""
    return [
        [
            family.name,
            family.type,
            family.documentation,
            [
                [s.name, s.labels, s.value]
                for s in family.samples
                if not s.name.endswith("_created")
            ],
        ]
        for family in WORKER.collect()
    ]


def store(session: Session, worker_id: int, families: list[Any]) -> None:
    """Store a worker's metrics for ``/metrics``."""
    session.execute(
        text(
            "INSERT INTO worker_figures (worker_id, figures) "
            "VALUES (:worker, CAST(:figures AS jsonb)) ON CONFLICT (worker_id) "
            "DO UPDATE SET figures = excluded.figures, updated_at = clock_timestamp()"
        ),
        {"worker": worker_id, "figures": dumps(families)},
    )


def worker_families(session: Session, names: dict[int, str]) -> Iterator[Metric]:
    """Yield the stored metrics of workers, with the worker's name as the label ``worker``.

    ``names`` maps the workers' ids to their names.
    """
    rows = session.execute(
        text("SELECT worker_id, figures FROM worker_figures WHERE worker_id = ANY(:ids)"),
        {"ids": list(names)},
    )
    families: dict[str, Metric] = {}
    for worker_id, stored in rows:
        for name, kind, documentation, samples in stored:
            family = families.setdefault(name, Metric(name, documentation, kind))
            for sample, labels, value in samples:
                family.add_sample(sample, {**labels, "worker": names[worker_id]}, float(value))
    yield from families.values()
