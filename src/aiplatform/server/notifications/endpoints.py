"""The caller's inbox."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query

from aiplatform.server.core.pagination import Cursor, Limit, Page, page_by_id
from aiplatform.server.identity.access import SessionDep, SignedIn
from aiplatform.server.notifications import queries, service
from aiplatform.server.notifications.models import Notification, NotificationDetails
from aiplatform.server.notifications.schemas import NotificationOut

router = APIRouter(prefix="/api/v1/notifications", tags=["notifications"])


def _render(row: Notification, details: NotificationDetails) -> NotificationOut:
    return NotificationOut(
        uuid=details.uuid,
        type=row.type,
        title=row.title,
        message=row.message,
        data=row.data,
        project=details.project_uuid,
        is_read=row.is_read,
        created_at=row.created_at,
    )


@router.get("", summary="List notifications")
def list_notifications(
    principal: SignedIn,
    session: SessionDep,
    unread: Annotated[bool, Query(description="only those not read yet")] = False,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[NotificationOut]:
    """Your inbox, newest first."""
    rows, following = page_by_id(
        session,
        queries.inbox(principal, unread=unread),
        Notification.id,
        limit=limit,
        cursor=cursor,
    )
    return Page(items=[_render(*row) for row in rows], next_cursor=following)


@router.post("/{notification}/read", summary="Mark as read")
def read_notification(
    notification: Annotated[UUID, Path(description="uuid of the notification")],
    principal: SignedIn,
    session: SessionDep,
) -> NotificationOut:
    """Mark one as read. Doing it again changes nothing."""
    return _render(*service.mark_read(session, principal, notification))
