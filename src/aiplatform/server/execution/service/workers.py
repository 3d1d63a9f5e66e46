"""Workers: registration, heartbeats, and the resources of a machine including its GPUs."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import psutil
import structlog
from sqlalchemy import func, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

import aiplatform
from aiplatform.server.core.results import fail_lost_invocations
from aiplatform.server.core.settings import SCRIPTS_REFUSED, Settings
from aiplatform.server.execution.service.attempts import expire
from aiplatform.server.execution.service.periodic import isolated
from aiplatform.server.queue import queries
from aiplatform.server.queue.models import Worker
from aiplatform.server.queue.rules import Device
from aiplatform.server.queue.rules.placement import gpu_label


def machine_devices() -> list[Device]:
    """Return a device for each GPU, or for each MIG instance of a partitioned GPU.

    The list is empty if the library or a driver is missing. A GPU that does not respond is left
    out.
    """
    try:
        import pynvml  # noqa: PLC0415  (optional: only machines with NVIDIA GPUs have it)
    except ImportError:
        return []
    try:
        pynvml.nvmlInit()
        count = int(pynvml.nvmlDeviceGetCount())
    except pynvml.NVMLError:
        return []
    found: list[Device] = []
    for place in range(count):
        try:
            found.extend(_devices_of(pynvml, place))
        except pynvml.NVMLError as error:
            log.warning("a GPU does not answer", gpu=place, error=str(error))
    return found


def _devices_of(nvml: Any, place: int) -> list[Device]:
    gpu = nvml.nvmlDeviceGetHandleByIndex(place)
    name = _text(nvml.nvmlDeviceGetName(gpu))
    try:
        divided = bool(nvml.nvmlDeviceGetMigMode(gpu)[0])
    except nvml.NVMLError:  # most GPUs have no MIG
        divided = False
    if not divided:
        # Use the uuid, because CUDA may number the GPUs in a different order from NVML.
        return [Device(_text(nvml.nvmlDeviceGetUUID(gpu)), _memory_mb(nvml, gpu), name)]
    instances = []
    for number in range(nvml.nvmlDeviceGetMaxMigDeviceCount(gpu)):
        try:
            instance = nvml.nvmlDeviceGetMigDeviceHandleByIndex(gpu, number)
        except nvml.NVMLError:  # there may be fewer instances
            continue
        identity = _text(nvml.nvmlDeviceGetUUID(instance))
        instances.append(Device(identity, _memory_mb(nvml, instance), name))
    return instances


def _memory_mb(nvml: Any, device: Any) -> int:
    return int(nvml.nvmlDeviceGetMemoryInfo(device).total) >> 20


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


log = structlog.get_logger(__name__)
ISOLATION_CHECK = [sys.executable, "-m", "aiplatform.runtime.script.isolation"]
ISOLATION_CHECK_SECONDS = 120
"""Time limit in seconds for checking whether scripts can be isolated.

On an idle machine, the check takes less than one second.
"""


@dataclass(frozen=True, slots=True)
class Capacity:
    """The resources that a worker offers: CPU cores, memory in MiB, GPUs or slots, and labels."""

    cpus: float
    memory_mb: int
    devices: tuple[Device, ...] = ()
    labels: tuple[str, ...] = ()


def capacity(settings: Settings) -> Capacity:
    """Return the resources that this worker offers, from the settings or else from the machine."""
    devices = tuple(settings_devices(settings) or machine_devices())
    if settings.worker_gpus is not None:
        few = devices[: settings.worker_gpus]
        more = (Device(str(place)) for place in range(len(few), settings.worker_gpus))
        devices = (*few, *more)
    models = {gpu_label(device.name) for device in devices if device.name}
    return Capacity(
        cpus=settings.worker_cpus or float(os.cpu_count() or 1),
        memory_mb=settings.worker_memory_mb or psutil.virtual_memory().total >> 20,
        devices=devices,
        labels=tuple(sorted(models | script_labels(settings) | set(settings.worker_labels))),
    )


def script_labels(settings: Settings) -> set[str]:
    """Return the worker's labels for scripts, which name the environments that it offers.

    If the worker should isolate scripts but can't, return only a label that says so.
    """
    if not settings.scripts or settings.scripts_without_isolation:
        return settings.script_labels
    reason = missing_isolation()
    if reason is None:
        return settings.script_labels
    log.warning(
        "this worker refuses scripts, because it can't isolate them from each other",
        reason=reason,
        remedy="run it as root, or set AIPLATFORM_SCRIPTS_WITHOUT_ISOLATION=true",
    )
    return {SCRIPTS_REFUSED}


@cache
def missing_isolation() -> str | None:
    """Return the reason why scripts can't be isolated here, or None if they can.

    The check runs in a subprocess, once per worker process.
    """
    try:
        done = subprocess.run(
            ISOLATION_CHECK,
            capture_output=True,
            text=True,
            timeout=ISOLATION_CHECK_SECONDS,
            check=True,
            cwd="/",
        )
        found = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        log.warning("could not check the isolation of scripts", error=str(error)[:500])
        return f"the check failed: {error}"
    return None if found["isolated"] else str(found["reason"])


def settings_devices(settings: Settings) -> list[Device]:
    """Return the GPU slots from the settings, where each is ``id:MiB``. Several may share a GPU."""
    found = []
    for slot in settings.worker_gpu_slots:
        name, _, memory = slot.rpartition(":")
        found.append(Device(name, int(memory)) if name else Device(slot))
    return found


def register(session: Session, name: str, queues: Sequence[str], offers: Capacity) -> int:
    """Register this worker under its name, replacing a dead predecessor; return the worker's id.

    The caller has locked the name and made sure that the predecessor's children are gone. The tasks
    that the predecessor held are therefore requeued immediately. If that fails for a task, the
    reaper requeues it later.
    """
    values = {
        "name": name,
        "hostname": socket.gethostname(),
        "pid": os.getpid(),
        "software_version": aiplatform.__version__,
        "queues": list(queues),
        "cpus": offers.cpus,
        "memory_mb": offers.memory_mb,
        "gpus": len(offers.devices),
        "devices": [asdict(device) for device in offers.devices],
        "labels": list(offers.labels),
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
    for held in queries.leases_to_end(session, worker_id):
        reason = "the worker died and was started again"
        with isolated("the end of a lease", task_id=held.task_id), session.begin_nested():
            expire(session, held.task_id, held.fence, reason)
    fail_lost_invocations(session, name)
    return worker_id


def measured_load() -> dict[str, Any]:
    """Return the machine's load: CPU in percent of all cores, memory in MiB, and load average."""
    memory = psutil.virtual_memory()
    return {
        "cpu_percent": psutil.cpu_percent(),
        "memory_used_mb": (memory.total - memory.available) >> 20,
        "load_1m": round(psutil.getloadavg()[0], 2),
    }


def heartbeat(session: Session, worker_id: int, load: dict[str, Any] | None = None) -> None:
    """Record a heartbeat of the worker."""
    session.execute(
        update(Worker)
        .where(Worker.id == worker_id)
        .values(
            heartbeats=Worker.heartbeats + 1,
            heartbeat_at=func.clock_timestamp(),
            stopped_at=None,
            **({} if load is None else {"load": load}),
        )
    )


def sign_off(session: Session, worker_id: int) -> None:
    """Record that the worker shut down cleanly."""
    name = session.scalar(
        update(Worker)
        .where(Worker.id == worker_id)
        .values(stopped_at=func.clock_timestamp())
        .returning(Worker.name)
    )
    if name is not None:
        fail_lost_invocations(session, name)
