"""Routes for the caller's inbox."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Path, Query, Request, Response, status

from aiplatform.protocol.notifications import NotificationType
from aiplatform.protocol.shapes.notifications import NotificationOut, PreferencesOut
from aiplatform.server.core.description import sends_headers
from aiplatform.server.core.etags import IfMatch, set_etag
from aiplatform.server.core.event_streams import HEADERS, EventStream
from aiplatform.server.core.pagination import Cursor, Limit, Page, page_by_id
from aiplatform.server.core.problems import ProblemDocument, language_of
from aiplatform.server.identity.access import SessionDep, SignedIn
from aiplatform.server.notifications import queries, service
from aiplatform.server.notifications.models import Notification
from aiplatform.server.notifications.schemas import (
    ChangedOut,
    PreferencesIn,
    UnreadOut,
    render,
    render_preferences,
)
from aiplatform.server.notifications.service import Hub

inbox_router = APIRouter(prefix="/api/v1/notifications")

CHANGED: dict[int | str, dict[str, Any]] = {
    409: {"model": ProblemDocument, "description": "Can't be switched off"},
    412: {"model": ProblemDocument, "description": "Changed since it was read"},
    428: {"model": ProblemDocument, "description": "If-Match is missing"},
}
Uuid = Annotated[UUID, Path(description="uuid of the notification")]


@inbox_router.get("", summary="List notifications")
def list_notifications(
    request: Request,
    principal: SignedIn,
    session: SessionDep,
    unread: Annotated[bool, Query(description="only those not read yet")] = False,
    type: Annotated[NotificationType | None, Query(description="only of this type")] = None,  # noqa: A002
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[NotificationOut]:
    """List the notifications in your inbox, newest first, in the language of `Accept-Language`."""
    rows, following = page_by_id(
        session,
        queries.inbox(principal, unread=unread, kind=type),
        Notification.id,
        limit=limit,
        cursor=cursor,
    )
    language = language_of(request)
    return Page(
        items=[render(row, details, language) for row, details in rows], next_cursor=following
    )


@inbox_router.get("/unread", summary="Count unread notifications")
def count_unread(principal: SignedIn, session: SessionDep) -> UnreadOut:
    """Count the notifications that you have not read."""
    counts = queries.count_unread(session, {principal.user_id})
    return UnreadOut(unread=counts[principal.user_id])


@inbox_router.post("/read", summary="Mark all as read")
def read_all_notifications(principal: SignedIn, session: SessionDep) -> ChangedOut:
    """Mark everything in your inbox as read."""
    return ChangedOut(changed=service.mark_all_read(session, principal))


@inbox_router.delete("/read", summary="Delete what was read")
def delete_read_notifications(principal: SignedIn, session: SessionDep) -> ChangedOut:
    """Delete all notifications in your inbox that you have read."""
    return ChangedOut(changed=service.delete_read(session, principal))


@inbox_router.get("/preferences", summary="Read preferences")
@sends_headers("ETag")
def read_preferences(
    request: Request, principal: SignedIn, session: SessionDep, response: Response
) -> PreferencesOut:
    """Return your preferences for each type of notification. The ETag is needed to change them."""
    settings = queries.settings_of(session, principal.user_id)
    set_etag(response, settings.updated_at)
    chosen = queries.preferences_of(session, principal.user_id)
    return render_preferences(settings, chosen, language_of(request))


@inbox_router.patch("/preferences", summary="Change preferences", responses=CHANGED)
@sends_headers("ETag")
def update_preferences(
    request: Request,
    body: PreferencesIn,
    principal: SignedIn,
    session: SessionDep,
    response: Response,
    if_match: IfMatch = None,
) -> PreferencesOut:
    """Change the given preferences. Security events always go to the inbox."""
    settings = service.update_preferences(
        session,
        principal,
        if_match,
        email=body.email,
        language=body.language,
        types={kind: channels.model_dump() for kind, channels in body.types.items()},
    )
    set_etag(response, settings.updated_at)
    chosen = queries.preferences_of(session, principal.user_id)
    return render_preferences(settings, chosen, language_of(request))


@inbox_router.post("/{notification}/read", summary="Mark as read")
def read_notification(
    request: Request, notification: Uuid, principal: SignedIn, session: SessionDep
) -> NotificationOut:
    """Mark a notification as read. Repeating this changes nothing."""
    row, details = service.mark_read(session, principal, notification)
    return render(row, details, language_of(request))


@inbox_router.delete(
    "/{notification}", summary="Delete a notification", status_code=status.HTTP_204_NO_CONTENT
)
def delete_notification(notification: Uuid, principal: SignedIn, session: SessionDep) -> None:
    """Delete a notification."""
    service.delete_notification(session, principal, notification)


stream_router = APIRouter(prefix="/api/v1/notifications")
BUSY: dict[int | str, dict[str, Any]] = {
    429: {"model": ProblemDocument, "description": "Too many streams"}
}


@stream_router.get(
    "/stream",
    response_class=EventStream,
    summary="Watch notifications live",
    responses=BUSY,
)
async def stream_notifications(
    request: Request,
    principal: SignedIn,
    last_event_id: Annotated[str | None, Header(max_length=50)] = None,
    follow: Annotated[bool, Query(description="false: end after what there is")] = True,
) -> EventStream:
    """Watch your inbox as a stream of server-sent events.

    - `notification`: a new notification,
    - `unread`: the new number of unread notifications,
    - `ready`: all missed notifications have been sent.

    With `Last-Event-ID`, the stream continues after that event, without gaps or duplicates. When
    your session ends, an `error` event with the problem follows within a second.
    """
    hub: Hub = request.app.state.notifications
    return EventStream(
        hub.watch(principal, language_of(request), last_event_id, follow=follow),
        headers=HEADERS,
    )


router = APIRouter(tags=["notifications"])
router.include_router(inbox_router)
router.include_router(stream_router)
