"""Placement rules: the demand of a task, the free room on a worker, and the tasks to interrupt.

These functions read no database. ``queries/queue.sql`` has :meth:`Room.holds` in SQL.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from aiplatform.server.core.settings import SCRIPT_LABEL, SCRIPTS_REFUSED

Amount = Literal["cpus", "memory_mb", "gpus"]
"""A worker resource that can run short."""


@dataclass(frozen=True, slots=True)
class Demand:
    """The resources that a task needs. Memory is in MiB; ``gpu_memory_mb`` applies to each GPU."""

    cpus: float = 1.0
    memory_mb: int = 0
    gpus: int = 0
    gpu_memory_mb: int = 0
    queue: str = "default"
    labels: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Device:
    """A slot for GPU work on a worker: a whole GPU, a MIG instance, or a declared fraction.

    ``id`` is CUDA's name for the device; slots of the same GPU share an id. Memory is in MiB, 0 if
    unknown.
    """

    id: str
    memory_mb: int = 0
    name: str = ""


@dataclass(frozen=True, slots=True)
class Room:
    """An amount of each countable resource. ``devices`` holds each device's memory in MiB."""

    cpus: float
    memory_mb: int
    devices: tuple[int, ...] = ()

    @property
    def largest_first(self) -> list[int]:
        """The devices' memory, largest first: for a task with n GPUs, the n-th value decides."""
        return sorted(self.devices, reverse=True)

    def holds(self, demand: Demand) -> bool:
        """Return True if a task with this demand fits."""
        if demand.cpus > self.cpus or demand.memory_mb > self.memory_mb:
            return False
        if demand.gpus == 0:
            return True
        if demand.gpus > len(self.devices):
            return False
        return self.largest_first[demand.gpus - 1] >= demand.gpu_memory_mb

    def without(self, demand: Demand) -> "Room":
        """Return the room that is left after ``demand`` took the smallest devices that suffice."""
        taken = pick_devices(self.devices, demand.gpus, demand.gpu_memory_mb)
        left = [memory for place, memory in enumerate(self.devices) if place not in taken]
        return Room(self.cpus - demand.cpus, self.memory_mb - demand.memory_mb, tuple(left))

    def meet(self, other: "Room") -> "Room":
        """Return the smaller amount of both rooms for each resource.

        The largest devices of both are compared, then the second largest, and so on.
        """
        devices = [min(pair) for pair in zip(self.largest_first, other.largest_first, strict=False)]
        return Room(
            min(self.cpus, other.cpus), min(self.memory_mb, other.memory_mb), tuple(devices)
        )


def pick_devices(memories: Sequence[int], count: int, memory_mb: int) -> list[int]:
    """Return the indexes of the ``count`` smallest devices with enough memory.

    The result is shorter if there are not enough such devices. Small tasks get small devices, so
    that the large ones stay free for tasks that need them.
    """
    suited = [place for place, memory in enumerate(memories) if memory >= memory_mb]
    return sorted(sorted(suited, key=lambda place: (memories[place], place))[:count])


@dataclass(frozen=True, slots=True)
class Offer:
    """The total resources of a worker, and those that are free now."""

    name: str
    queues: frozenset[str]
    labels: frozenset[str]
    total: Room
    free: Room
    open: bool = True
    """True if the worker accepts new tasks: it is alive and not cordoned."""

    def suits(self, demand: Demand) -> bool:
        """Return True if the worker could run the task if no other task were running."""
        return (
            demand.queue in self.queues
            and demand.labels <= self.labels
            and self.total.holds(demand)
        )


@dataclass(frozen=True, slots=True)
class Shortfall:
    """A reason why a task can't start, usually a missing resource, in English and Chinese.

    ``lacks`` is set if running tasks hold the missing resource.
    """

    en: str
    zh: str
    lacks: Amount | None = None


NOT_ISOLATED = Shortfall(
    "no worker can isolate scripts from each other; run `aiplatform doctor` as the user of the "
    "worker to see what is missing, or let an administrator turn isolation off with "
    "AIPLATFORM_SCRIPTS_WITHOUT_ISOLATION=true",
    "没有 worker 能隔离脚本：以 worker 的用户运行 `aiplatform doctor` 可查看原因；"
    "管理员可设置 AIPLATFORM_SCRIPTS_WITHOUT_ISOLATION=true 放弃隔离",
)


def shortfalls(demand: Demand, offers: Iterable[Offer], nodes: int = 1) -> list[Shortfall]:
    """Return the reasons why no worker could ever run the task; empty if enough workers could.

    The result is also empty before the first worker is registered, because nothing is known then.
    """
    offers = list(offers)
    suited = sum(offer.suits(demand) for offer in offers)
    if not offers or suited >= nodes:
        return []
    if suited:
        return [
            Shortfall(
                f"needs {nodes} workers at the same time, but only {suited} can run it",
                f"同时需要 {nodes} 个 worker，只有 {suited} 个能运行",
            )
        ]
    serving = [offer for offer in offers if demand.queue in offer.queues]
    if not serving:
        known = ", ".join(sorted({queue for offer in offers for queue in offer.queues}))
        return [
            Shortfall(
                f"no worker serves the queue {demand.queue} (served: {known})",
                f"没有 worker 服务队列 {demand.queue}（现有：{known}）",
            )
        ]
    labelled = [offer for offer in serving if demand.labels <= offer.labels]
    if not labelled:
        offered = {label for offer in serving for label in offer.labels}
        lacking = demand.labels - offered
        if SCRIPTS_REFUSED in offered and any(label.startswith(SCRIPT_LABEL) for label in lacking):
            return [NOT_ISOLATED]
        wanted = ", ".join(sorted(lacking or demand.labels))
        if lacking:
            return [Shortfall(f"no worker offers {wanted}", f"没有 worker 具备标签 {wanted}")]
        return [
            Shortfall(
                f"no single worker offers all of {wanted}",
                f"没有任何一个 worker 同时具备标签 {wanted}",
            )
        ]
    found: list[Shortfall] = []
    for wanted_amount, most, unit_en, unit_zh in (
        (demand.cpus, max(o.total.cpus for o in labelled), "CPU cores", "个 CPU 核"),
        (
            demand.memory_mb,
            max(o.total.memory_mb for o in labelled),
            "MiB of memory",
            "MiB 内存",
        ),
        (demand.gpus, max(len(o.total.devices) for o in labelled), "GPUs", "个 GPU"),
    ):
        if wanted_amount > most:
            found.append(
                Shortfall(
                    f"needs {wanted_amount:g} {unit_en}, the largest worker has {most:g}",
                    f"需要 {wanted_amount:g} {unit_zh}，最大的 worker 只有 {most:g}",
                )
            )
    if found:
        return found
    needy = Demand(cpus=0, gpus=demand.gpus, gpu_memory_mb=demand.gpu_memory_mb)
    if not any(offer.total.holds(needy) for offer in labelled):
        most = max(
            (o.total.largest_first[demand.gpus - 1] for o in labelled
             if len(o.total.devices) >= demand.gpus),
            default=0,
        )  # fmt: skip
        return [
            Shortfall(
                f"needs {demand.gpus} GPUs with {demand.gpu_memory_mb} MiB each, but the best "
                f"worker has {demand.gpus} with only {most} MiB",
                f"需要 {demand.gpus} 个显存不少于 {demand.gpu_memory_mb} MiB 的 GPU，"
                f"最好的 worker 只有 {most} MiB",
            )
        ]
    return [
        Shortfall(
            "no single worker has all the required resources",
            "没有任何一个 worker 同时具备全部所需资源",
        )
    ]


@dataclass(frozen=True, slots=True)
class Reservation:
    """Resources of a worker that are kept free for the first task that does not fit yet.

    ``promised`` is that task's demand. ``since_then`` lists the demands of tasks that started on
    the worker after the reservation was made. A task that starts now must leave room for all of
    them. The first task therefore starts when all tasks that were running at the time of the
    reservation have ended, or earlier.
    """

    promised: Demand
    since_then: Sequence[Demand] = field(default=())

    def leaves(self, total: Room, free: Room) -> Room:
        """Return the part of the free room that other tasks may use."""
        rest = total.without(self.promised)
        for demand in self.since_then:
            rest = rest.without(demand)
        return free.meet(rest)


def lacking(total: Room, free: Room, demand: Demand) -> float:
    """Return how far a worker is from fitting a task, from 0 (it fits) to 1.

    For each resource, the missing amount is divided by the worker's total. The result is the
    largest of these shares.
    """
    suited = sum(1 for memory in free.devices if memory >= demand.gpu_memory_mb)
    shares = [
        max(0.0, demand.cpus - free.cpus) / max(total.cpus, 1e-9),
        max(0, demand.memory_mb - free.memory_mb) / max(total.memory_mb, 1),
        max(0, demand.gpus - suited) / max(len(total.devices), 1),
    ]
    return max(shares)


def gpu_label(name: str) -> str:
    """Return the worker label for a GPU's product name.

    "NVIDIA A100-SXM4-80GB" becomes ``gpu:a100``, "NVIDIA GeForce RTX 4090" ``gpu:rtx-4090``.
    """
    words = [
        word
        for word in re.split(r"[^a-z0-9]+", name.lower())
        if word and word not in {"nvidia", "geforce", "tesla", "quadro"}
    ]
    kept: list[str] = []
    for word in words:
        kept.append(word)
        if any(letter.isdigit() for letter in word):
            break
    return "gpu:" + "-".join(kept or ["unknown"])


URGENT = 9
"""Lowest priority that interrupts other tasks; only tasks below it can be interrupted."""


@dataclass(frozen=True, slots=True)
class Runner:
    """A task that runs on a worker. ``devices`` holds the memory (MiB) of each of its devices."""

    task_id: int
    priority: int
    preemptible: bool
    stopping: bool
    place: int
    """Index among the worker's tasks, ordered by start time."""
    cpus: float
    memory_mb: int
    devices: tuple[int, ...] = ()


def freed(room: Room, runner: Runner) -> Room:
    """Return the room that is available after ``runner`` has ended."""
    return Room(
        room.cpus + runner.cpus,
        room.memory_mb + runner.memory_mb,
        (*room.devices, *runner.devices),
    )


def choose_victims(demand: Demand, free: Room, runners: Sequence[Runner]) -> list[Runner] | None:
    """Return the tasks that must stop so that ``demand`` fits.

    The list is empty if the tasks that are already stopping free enough. The result is None if
    there would be no room even after all preemptible tasks stopped.
    """
    for runner in runners:
        if runner.stopping:
            free = freed(free, runner)
    if free.holds(demand):
        return []
    chosen: list[Runner] = []
    room = free
    for runner in sorted(runners, key=lambda runner: (runner.priority, -runner.place)):
        if runner.stopping or not runner.preemptible or runner.priority >= URGENT:
            continue
        chosen.append(runner)
        room = freed(room, runner)
        if room.holds(demand):
            break
    else:
        return None
    # Tasks that were chosen early may be unnecessary now that later ones were chosen, too.
    for runner in list(chosen):
        room = free
        for other in chosen:
            if other is not runner:
                room = freed(room, other)
        if room.holds(demand):
            chosen.remove(runner)
    return chosen
