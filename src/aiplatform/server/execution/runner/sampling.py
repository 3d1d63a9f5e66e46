"""A thread that measures all attempts on this worker, and the machine itself, once per second.

Processes are listed once for all attempts. Samples are collected in blocks of one minute, and each
block is one row in a table. While the newest block grows, its row is updated every few seconds, so
that charts are live.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import psutil
import structlog
from sqlalchemy.exc import SQLAlchemyError

from aiplatform.server.core.database import transaction
from aiplatform.server.core.settings import get_settings
from aiplatform.server.queue.errors import LostLease
from aiplatform.server.queue.service.claims import Claim
from aiplatform.server.telemetry.rules import Alert, Watch
from aiplatform.server.telemetry.service import telemetry
from aiplatform.server.telemetry.service.telemetry import BLOCK_SAMPLES, Block

SLOWED_DOWN = 0x08 | 0x20 | 0x40 | 0x80
"""Bit mask of NVML's clock event reasons that count as throttling.

These are hardware slowdown, heat and power brake. A deliberately set power cap does not count.
"""


class Gpus:
    """This machine's GPUs, keyed by the ids that workers offer: uuids or indexes."""

    def __init__(self) -> None:
        self._nvml: Any = None
        self._handles: dict[str, Any] = {}
        try:
            import pynvml  # noqa: PLC0415  (optional, as in service.workers)
        except ImportError:
            return
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            log.info("no NVIDIA driver was found, so GPUs are not measured", error=str(error))
            return
        self._nvml = pynvml

    def read(self, device: str) -> dict[str, float]:
        """Return one sample of a device, with the values that it reports.

        The keys are ``percent``, ``memory_mb``, ``memory_mb_total``, ``power_w``, ``temperature_c``
        and ``throttled`` (0 or 1). A MIG instance has its own memory; power, temperature and clocks
        are those of the whole GPU.
        """
        if self._nvml is None:
            return {}
        nvml = self._nvml
        try:
            handle = self._handle(device)
        except nvml.NVMLError:
            return {}
        whole = handle
        if device.startswith("MIG"):
            whole = self._told(lambda: nvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle))
        found: dict[str, float] = {}

        def note(key: str, read: Callable[[], float]) -> None:
            value = self._told(read)
            if value is not None:
                found[key] = float(value)

        memory = self._told(lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
        if memory is not None:
            found["memory_mb"] = memory.used / (1 << 20)
            found["memory_mb_total"] = memory.total / (1 << 20)
        note("percent", lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
        if whole is not None:
            note("power_w", lambda: nvml.nvmlDeviceGetPowerUsage(whole) / 1000)
            note(
                "temperature_c",
                lambda: nvml.nvmlDeviceGetTemperature(whole, nvml.NVML_TEMPERATURE_GPU),
            )
            note("throttled", lambda: float(bool(self._reasons(whole) & SLOWED_DOWN)))
        return found

    def _reasons(self, handle: Any) -> int:
        nvml = self._nvml
        # The function was renamed in version 12 of the library.
        newer = getattr(nvml, "nvmlDeviceGetCurrentClocksEventReasons", None)
        return int((newer or nvml.nvmlDeviceGetCurrentClocksThrottleReasons)(handle))

    def _handle(self, device: str) -> Any:
        if device not in self._handles:
            nvml = self._nvml
            self._handles[device] = (
                nvml.nvmlDeviceGetHandleByIndex(int(device))
                if device.isdigit()
                else nvml.nvmlDeviceGetHandleByUUID(device)
            )
        return self._handles[device]

    def _told(self, read: Callable[[], Any]) -> Any:
        try:
            return read()
        except self._nvml.NVMLError:
            return None


log = structlog.get_logger(__name__)
STEP_SECONDS = 1.0
FLUSH_SECONDS = 5.0
MIB = 1 << 20
MB = 1e6
KEPT_BLOCKS = 30
"""Number of blocks kept while the database is unreachable: half an hour's worth."""


class Series:
    """The blocks of samples from one attempt or machine that are not completely stored yet.

    New samples are added to the last block.
    """

    def __init__(self) -> None:
        self.blocks: list[Block] = []

    def add(self, moment: float, values: Mapping[str, float]) -> None:
        """Add a sample. After a gap, or if the keys differ, start a new block."""
        if not values:
            return
        last = self.blocks[-1] if self.blocks else None
        if last is None or not last.takes(moment, values):
            last = Block(moment, STEP_SECONDS, tuple(sorted(values)))
            self.blocks.append(last)
            del self.blocks[:-KEPT_BLOCKS]
        last.add(values)

    def written(self, blocks: Iterable[Block]) -> None:
        """Drop the blocks that were written, except the one that is still growing."""
        done = {id(block) for block in blocks if len(block) >= BLOCK_SAMPLES}
        growing = self.blocks[-1] if self.blocks else None
        self.blocks = [b for b in self.blocks if b is growing and id(b) not in done]


@dataclass(eq=False)
class Watched:
    """An attempt that is being measured.

    ``pid`` is the process id of its launcher, or None before the launcher has started.
    """

    claim: Claim
    watch: Watch
    pid: int | None = None
    series: Series = field(default_factory=Series)
    alerts: list[Alert] = field(default_factory=list)
    io: dict[int, tuple[int, int]] = field(default_factory=dict)


class Sampler:
    """A sampler for all attempts of this process and for its machine."""

    def __init__(self, disk: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.disk = disk
        self.clock = clock
        self.gpus = Gpus()
        self.worker_id: int | None = None
        self.worker_devices: tuple[str, ...] = ()
        self.machine = Series()
        self.latest: dict[str, float] = {}
        """The last sample of the machine."""
        self._watched: set[Watched] = set()
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._thread: threading.Thread | None = None
        self._last: dict[str, float] = {}
        self._last_at = clock()

    def watch(self, claim: Claim, memory_limit_mb: float) -> Watched:
        """Start measuring an attempt."""
        watched = Watched(claim, Watch(memory_limit_mb))
        with self._lock:
            self._watched.add(watched)
        self._begin()
        return watched

    def watch_machine(self, worker_id: int, devices: Iterable[str]) -> None:
        """Start measuring the machine and storing the samples for this worker."""
        self.worker_id = worker_id
        self.worker_devices = tuple(dict.fromkeys(devices))
        self._begin()

    def release(self, watched: Watched) -> None:
        """Stop measuring an attempt and write its samples. Further calls have no effect.

        Call this before the attempt ends, because ending it adds up its usage.
        """
        with self._lock:
            if watched not in self._watched:
                return
            self._watched.remove(watched)
        self._write_task(watched)

    def _begin(self) -> None:
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        flushed = self.clock()
        due = self.clock()
        while True:
            due = max(due + STEP_SECONDS, self.clock())
            time.sleep(max(0.0, due - self.clock()))
            with self._lock:
                if not self._watched and self.worker_id is None:
                    self._thread = None
                    return
            try:
                self.sample()
                if self.clock() - flushed >= FLUSH_SECONDS:
                    flushed = self.clock()
                    self.flush()
            except (psutil.Error, OSError) as error:
                log.warning("could not measure", error=str(error)[:200])

    def sample(self) -> None:
        """Measure the machine and all attempts once."""
        moment, now = time.time(), self.clock()
        machine = self._measure_machine(now)
        self.latest = machine
        if self.worker_id is not None:
            self.machine.add(moment, machine)
        with self._lock:
            watched = [one for one in self._watched if one.pid is not None]
        if not watched:
            return
        processes, children = _processes()
        around = {f"machine.{key}": value for key, value in machine.items()}
        for one in watched:
            tree = _tree(one.pid or 0, processes, children)
            values = _measure_tree(tree, one.io)
            for place, device in enumerate(one.claim.devices):
                for key, value in self.gpus.read(device).items():
                    values[f"gpu{place}.{key}"] = value
            one.series.add(moment, values)
            one.alerts += one.watch.check(now, {**around, **values})

    def flush(self) -> None:
        """Write all collected samples."""
        with self._lock:
            watched = list(self._watched)
        for one in watched:
            self._write_task(one)
        if self.worker_id is None:
            return
        blocks = list(self.machine.blocks)
        try:
            with transaction() as session:
                telemetry.store_machine(session, self.worker_id, blocks)
        except SQLAlchemyError as error:
            log.warning("could not write the machine's telemetry", error=str(error)[:200])
        else:
            self.machine.written(blocks)

    def _write_task(self, watched: Watched) -> None:
        with self._writing:
            blocks, alerts = list(watched.series.blocks), list(watched.alerts)
            if not blocks and not alerts:
                return
            try:
                with transaction() as session:
                    telemetry.store(session, watched.claim, blocks)
                    for alert in alerts:
                        telemetry.raise_alert(session, watched.claim, alert)
            except LostLease:
                watched.series.blocks.clear()
                watched.alerts.clear()
            except SQLAlchemyError as error:
                log.warning("could not write telemetry", error=str(error)[:200])
            else:
                watched.series.written(blocks)
                del watched.alerts[: len(alerts)]

    def _measure_machine(self, now: float) -> dict[str, float]:
        memory = psutil.virtual_memory()
        values = {
            "cpu_percent": psutil.cpu_percent(),
            "load_1m": psutil.getloadavg()[0],
            "memory_mb": (memory.total - memory.available) / MIB,
            "memory_percent": float(memory.percent),
        }
        if self.disk.exists():
            values["disk_percent"] = float(psutil.disk_usage(str(self.disk)).percent)
        counters: dict[str, float] = {}
        disk, net = psutil.disk_io_counters(), psutil.net_io_counters()
        if disk is not None:
            counters |= {"disk_read_mb_s": disk.read_bytes, "disk_write_mb_s": disk.write_bytes}
        if net is not None:
            counters |= {"net_in_mb_s": net.bytes_recv, "net_out_mb_s": net.bytes_sent}
        passed = now - self._last_at
        if self._last and passed > 0:
            for key, count in counters.items():
                values[key] = max(0.0, (count - self._last.get(key, count)) / passed / MB)
        self._last, self._last_at = counters, now
        for place, device in enumerate(self.worker_devices):
            for key, value in self.gpus.read(device).items():
                values[f"gpu{place}.{key}"] = value
        return values


def _processes() -> tuple[dict[int, psutil.Process], dict[int, list[int]]]:
    """Return all processes, and the process ids of their children, keyed by process id.

    ``psutil`` returns the same objects on every call, which is necessary for CPU percentages.
    """
    found: dict[int, psutil.Process] = {}
    children: dict[int, list[int]] = {}
    for process in psutil.process_iter():
        try:
            children.setdefault(process.ppid(), []).append(process.pid)
        except psutil.Error:
            continue
        found[process.pid] = process
    return found, children


def _tree(
    root: int, processes: Mapping[int, psutil.Process], children: Mapping[int, list[int]]
) -> list[psutil.Process]:
    tree, rest = [], [root]
    while rest:
        pid = rest.pop()
        if pid in processes:
            tree.append(processes[pid])
            rest += children.get(pid, [])
    return tree


def _measure_tree(
    tree: list[psutil.Process], before: dict[int, tuple[int, int]]
) -> dict[str, float]:
    """Return CPU in percent of one core, memory in MiB, and MB read and written per second.

    The result is empty if no process in the tree is left. ``before`` holds the counters from the
    previous call.
    """
    memory = cpu = read = written = 0.0
    seen = 0
    for process in tree:
        try:
            with process.oneshot():
                memory += process.memory_info().rss
                cpu += process.cpu_percent()
            seen += 1
        except psutil.Error:
            before.pop(process.pid, None)
            continue
        counters = _io_of(process)
        if counters is not None:
            last = before.get(process.pid, counters)
            read += max(0, counters[0] - last[0])
            written += max(0, counters[1] - last[1])
            before[process.pid] = counters
    if not seen:
        return {}
    return {
        "cpu_percent": cpu,
        "memory_mb": memory / MIB,
        "processes": float(seen),
        "read_mb_s": read / MB / STEP_SECONDS,
        "write_mb_s": written / MB / STEP_SECONDS,
    }


def _io_of(process: Any) -> tuple[int, int] | None:
    """Return the bytes read and written, or None if the operating system does not report them."""
    try:
        counters = process.io_counters()
    except (psutil.Error, AttributeError):  # macOS does not report them
        return None
    return counters.read_bytes, counters.write_bytes


@cache
def get_sampler() -> Sampler:
    """Return the sampler of this process."""
    return Sampler(get_settings().home)
