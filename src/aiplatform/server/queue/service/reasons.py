"""The reasons why tasks are waiting, for display; ``rules.reasons`` has the wording."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskStatus
from aiplatform.server.projects.service import quotas
from aiplatform.server.projects.service.quotas import Quota
from aiplatform.server.queue import queries
from aiplatform.server.queue.models import Task
from aiplatform.server.queue.rules import MOVABLE, Demand, Shortfall
from aiplatform.server.queue.rules.reasons import (
    STARTS_SOON,
    Holders,
    WaitingFacts,
    explain,
    missing_now,
    with_holders,
)


@dataclass(frozen=True, slots=True)
class Waiting:
    """The reason why a task is waiting.

    ``ahead`` is None in very long queues. ``blocked`` is false if the task can start now.
    """

    ahead: int | None
    reason: str
    reason_zh: str
    not_before: datetime | None
    blocked: bool


def _demand(task: Task) -> Demand:
    """Return the resources that a task needs."""
    scheduling = task.scheduling
    return Demand(
        cpus=scheduling.cpus,
        memory_mb=scheduling.memory_mb,
        gpus=scheduling.gpus,
        gpu_memory_mb=scheduling.gpu_memory_mb,
        queue=scheduling.queue,
        labels=frozenset(scheduling.labels),
    )


def waiting_reasons(
    session: Session, tasks: Sequence[Task], places: dict[int, int], *, names: bool
) -> dict[int, Waiting]:
    """Return the reasons why tasks are waiting, keyed by task id; other tasks are left out.

    Args:
        session: the database session.
        tasks: any tasks.
        places: their positions in the queue, by task id.
        names: True if the reader may see the tasks of their projects. Then the running tasks that
            hold the missing resources are named; tasks of other projects never are.
    """
    waiting = [task for task in tasks if TaskStatus(task.status) in MOVABLE]
    if not waiting:
        return {}
    workers = queries.worker_offers(session)
    has_start = any(task.scheduling.not_before is not None for task in waiting)
    now = session.execute(select(func.now())).scalar_one() if has_start else None
    usages = {
        project_id: (quotas.quota_of(session, project_id), *quotas.running(session, project_id))
        for project_id in {task.project_id for task in waiting if task.project_id is not None}
    }
    blocked = queries.blocking_tasks(
        session, [task.id for task in waiting if task.scheduling.blockers]
    )
    found: dict[int, Shortfall] = {}
    # Most tasks need the same resources, so this is computed once for each demand.
    missing: dict[tuple[Demand, int | None], list[Shortfall]] = {}
    holders: dict[int | None, Holders] = {}
    for task in waiting:
        if TaskStatus(task.status) is TaskStatus.PAUSED:
            found[task.id] = Shortfall("it is paused; resume it to continue", "已暂停，恢复后继续")
            continue
        if task.id in blocked:
            others = ", ".join(blocked[task.id])
            found[task.id] = Shortfall(f"waits for {others}", f"等待 {others}")
            continue
        place = places.get(task.id)
        later = task.scheduling.not_before
        demand = _demand(task)
        key = (demand, task.project_id if names else None)
        if key not in missing:
            lacking = missing_now(demand, workers.offers)
            if names and any(shortfall.lacks for shortfall in lacking):
                if task.project_id not in holders:
                    holders[task.project_id] = queries.holders(session, task.project_id)
                of_project = holders[task.project_id]
                lacking = with_holders(lacking, demand, workers.offers, of_project)
            missing[key] = lacking
        found[task.id] = explain(
            WaitingFacts(
                demand=demand,
                ahead=None if place is None else place - 1,
                offers=workers.offers,
                not_before=later if later is not None and now is not None and later > now else None,
                reserved_on=workers.reserved.get(task.id),
                quota=_quota(usages, task),
            ),
            missing[key],
        )
    return {task.id: _waiting(task, places.get(task.id), found[task.id]) for task in waiting}


def _waiting(task: Task, place: int | None, reason: Shortfall) -> Waiting:
    return Waiting(
        ahead=None if place is None else place - 1,
        reason=reason.en,
        reason_zh=reason.zh,
        not_before=task.scheduling.not_before,
        blocked=reason != STARTS_SOON,
    )


def _quota(usages: dict[int, tuple[Quota, int, int]], task: Task) -> Shortfall | None:
    """Return the reason if the project's quota keeps the task waiting, otherwise None."""
    if task.project_id is None:
        return None
    quota, running, held = usages[task.project_id]
    if quota.concurrent_tasks is not None and running >= quota.concurrent_tasks:
        most = quota.concurrent_tasks
        return Shortfall(
            f"the project's quota allows {most} running tasks, and {running} are running",
            f"项目配额允许同时运行 {most} 个任务，目前已有 {running} 个",
        )
    gpus = task.scheduling.gpus * task.scheduling.nodes
    if quota.gpus is not None and gpus and held + gpus > quota.gpus:
        return Shortfall(
            f"the project's quota is {quota.gpus} GPUs: {held} are in use, the task needs {gpus}",
            f"项目 GPU 配额为 {quota.gpus} 个，已占用 {held} 个，该任务需要 {gpus} 个",
        )
    return None
