"""Rules for preemption: which running tasks an urgent task interrupts.

If an urgent task fits nowhere, preemptible tasks of lower priority must write a checkpoint and
stop; they go back to the queue and resume by themselves. As few tasks as possible are interrupted:
those of the lowest priority first, and among these the ones that started last, since they lose
least.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from aiplatform.server.queue.rules.placement import Demand, Room

URGENT = 9
"""Priority from which a task interrupts others; only tasks below it can be interrupted."""


@dataclass(frozen=True, slots=True)
class Runner:
    """A task that runs on a worker. ``devices`` holds the memory (MiB) of each of its devices."""

    task_id: int
    priority: int
    preemptible: bool
    stopping: bool
    place: int
    """Index among the worker's tasks, ordered by start."""
    cpus: float
    memory_mb: int
    devices: tuple[int, ...] = ()


def freed(room: Room, runner: Runner) -> Room:
    """Return the room after ``runner`` has ended."""
    return Room(
        room.cpus + runner.cpus,
        room.memory_mb + runner.memory_mb,
        (*room.devices, *runner.devices),
    )


def choose_victims(demand: Demand, free: Room, runners: Sequence[Runner]) -> list[Runner] | None:
    """Return the tasks that must stop so that ``demand`` fits.

    The list is empty if the tasks that are stopping already are enough. Returns None if there would
    be no room even after all preemptible tasks stopped.
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
    # Tasks that were chosen first may be unnecessary now that later ones were chosen, too.
    for runner in list(chosen):
        room = free
        for other in chosen:
            if other is not runner:
                room = freed(room, other)
        if room.holds(demand):
            chosen.remove(runner)
    return chosen
