"""Prometheus metrics: requests of all API processes, the queue and the workers."""

import os
from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Depends, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from sqlalchemy.orm import Session

from aiplatform.protocol.permissions import Permission
from aiplatform.server.identity.access import PlatformGuard, Principal, SessionDep
from aiplatform.server.queue import queries
from aiplatform.server.telemetry.service import prometheus

router = APIRouter()
MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"
"""Environment variable with the directory for the metrics of several API processes.

``prometheus_client`` aggregates them; see ``server.app``.
"""


def queue_families(session: Session) -> Iterator[Metric]:
    """Yield metrics about the queue and the live workers, read from the database."""
    waiting = GaugeMetricFamily(
        "aiplatform_tasks_waiting", "Tasks that wait and may start now", labels=["queue"]
    )
    for queue, count in queries.waiting_by_queue(session).items():
        waiting.add_metric([queue], count)
    yield waiting
    oldest = GaugeMetricFamily(
        "aiplatform_tasks_oldest_wait_seconds", "Age of the oldest waiting task", labels=["queue"]
    )
    for queue, seconds in queries.oldest_wait(session).items():
        oldest.add_metric([queue], seconds)
    yield oldest
    unfinished = GaugeMetricFamily(
        "aiplatform_tasks_unfinished", "Tasks that have not ended", labels=["status", "priority"]
    )
    for status, priority, count in queries.unfinished_counts(session):
        unfinished.add_metric([status, str(priority)], count)
    yield unfinished
    running = GaugeMetricFamily(
        "aiplatform_tasks_running", "Tasks that a worker holds", labels=["type"]
    )
    for task_type, count in queries.running_by_type(session).items():
        running.add_metric([task_type], count)
    yield running
    yield from _live_worker_families(session)


def _live_worker_families(session: Session) -> Iterator[Metric]:
    live = queries.live_workers(session)
    yield GaugeMetricFamily(
        "aiplatform_workers", "Workers with a recent heartbeat", value=len(live)
    )
    labels = ["worker", "state"]
    cpus = GaugeMetricFamily("aiplatform_worker_cpus", "CPU cores of a worker", labels=labels)
    memory = GaugeMetricFamily("aiplatform_worker_memory_mb", "MiB of a worker", labels=labels)
    gpus = GaugeMetricFamily("aiplatform_worker_gpus", "Slots for GPU work", labels=labels)
    load = GaugeMetricFamily(
        "aiplatform_worker_load",
        "Current load of the worker's machine",
        labels=["worker", "measure"],
    )
    for worker in live:
        total, free, places = queries.room_of(worker, queries.leases_of(session, worker.id))
        for family, all_of_it, rest in (
            (cpus, total.cpus, free.cpus),
            (memory, total.memory_mb, free.memory_mb),
            (gpus, len(total.devices), len(places)),
        ):
            family.add_metric([worker.name, "total"], all_of_it)
            family.add_metric([worker.name, "free"], rest)
        for measure, value in worker.load.items():
            if isinstance(value, int | float):
                load.add_metric([worker.name, measure], value)
    yield from (cpus, memory, gpus, load)
    yield from prometheus.worker_families(session, {worker.id: worker.name for worker in live})


class _FamilyCollector(Collector):
    """A Prometheus collector for metric families that have already been read from the database."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        """Return the metric families."""
        return self._families


@router.get(
    "/metrics",
    tags=["health"],
    summary="Metrics for Prometheus",
    response_class=PlainTextResponse,
)
def metrics(
    _: Annotated[Principal, Depends(PlatformGuard(Permission.SETTINGS_READ))],
    session: SessionDep,
) -> Response:
    """Return metrics about requests, the queue and the workers in Prometheus' text format.

    Requires `settings:read`: give Prometheus an API key with that scope as its bearer token.
    """
    of_requests = REGISTRY
    if os.environ.get(MULTIPROCESS):
        of_requests = CollectorRegistry()
        MultiProcessCollector(of_requests)  # type: ignore[no-untyped-call]
    of_queue = CollectorRegistry(auto_describe=False)
    of_queue.register(_FamilyCollector(list(queue_families(session))))
    return Response(
        generate_latest(of_requests) + generate_latest(of_queue), media_type=CONTENT_TYPE_LATEST
    )
