"""Routes for schedules."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response, status
from sqlalchemy.orm import Session

from aiplatform.protocol.schedules import FiringOutcome, Missed, Overlap
from aiplatform.protocol.shapes.experiments import FiringOut, ScheduleOut
from aiplatform.protocol.shapes.identity import UserRef
from aiplatform.server.core.description import sends_headers
from aiplatform.server.core.etags import IfMatch, require_match, set_etag
from aiplatform.server.core.pagination import (
    Cursor,
    Limit,
    Page,
    page_by_id,
    render_page,
)
from aiplatform.server.core.problems import ProblemDocument
from aiplatform.server.identity.access import SessionDep
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.schedules import access, queries, service
from aiplatform.server.schedules.models import Schedule, ScheduleFiring
from aiplatform.server.schedules.rules import times_after
from aiplatform.server.schedules.schemas import ScheduleChange, ScheduleIn

router = APIRouter(prefix="/api/v1", tags=["schedules"])
UPCOMING_TIMES = 5


def _problem(status_code: int, description: str) -> dict[int | str, dict[str, Any]]:
    return {status_code: {"model": ProblemDocument, "description": description}}


def _firing(found: Any, task: UUID | None) -> FiringOut:
    return FiringOut(
        due_at=found.due_at,
        fired_at=found.fired_at,
        outcome=FiringOutcome(found.outcome),
        task=task,
        code=found.code,
        reason=found.reason,
        reason_zh=found.reason_zh,
    )


def _render(context: ProjectContext, row: Any) -> ScheduleOut:
    schedule: Schedule = row.Schedule
    upcoming = []
    if schedule.next_at is not None:
        rest = times_after(schedule.cron, schedule.timezone, schedule.next_at, UPCOMING_TIMES - 1)
        upcoming = [schedule.next_at, *rest]
    return ScheduleOut(
        uuid=schedule.uuid,
        project=context.project_uuid,
        name=schedule.name,
        cron=schedule.cron,
        timezone=schedule.timezone,
        action=schedule.action,
        missed=Missed(schedule.missed),
        overlap=Overlap(schedule.overlap),
        enabled=schedule.enabled,
        next_at=schedule.next_at,
        upcoming=upcoming,
        last=None if row.outcome is None else _firing(row, row.task),
        owner=None
        if row.owner_uuid is None
        else UserRef(uuid=row.owner_uuid, username=row.owner_name),
        owner_is_active=bool(row.owner_is_active),
        created_at=schedule.created_at,
        updated_at=schedule.updated_at,
    )


def _respond(
    session: Session, context: ProjectContext, schedule: Schedule, response: Response
) -> ScheduleOut:
    set_etag(response, schedule.updated_at)
    return _render(context, queries.get_row(session, context, schedule))


@router.get("/projects/{project}/schedules", summary="List schedules")
def list_schedules(
    context: Annotated[ProjectContext, Depends(access.LIST)],
    session: SessionDep,
    limit: Limit = 50,
    cursor: Cursor = None,
    name: Annotated[str | None, Query(max_length=100, description="exact name")] = None,
) -> Page[ScheduleOut]:
    """List the project's schedules, newest first."""
    statement = queries.list_schedules(context, name=name)
    rows, following = page_by_id(session, statement, Schedule.id, limit=limit, cursor=cursor)
    return render_page(rows, following, lambda row: _render(context, row))


@router.post(
    "/projects/{project}/schedules",
    status_code=status.HTTP_201_CREATED,
    summary="Create a schedule",
    responses=_problem(409, "The name is taken, or what it names is not ready"),
)
@sends_headers("ETag")
def create_schedule(
    context: Annotated[ProjectContext, Depends(access.CREATE)],
    session: SessionDep,
    body: ScheduleIn,
    response: Response,
) -> ScheduleOut:
    """Create a schedule. When due, it submits a task or run with your permissions at that time."""
    schedule = service.create_schedule(
        session,
        context,
        name=body.name,
        cron=body.cron,
        timezone=body.timezone,
        action=body.action,
        missed=body.missed,
        overlap=body.overlap,
        enabled=body.enabled,
    )
    return _respond(session, context, schedule, response)


@router.get("/schedules/{schedule}", summary="Read a schedule")
@sends_headers("ETag")
def get_schedule(
    schedule: UUID,
    context: Annotated[ProjectContext, Depends(access.READ)],
    session: SessionDep,
    response: Response,
) -> ScheduleOut:
    """Return a schedule with its next times and its ETag."""
    return _respond(session, context, queries.get_schedule(session, context, schedule), response)


@router.patch(
    "/schedules/{schedule}",
    summary="Change a schedule",
    responses=_problem(409, "The name is taken, or what it names is not ready")
    | _problem(412, "Changed meanwhile")
    | _problem(428, "If-Match is missing"),
)
@sends_headers("ETag")
def update_schedule(
    schedule: UUID,
    context: Annotated[ProjectContext, Depends(access.CHANGE)],
    session: SessionDep,
    body: ScheduleChange,
    response: Response,
    if_match: IfMatch = None,
) -> ScheduleOut:
    """Change a schedule, or switch it on or off.

    Times that passed while it was off are not submitted later.
    """
    found = queries.lock_schedule(session, context, schedule)
    require_match(if_match, found.updated_at, "schedule")
    changes = {field: getattr(body, field) for field in body.model_fields_set}
    changed = service.update_schedule(session, context, found, changes)
    return _respond(session, context, changed, response)


@router.delete(
    "/schedules/{schedule}",
    status_code=status.HTTP_204_NO_CONTENT,
    summary="Delete a schedule",
)
def delete_schedule(
    schedule: UUID,
    context: Annotated[ProjectContext, Depends(access.CHANGE)],
    session: SessionDep,
) -> Response:
    """Delete a schedule. Tasks that it has submitted are kept."""
    service.delete_schedule(session, context, schedule)
    return Response(status_code=status.HTTP_204_NO_CONTENT)


@router.get("/schedules/{schedule}/firings", summary="List what came of a schedule")
def list_firings(
    schedule: UUID,
    context: Annotated[ProjectContext, Depends(access.READ)],
    session: SessionDep,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[FiringOut]:
    """List past due times, newest first, each with its task or the reason why there is none."""
    statement = queries.list_firings(queries.get_schedule(session, context, schedule))
    rows, following = page_by_id(session, statement, ScheduleFiring.id, limit=limit, cursor=cursor)
    return render_page(rows, following, lambda row: _firing(row[0], row.task))
