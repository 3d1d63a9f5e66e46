"""Routes that submit tasks, one or many per request."""

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Response, status

from aiplatform.protocol.shapes.tasks import TaskOut
from aiplatform.server.core.description import sends_headers
from aiplatform.server.identity.access import SessionDep
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.queue import access, service
from aiplatform.server.queue.endpoints.tasks import render_new
from aiplatform.server.queue.schemas import TaskBatchIn, TaskBatchOut, TaskIn
from aiplatform.server.queue.service import submissions
from aiplatform.server.queue.service.submissions import Submission, Submitted

submit_router = APIRouter(prefix="/api/v1", tags=["tasks"])
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

    The answer doesn't contain the place in the queue. Read the task to get its place and the reason
    why it waits. If a request with an `Idempotency-Key` is repeated within a day, it gets the
    answer of the first request and queues nothing.
    """
    asked = [_submission(context, body, idempotency_key)]
    (submitted,) = submissions.submit_all(session, context, asked, render_new)
    if submitted.before:
        response.headers["Idempotency-Replayed"] = "true"
    return _out(submitted)


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
    asked = [_submission(context, one, one.idempotency_key) for one in body.tasks]
    submitted = submissions.submit_all(session, context, asked, render_new)
    items = [_out(one) for one in submitted]
    return TaskBatchOut(items=items, replayed=sum(one.before for one in submitted))


def _submission(context: ProjectContext, body: TaskIn, key: str | None) -> Submission:
    """Return the submission of one task. A key means the same alone and in a batch."""
    wanted = service.TaskRequest(body.spec, body.name, body.priority, body.after)
    if key is None:
        return Submission(wanted)
    fields = {name: getattr(body, name) for name in TaskIn.model_fields}
    request = TaskIn.model_construct(**fields)
    return Submission(wanted, submissions.key_of(context, key), request)


def _out(submitted: Submitted) -> TaskOut:
    if isinstance(submitted.answer, TaskOut):
        return submitted.answer
    return TaskOut.model_validate(submitted.answer)
