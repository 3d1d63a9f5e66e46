"""Whom an urgent task may interrupt, and whom it does.

An urgent task that fits nowhere makes preemptible ones of lower priority write a checkpoint and
pause; they go back to the queue and resume by themselves. As few as possible, of the lowest
priority, those first that were started last, since they lose least.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from aiplatform.server.tasks.rules.placement import Demand, Room

URGENT = 9
"""From this priority on a task interrupts others; tasks below it can be interrupted."""


@dataclass(frozen=True, slots=True)
class Runner:
    """A task that runs on a worker. ``devices`` are the memory (MiB) of each that it holds."""

    task_id: int
    priority: int
    preemptible: bool
    stopping: bool
    place: int
    """Its place among the worker's tasks by start, the first being 0."""
    cpus: float
    memory_mb: int
    devices: tuple[int, ...] = ()


def freed(room: Room, runner: Runner) -> Room:
    """The room when ``runner`` has ended."""
    return Room(
        room.cpus + runner.cpus,
        room.memory_mb + runner.memory_mb,
        (*room.devices, *runner.devices),
    )


def choose_victims(demand: Demand, free: Room, runners: Sequence[Runner]) -> list[Runner] | None:
    """Who must pause so that ``demand`` fits; empty when those that stop already are enough.

    None when even all that may be interrupted would not make room.
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
    # What was chosen first may have become unnecessary by what was chosen last.
    for runner in list(chosen):
        room = free
        for other in chosen:
            if other is not runner:
                room = freed(room, other)
        if room.holds(demand):
            chosen.remove(runner)
    return chosen
