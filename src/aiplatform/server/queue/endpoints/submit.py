"""Routes that submit tasks, one or many per request."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Request, Response, status

from aiplatform.server.core import tracing
from aiplatform.server.core.description import sends_headers
from aiplatform.server.identity.access import SessionDep
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.queue import access, service
from aiplatform.server.queue.endpoints.tasks import render_new
from aiplatform.server.queue.schemas import TaskBatchIn, TaskBatchOut, TaskIn, TaskOut
from aiplatform.server.queue.service import group_commit, submissions
from aiplatform.server.queue.service.group_commit import GroupCommit, Submission, Submitted


@asynccontextmanager
async def lifespan(_app: Any) -> AsyncIterator[dict[str, Any]]:
    """Start the group commit of this process; handlers find it in ``request.state``."""
    yield {"group_commit": GroupCommit(render_new)}


submit_router = APIRouter(prefix="/api/v1", tags=["tasks"], lifespan=lifespan)
"""Router that is matched first, because scripts submit thousands of tasks."""

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
    response_model=TaskOut,
)
@sends_headers(sometimes=("Idempotency-Replayed",))
async def submit_task(
    request: Request,
    context: Annotated[ProjectContext, Depends(access.SUBMIT)],
    body: TaskIn,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Queue an evaluation, a quality report or a model import.

    The answer doesn't contain the place in the queue. Read the task to get its place and the reason
    why it waits. If a request with an `Idempotency-Key` is repeated within a day, it gets the
    answer of the first request and queues nothing.
    """
    together: GroupCommit = request.state.group_commit
    with tracing.span("submit", "producer"):
        submitted = await together.submit(_submission(context, body, idempotency_key))
        out = _out(submitted)
        tracing.describe(task=str(out.uuid), task_type=out.type.value)
    return Response(
        out.model_dump_json(),
        status_code=status.HTTP_202_ACCEPTED,
        media_type="application/json",
        headers={"Idempotency-Replayed": "true"} if submitted.before else None,
    )


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
    """Queue all tasks of the request, or none: if one is refused, the whole request is refused.

    Each task may have an `idempotency_key`, like the header of a request for one task. A task that
    was queued with the same key within a day is returned and not queued again. Either all tasks of
    a request have a key, or none has one.
    """
    with tracing.span("submit", "producer"):
        asked = [_submission(context, one, one.idempotency_key) for one in body.tasks]
        submitted = group_commit.submit_all(session, asked, render_new)
        items = [_out(one) for one in submitted]
        for item in items:
            tracing.describe(task=str(item.uuid), task_type=item.type.value)
    return TaskBatchOut(items=items, replayed=sum(one.before for one in submitted))


def _submission(context: ProjectContext, body: TaskIn, key: str | None) -> Submission:
    """Return the submission of one task. A key means the same alone and in a batch."""
    wanted = service.TaskRequest(
        body.spec, body.name, body.priority, body.after, traceparent=tracing.traceparent()
    )
    if key is None:
        return Submission(context, wanted)
    fields = {name: getattr(body, name) for name in TaskIn.model_fields}
    request = TaskIn.model_construct(**fields)
    return Submission(context, wanted, submissions.key_of(context, key), request)


def _out(submitted: Submitted) -> TaskOut:
    if isinstance(submitted.answer, TaskOut):
        return submitted.answer
    return TaskOut.model_validate(submitted.answer)
