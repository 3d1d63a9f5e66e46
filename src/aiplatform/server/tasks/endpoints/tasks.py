"""Submitting, reading and cancelling tasks."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, status
from sqlalchemy.orm import Session

from aiplatform.protocol.encoding import jsonable
from aiplatform.protocol.enums import TaskStatus, TaskType
from aiplatform.server.core.pagination import (
    Cursor,
    Limit,
    Page,
    decode_cursor,
    encode_cursor,
    page_by_id,
)
from aiplatform.server.identity.access import SessionDep
from aiplatform.server.identity.schemas import UserRef
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.tasks import access, queries, service
from aiplatform.server.tasks.models import Task
from aiplatform.server.tasks.schemas import (
    AttemptOut,
    LogChunkOut,
    SeriesOut,
    TaskDetailOut,
    TaskEventOut,
    TaskIn,
    TaskInputOut,
    TaskOut,
)

router = APIRouter(prefix="/api/v1")


def render(session: Session, task: Task) -> TaskOut:
    """One task as it goes out."""
    return render_all(session, [task])[0]


def render_all(session: Session, tasks: Sequence[Task]) -> list[TaskOut]:
    """Several tasks, with one statement for what surrounds them."""
    around = queries.surroundings(session, tasks)
    return [
        TaskOut(
            uuid=task.uuid,
            project=around[task.id].project,
            experiment=around[task.id].experiment,
            model=around[task.id].model,
            name=task.name,
            type=TaskType(task.type),
            status=TaskStatus(task.status),
            priority=task.priority,
            progress=task.progress,
            progress_detail=task.scheduling.progress_detail,
            config=task.config,
            queue=task.scheduling.queue,
            attempt=task.scheduling.attempt,
            max_attempts=task.scheduling.max_attempts,
            worker=around[task.id].worker,
            position=queries.position(session, task),
            error_message=task.error_message,
            gpu_usage=task.gpu_usage,
            result=task.scheduling.result,
            author=_author(around[task.id]),
            created_at=task.created_at,
            started_at=task.started_at,
            completed_at=task.completed_at,
        )
        for task in tasks
    ]


def _author(around: queries.Surroundings) -> UserRef | None:
    if around.author_uuid is None or around.author_name is None:
        return None
    return UserRef(uuid=around.author_uuid, username=around.author_name)


@router.get("/projects/{project}/tasks", summary="List tasks")
def list_tasks(
    context: Annotated[ProjectContext, Depends(access.LIST)],
    session: SessionDep,
    limit: Limit = 50,
    cursor: Cursor = None,
    task_status: Annotated[TaskStatus | None, Query(alias="status")] = None,
    task_type: Annotated[TaskType | None, Query(alias="type")] = None,
) -> Page[TaskOut]:
    """The project's tasks, newest first."""
    statement = queries.list_tasks(context, status=task_status, task_type=task_type)
    rows, following = page_by_id(session, statement, Task.id, limit=limit, cursor=cursor)
    return Page(items=render_all(session, rows), next_cursor=following)


@router.post(
    "/projects/{project}/tasks", status_code=status.HTTP_202_ACCEPTED, summary="Queue a task"
)
def submit_task(
    context: Annotated[ProjectContext, Depends(access.SUBMIT)],
    session: SessionDep,
    body: TaskIn,
) -> TaskOut:
    """Queue an evaluation, a quality report or a model import."""
    task = service.submit_checked(
        session, context, body.spec, name=body.name, priority=body.priority
    )
    return render(session, task)


@router.get("/tasks/{task}", summary="Read a task")
def get_task(
    task: UUID, context: Annotated[ProjectContext, Depends(access.READ)], session: SessionDep
) -> TaskDetailOut:
    """The task with its attempts and inputs."""
    found = queries.get_task(session, context, task)
    return TaskDetailOut(
        **render(session, found).model_dump(),
        attempts=[
            AttemptOut.model_validate(row, from_attributes=True)
            for row in queries.attempts(session, found.id)
        ],
        inputs=[
            TaskInputOut.model_validate(row, from_attributes=True)
            for row in queries.inputs_of(session, found.id)
        ],
    )


@router.post(
    "/tasks/{task}/cancel", status_code=status.HTTP_202_ACCEPTED, summary="Ask a task to stop"
)
def cancel_task(
    task: UUID, context: Annotated[ProjectContext, Depends(access.CANCEL)], session: SessionDep
) -> TaskOut:
    """A waiting task ends at once; a running one writes a checkpoint and ends."""
    found = queries.get_task(session, context, task)
    cancelled = service.request_cancel(session, context.actor, found, project=context.project_uuid)
    return render(session, cancelled)


@router.get("/tasks/{task}/logs", summary="Read the log")
def get_task_logs(
    task: UUID,
    context: Annotated[ProjectContext, Depends(access.READ)],
    session: SessionDep,
    limit: Limit = 200,
    cursor: Cursor = None,
) -> Page[LogChunkOut]:
    """All of the log in order, in chunks of whole lines."""
    found = queries.get_task(session, context, task)
    after = 0 if cursor is None else decode_cursor(cursor, int)[0]
    rows = session.scalars(queries.chunks_after(found.id, after, limit=limit + 1)).all()
    items = [
        LogChunkOut(
            seq=row.seq,
            attempt=row.attempt,
            stream=row.stream,
            text=row.text,
            time=row.recorded_at,
        )
        for row in rows[:limit]
    ]
    more = len(rows) > limit
    return Page(items=items, next_cursor=encode_cursor(items[-1].seq) if more else None)


@router.get("/tasks/{task}/metrics", summary="Read metric series")
def get_task_metrics(
    task: UUID,
    context: Annotated[ProjectContext, Depends(access.READ)],
    session: SessionDep,
    key: Annotated[list[str] | None, Query(description="only these keys")] = None,
    limit: Annotated[int, Query(ge=1, le=100_000, description="last points of each key")] = 10_000,
) -> SeriesOut:
    """Each key's points in order of steps. A step that was repeated counts once."""
    found = queries.get_task(session, context, task)
    return SeriesOut(series=jsonable(queries.series(session, found.id, key, limit)))


@router.get("/tasks/{task}/timeline", summary="Read the timeline")
def get_task_timeline(
    task: UUID,
    context: Annotated[ProjectContext, Depends(access.READ)],
    session: SessionDep,
    limit: Limit = 200,
    cursor: Cursor = None,
) -> Page[TaskEventOut]:
    """What happened to the task, in order."""
    found = queries.get_task(session, context, task)
    after = 0 if cursor is None else decode_cursor(cursor, int)[0]
    rows = session.scalars(queries.settled_events(found.id, after, limit=limit + 1)).all()
    items = [
        TaskEventOut(kind=row.kind, data=row.data, time=row.created_at) for row in rows[:limit]
    ]
    more = len(rows) > limit
    return Page(items=items, next_cursor=encode_cursor(rows[limit - 1].id) if more else None)
