"""Why tasks wait, for those who look at them."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskStatus
from aiplatform.server.projects.service import quotas
from aiplatform.server.projects.service.quotas import Quota
from aiplatform.server.tasks import queries
from aiplatform.server.tasks.models import Task
from aiplatform.server.tasks.rules import MOVABLE, Demand, Shortfall
from aiplatform.server.tasks.rules.reasons import Circumstances, explain, missing_now


def _demand(task: Task) -> Demand:
    """What a task asks for."""
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
    session: Session, tasks: Sequence[Task], places: dict[int, int]
) -> dict[int, Shortfall]:
    """Why each of those tasks that wait does, by task id; ``places`` are theirs in the queue."""
    waiting = [task for task in tasks if TaskStatus(task.status) in MOVABLE]
    if not waiting:
        return {}
    machines = queries.machines(session)
    now: datetime = session.execute(select(func.now())).scalar_one()
    usages = {
        project_id: (quotas.quota_of(session, project_id), *quotas.running(session, project_id))
        for project_id in {task.project_id for task in waiting if task.project_id is not None}
    }
    blocked = queries.blocking(session, [task.id for task in waiting if task.scheduling.blockers])
    found = {}
    # Most ask for the same.
    missing: dict[Demand, list[Shortfall]] = {}
    for task in waiting:
        if TaskStatus(task.status) is TaskStatus.PAUSED:
            found[task.id] = Shortfall("paused until somebody resumes it", "已暂停，等待恢复")
            continue
        if task.id in blocked:
            names = ", ".join(blocked[task.id])
            found[task.id] = Shortfall(f"waits for {names}", f"等待 {names}")
            continue
        place = places.get(task.id)
        later = task.scheduling.not_before
        demand = _demand(task)
        if demand not in missing:
            missing[demand] = missing_now(demand, machines.offers)
        found[task.id] = explain(
            Circumstances(
                demand=demand,
                ahead=None if place is None else place - 1,
                offers=machines.offers,
                not_before=later if later is not None and later > now else None,
                reserved_on=machines.reserved.get(task.id),
                quota=_quota(usages, task),
            ),
            missing[demand],
        )
    return found


def _quota(usages: dict[int, tuple[Quota, int, int]], task: Task) -> Shortfall | None:
    """What of the project's quota keeps the task waiting."""
    if task.project_id is None:
        return None
    quota, running, held = usages[task.project_id]
    if quota.concurrent_tasks is not None and running >= quota.concurrent_tasks:
        most = quota.concurrent_tasks
        return Shortfall(
            f"the project's quota lets {most} tasks run at once, {running} do",
            f"项目配额允许同时运行 {most} 个任务，目前已有 {running} 个",
        )
    gpus = task.scheduling.gpus * task.scheduling.nodes
    if quota.gpus is not None and gpus and held + gpus > quota.gpus:
        return Shortfall(
            f"the project's quota is {quota.gpus} GPUs, {held} are held and it needs {gpus}",
            f"项目 GPU 配额为 {quota.gpus} 个，已占用 {held} 个，该任务需要 {gpus} 个",
        )
    return None
