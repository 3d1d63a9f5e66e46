"""Route that streams the caller's inbox live."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import StreamingResponse

from aiplatform.server.core.problems import ProblemDocument, language_of
from aiplatform.server.identity.access import SignedIn
from aiplatform.server.notifications.service import Hub


class Frames(StreamingResponse):
    """A response of server-sent events, already encoded: many watchers get the same bytes."""

    media_type = "text/event-stream"


router = APIRouter(prefix="/api/v1/notifications")
BUSY: dict[int | str, dict[str, Any]] = {
    429: {"model": ProblemDocument, "description": "Too many streams"}
}


@router.get(
    "/stream",
    response_class=Frames,
    summary="Watch notifications live",
    responses=BUSY,
)
async def stream_notifications(
    request: Request,
    principal: SignedIn,
    last_event_id: Annotated[str | None, Header(max_length=50)] = None,
    follow: Annotated[bool, Query(description="false: end after what there is")] = True,
) -> Frames:
    """Watch your inbox as a stream of server-sent events.

    - `notification`: a new notification,
    - `unread`: the new number of unread notifications,
    - `ready`: all missed notifications have been sent.

    With `Last-Event-ID`, the stream continues after that event: nothing is lost and nothing is sent
    twice. When your session ends, an `error` event with the problem follows within a second.
    """
    hub: Hub = request.app.state.notifications
    return Frames(
        hub.watch(principal, language_of(request), last_event_id, follow=follow),
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )
