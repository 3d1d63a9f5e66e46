"""Workers: what a machine offers, and its heartbeat."""

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass

import psutil
from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

import aiplatform
from aiplatform.server.core.settings import Settings
from aiplatform.server.tasks.models import TaskLease, Worker
from aiplatform.server.tasks.service.attempts import expire


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a worker offers: CPU cores, memory in MiB, GPUs."""

    cpus: float
    memory_mb: int
    gpus: int


def capacity(settings: Settings) -> Capacity:
    """What this machine has, unless the settings say otherwise."""
    return Capacity(
        cpus=settings.worker_cpus or float(os.cpu_count() or 1),
        memory_mb=settings.worker_memory_mb or psutil.virtual_memory().total >> 20,
        gpus=count_gpus() if settings.worker_gpus is None else settings.worker_gpus,
    )


def count_gpus() -> int:
    """GPUs that NVML reports; 0 without the library or a driver."""
    try:
        import pynvml  # noqa: PLC0415  (optional: only machines with NVIDIA GPUs have it)
    except ImportError:
        return 0
    try:
        pynvml.nvmlInit()
        return int(pynvml.nvmlDeviceGetCount())
    except pynvml.NVMLError:
        return 0


def register(session: Session, name: str, queues: Sequence[str], offers: Capacity) -> int:
    """Enter this process under its name, and take the name over from a predecessor that died.

    The caller holds the lock of the name and has made sure that the predecessor's children are
    gone, so what the predecessor held goes back to the queue at once. Returns the worker's id.
    """
    values = {
        "name": name,
        "hostname": socket.gethostname(),
        "pid": os.getpid(),
        "software_version": aiplatform.__version__,
        "queues": list(queues),
        "cpus": offers.cpus,
        "memory_mb": offers.memory_mb,
        "gpus": offers.gpus,
    }
    worker_id = session.scalars(
        insert(Worker)
        .values(**values)
        .on_conflict_do_update(
            index_elements=[Worker.name],
            set_={
                **values,
                "started_at": func.clock_timestamp(),
                "heartbeat_at": func.clock_timestamp(),
                "stopped_at": None,
            },
        )
        .returning(Worker.id)
    ).one()
    held = session.execute(
        select(TaskLease.task_id, TaskLease.fence).where(TaskLease.worker_id == worker_id)
    ).all()
    for task_id, fence in held:
        expire(session, task_id, fence, "the worker died and was started again")
    return worker_id


def heartbeat(session: Session, worker_id: int) -> None:
    """Count one more sign of life."""
    session.execute(
        update(Worker)
        .where(Worker.id == worker_id)
        .values(
            heartbeats=Worker.heartbeats + 1,
            heartbeat_at=func.clock_timestamp(),
            stopped_at=None,
        )
    )


def sign_off(session: Session, worker_id: int) -> None:
    """Say that the worker stopped in order."""
    session.execute(
        update(Worker).where(Worker.id == worker_id).values(stopped_at=func.clock_timestamp())
    )
