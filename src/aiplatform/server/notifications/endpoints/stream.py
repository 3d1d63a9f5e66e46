"""The caller's inbox, live."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import StreamingResponse

from aiplatform.server.core.problems import ProblemDocument, language_of
from aiplatform.server.identity.access import SignedIn
from aiplatform.server.notifications.service import Hub


class Frames(StreamingResponse):
    """Server-sent events that are bytes already: one frame serves many watchers."""

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
    """Events `notification` as they are made, `unread` with the new count, `ready` when all that
    was missed has been sent.

    With `Last-Event-ID` the stream goes on after that event: nothing is lost and nothing comes
    twice. When your session ends, an `error` event with the problem follows within a second.
    """
    hub: Hub = request.app.state.notifications
    return Frames(
        hub.watch(principal, language_of(request), last_event_id, follow=follow),
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )
