"""Routes that submit, read, change, cancel, pause and retry tasks."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request, Response, status
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskStatus, TaskType
from aiplatform.protocol.permissions import Permission
from aiplatform.protocol.shapes.identity import UserRef
from aiplatform.protocol.shapes.tasks import (
    AttemptOut,
    NeedOut,
    NodeOut,
    TaskDetailOut,
    TaskEventOut,
    TaskInputOut,
    TaskOut,
    WaitingOut,
)
from aiplatform.server.core.description import sends_headers
from aiplatform.server.core.etags import IfMatch, require_match, set_etag
from aiplatform.server.core.pagination import (
    Cursor,
    Limit,
    Page,
    decode_cursor,
    encode_cursor,
    page_by_id,
)
from aiplatform.server.identity.access import SessionDep
from aiplatform.server.identity.errors import PermissionDenied
from aiplatform.server.projects.access import ProjectContext, require_additional
from aiplatform.server.queue import access, queries, service
from aiplatform.server.queue.models import Task
from aiplatform.server.queue.rules import CLAIMABLE
from aiplatform.server.queue.schemas import (
    MoveIn,
    RetryIn,
    TaskBatchIn,
    TaskBatchOut,
    TaskIn,
    TaskPatch,
)
from aiplatform.server.queue.service import submissions
from aiplatform.server.queue.service.kinds import kind_of
from aiplatform.server.queue.service.reasons import Waiting, waiting_reasons
from aiplatform.server.queue.service.submissions import Submission, Submitted

router = APIRouter(prefix="/api/v1")


def render(session: Session, context: ProjectContext | None, task: Task) -> TaskOut:
    """Return one task as the caller may see it, with its exact position in the queue."""
    references = queries.task_references(session, [task])
    return _render(session, context, [task], references, _place(session, task))[0]


def _place(session: Session, task: Task) -> dict[int, int]:
    """Return the task's exact position in the queue (1 is next), as a dict keyed by task id.

    The dict is empty if the task is not waiting.
    """
    if TaskStatus(task.status) not in CLAIMABLE:
        return {}
    ahead = queries.tasks_ahead(session, task.id)
    return {} if ahead is None else {task.id: ahead + 1}


def render_all(session: Session, context: ProjectContext, tasks: Sequence[Task]) -> list[TaskOut]:
    """Return several tasks as the caller may see them, using a fixed number of statements."""
    waiting = [
        (task.id, task.scheduling.queue) for task in tasks if TaskStatus(task.status) in CLAIMABLE
    ]
    references = queries.task_references(session, tasks)
    return _render(session, context, tasks, references, queries.queue_positions(session, waiting))


def _render(
    session: Session,
    context: ProjectContext | None,
    tasks: Sequence[Task],
    references: dict[int, queries.TaskReferences],
    places: dict[int, int],
) -> list[TaskOut]:
    names = context is not None and context.may(Permission.TASKS_READ)
    reasons = waiting_reasons(session, tasks, places, names=names)
    return [
        _out(task, references[task.id], places.get(task.id), reasons.get(task.id)) for task in tasks
    ]


def render_new(session: Session, context: ProjectContext, task: Task) -> TaskOut:
    """Return a newly submitted task without its queue position.

    Computing the position would be too expensive when thousands of tasks are submitted.
    """
    if task.experiment_id is None and task.model_id is None:
        actor = context.actor
        references = queries.TaskReferences(
            project=context.project_uuid,
            author_uuid=actor.user_uuid,
            author_name=actor.username,
        )
    else:
        references = queries.task_references(session, [task])[task.id]
    return _out(task, references, None, None)


def _out(
    task: Task, references: queries.TaskReferences, position: int | None, waiting: Waiting | None
) -> TaskOut:
    return TaskOut(
        uuid=task.uuid,
        **references.shown(),
        name=task.name,
        type=TaskType(task.type),
        status=TaskStatus(task.status),
        priority=task.priority,
        progress=task.progress,
        progress_detail=task.scheduling.progress_detail,
        config=task.config,
        queue=task.scheduling.queue,
        labels=task.scheduling.labels,
        preemptible=task.scheduling.preemptible,
        stop_wanted=task.scheduling.stop_wanted,
        attempt=task.scheduling.attempt,
        max_attempts=task.scheduling.max_attempts,
        position=position,
        waiting=None
        if waiting is None
        else WaitingOut.model_validate(waiting, from_attributes=True),
        error_message=task.error_message,
        gpu_usage=task.gpu_usage,
        result=task.scheduling.result,
        author=_author(references),
        created_at=task.created_at,
        started_at=task.started_at,
        completed_at=task.completed_at,
    )


def _author(references: queries.TaskReferences) -> UserRef | None:
    if references.author_uuid is None or references.author_name is None:
        return None
    return UserRef(uuid=references.author_uuid, username=references.author_name)


@router.get("/projects/{project}/tasks", summary="List tasks")
def list_tasks(
    context: Annotated[ProjectContext, Depends(access.LIST)],
    session: SessionDep,
    limit: Limit = 50,
    cursor: Cursor = None,
    task_status: Annotated[TaskStatus | None, Query(alias="status")] = None,
    task_type: Annotated[TaskType | None, Query(alias="type")] = None,
    name: Annotated[
        str | None, Query(max_length=255, description="only tasks with exactly this name")
    ] = None,
    dead: Annotated[
        bool, Query(description="only tasks that failed permanently and were not retried")
    ] = False,
) -> Page[TaskOut]:
    """Return the project's tasks, newest first."""
    statement = queries.list_tasks(
        context, status=task_status, task_type=task_type, name=name, dead=dead
    )
    rows, following = page_by_id(session, statement, Task.id, limit=limit, cursor=cursor)
    return Page(items=render_all(session, context, rows), next_cursor=following)


@router.get("/tasks/{task}", summary="Read a task")
@sends_headers("ETag")
def get_task(
    task: UUID,
    context: Annotated[ProjectContext, Depends(access.READ)],
    session: SessionDep,
    response: Response,
) -> TaskDetailOut:
    """Return the task with its attempts, its inputs and, if it is waiting, the reason."""
    found = queries.get_task(session, context, task)
    set_etag(response, found.scheduling.updated_at)
    parts = queries.task_parts(session, found)
    places = _place(session, found)
    (shown,) = _render(session, context, [found], {found.id: parts.references}, places)
    nodes = queries.nodes_of(session, found.id) if found.scheduling.nodes > 1 else ()
    return TaskDetailOut(
        **dict(shown),
        after=[NeedOut.model_validate(row) for row in parts.after],
        attempts=[AttemptOut.model_validate(row) for row in parts.attempts],
        nodes=[NodeOut.model_validate(row, from_attributes=True) for row in nodes],
        inputs=[TaskInputOut.model_validate(row) for row in parts.inputs],
    )


@router.patch("/tasks/{task}", summary="Change a waiting task's priority")
@sends_headers("ETag")
def update_task(
    task: UUID,
    context: Annotated[ProjectContext, Depends(access.UPDATE)],
    session: SessionDep,
    response: Response,
    body: TaskPatch,
    if_match: IfMatch = None,
) -> TaskOut:
    """Change the priority. The queue is reordered immediately.

    Running and finished tasks can't be changed.
    """
    found = queries.get_task(session, context, task)
    require_match(if_match, found.scheduling.updated_at, "task")
    changed = service.set_priority(session, context, found, body.priority)
    session.refresh(changed.scheduling)
    set_etag(response, changed.scheduling.updated_at)
    return render(session, context, changed)


@router.post("/tasks/{task}/move", summary="Move a waiting task within its project")
def move_task(
    task: UUID,
    context: Annotated[ProjectContext, Depends(access.UPDATE)],
    session: SessionDep,
    body: MoveIn,
) -> TaskOut:
    """Move the task directly before another task and give it that task's priority.

    Without `before`, the task becomes the project's first one in the queue. Only this project's
    tasks change places; tasks of other projects are not delayed.
    """
    found = queries.get_task(session, context, task)
    other = None if body.before is None else queries.get_task(session, context, body.before)
    return render(session, context, service.move_before(session, context, found, other))


@router.post("/tasks/{task}/cancel", status_code=status.HTTP_202_ACCEPTED, summary="Cancel a task")
def cancel_task(
    task: UUID, context: Annotated[ProjectContext, Depends(access.CANCEL)], session: SessionDep
) -> TaskOut:
    """Cancel the task. A waiting task ends immediately; a running one writes a checkpoint first."""
    found = queries.get_task(session, context, task)
    cancelled = service.request_cancel(session, context.actor, found, project=context.project_uuid)
    return render(session, context, cancelled)


@router.post("/tasks/{task}/pause", status_code=status.HTTP_202_ACCEPTED, summary="Pause a task")
def pause_task(
    task: UUID, context: Annotated[ProjectContext, Depends(access.CANCEL)], session: SessionDep
) -> TaskOut:
    """Pause the task. A waiting task pauses immediately; a running one writes a checkpoint first.

    `stop_wanted` is `pause` until the running task has stopped.
    """
    found = queries.get_task(session, context, task)
    paused = service.request_pause(session, context.actor, found, project=context.project_uuid)
    return render(session, context, paused)


@router.post("/tasks/{task}/resume", status_code=status.HTTP_202_ACCEPTED, summary="Resume a task")
def resume_task(
    task: UUID, context: Annotated[ProjectContext, Depends(access.UPDATE)], session: SessionDep
) -> TaskOut:
    """Put a paused task back into the queue.

    It keeps its position, which depends on its age, and resumes from its checkpoint.
    """
    found = queries.get_task(session, context, task)
    resumed = service.resume(session, context.actor, found, project=context.project_uuid)
    return render(session, context, resumed)


@router.post("/tasks/{task}/retry", status_code=status.HTTP_202_ACCEPTED, summary="Retry a task")
def retry_task(
    task: UUID,
    context: Annotated[ProjectContext, Depends(access.UPDATE)],
    session: SessionDep,
    request: Request,
    body: RetryIn | None = None,
) -> TaskOut:
    """Queue a new task with the spec and inputs of a task that failed or was cancelled.

    The old task keeps its status; the new task names it in `retry_of`. A task can be retried once;
    its retry can be retried in turn. The new task waits for the same tasks as the old one, or for
    their newest retries. `override_gate` requires the permission `datasets:override`.
    """
    wanted = body or RetryIn()
    found = queries.get_task(session, context, task)
    if not context.may(kind_of(found.type).permission):
        raise PermissionDenied(permission=kind_of(found.type).permission.value)
    if wanted.override_gate is not None:
        require_additional(session, context, Permission.DATASETS_OVERRIDE, request)
    new = service.retry(session, context, found, override_gate=wanted.override_gate)
    return render(session, context, new)


@router.get("/tasks/{task}/timeline", summary="Read the timeline")
def get_task_timeline(
    task: UUID,
    context: Annotated[ProjectContext, Depends(access.READ)],
    session: SessionDep,
    limit: Limit = 200,
    cursor: Cursor = None,
) -> Page[TaskEventOut]:
    """Return the task's events in order."""
    found = queries.get_task(session, context, task)
    after = 0 if cursor is None else decode_cursor(cursor, int)[0]
    rows = session.scalars(queries.settled_events(found.id, after, limit=limit + 1)).all()
    items = [
        TaskEventOut(kind=row.kind, data=row.data, time=row.created_at) for row in rows[:limit]
    ]
    more = len(rows) > limit
    return Page(items=items, next_cursor=encode_cursor(rows[limit - 1].id) if more else None)


submit_router = APIRouter(prefix="/api/v1", tags=["tasks"])
"""Router that is matched before all others, because scripts submit thousands of tasks."""

IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=150,
        pattern=r"^[\x21-\x7e]+$",
        description="a name for the request, so that it can be repeated safely",
    ),
]


@submit_router.post(
    "/projects/{project}/tasks",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Queue a task",
)
@sends_headers(sometimes=("Idempotency-Replayed",))
def submit_task(
    context: Annotated[ProjectContext, Depends(access.SUBMIT)],
    session: SessionDep,
    response: Response,
    body: TaskIn,
    idempotency_key: IdempotencyKey = None,
) -> TaskOut:
    """Queue an evaluation, a quality report or a model import.

    The response doesn't contain the queue position. Read the task to get its position and the
    reason why it is waiting. If a request with an `Idempotency-Key` is repeated within a day, it
    gets the response to the first request, and nothing is queued.
    """
    asked = [_submission(context, body, idempotency_key)]
    (submitted,) = submissions.submit_all(session, context, asked, render_new)
    if submitted.before:
        response.headers["Idempotency-Replayed"] = "true"
    return _submitted_out(submitted)


@submit_router.post(
    "/projects/{project}/tasks/batch",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Queue many tasks",
)
def submit_tasks(
    context: Annotated[ProjectContext, Depends(access.SUBMIT)],
    session: SessionDep,
    body: TaskBatchIn,
) -> TaskBatchOut:
    """Queue all tasks in the request or none: if one is refused, the whole request is refused.

    Each task may have an `idempotency_key`, which works like the header of a single-task request.
    If a task was queued with the same key within the last day, that task is returned and nothing is
    queued. Either all tasks in a request have a key, or none has.
    """
    asked = [_submission(context, one, one.idempotency_key) for one in body.tasks]
    submitted = submissions.submit_all(session, context, asked, render_new)
    items = [_submitted_out(one) for one in submitted]
    return TaskBatchOut(items=items, replayed=sum(one.before for one in submitted))


def _submission(context: ProjectContext, body: TaskIn, key: str | None) -> Submission:
    """Return the submission of one task.

    It contains only the fields of :class:`TaskIn`, so that the same ``Idempotency-Key`` matches the
    same request, whether the task is submitted alone or in a batch.
    """
    wanted = service.TaskRequest(body.spec, body.name, body.priority, body.after)
    if key is None:
        return Submission(wanted)
    fields = {name: getattr(body, name) for name in TaskIn.model_fields}
    request = TaskIn.model_construct(**fields)
    return Submission(wanted, submissions.key_of(context, key), request)


def _submitted_out(submitted: Submitted) -> TaskOut:
    if isinstance(submitted.answer, TaskOut):
        return submitted.answer
    return TaskOut.model_validate(submitted.answer)
