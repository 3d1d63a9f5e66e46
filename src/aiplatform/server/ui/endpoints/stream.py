"""Route of the browser's live stream."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request
from starlette.concurrency import run_in_threadpool

from aiplatform.protocol.permissions import Permission
from aiplatform.server.core.database import transaction
from aiplatform.server.core.errors import Language
from aiplatform.server.core.event_streams import HEADERS, EventStream, error_renderer
from aiplatform.server.core.problems import ProblemDocument, document, language_of
from aiplatform.server.identity.access import BearerToken, Principal, SignedIn
from aiplatform.server.notifications.service import Hub
from aiplatform.server.projects.access import ProjectContext, uuid_or_unknown
from aiplatform.server.queue.access import TASK
from aiplatform.server.telemetry.service.feed import Feeds, Position, newest_position
from aiplatform.server.ui.access import TopicGuard
from aiplatform.server.ui.errors import TooManyTopics, UnknownTopic
from aiplatform.server.ui.schemas import StreamEvent
from aiplatform.server.ui.service.events import read_positions, render_event
from aiplatform.server.ui.service.lists import LISTS, ListFeeds, ListTopic
from aiplatform.server.ui.service.streaming import serve

router = APIRouter(prefix="/api/v1", tags=["web interface"])
MAX_TOPICS = 20
ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"model": StreamEvent, "description": "Server-sent events"},
    429: {"model": ProblemDocument, "description": "Too many streams"},
}


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic that the caller may watch. ``context`` is None for the caller's own inbox."""

    name: str
    context: ProjectContext | None = None
    task: UUID | None = None


def _authorise(request: Request, token: str, names: list[str], project: UUID | None) -> list[Topic]:
    """Return the topics if the caller may watch all of them.

    Raises:
        UnknownTopic: when a topic does not exist, or requires a project and none was given.
        NotFound: when a topic's project or task does not exist, or is hidden from the caller.
        PermissionDenied: when the caller lacks the permission to watch a topic.
    """
    topics = []
    with transaction() as session:
        for name in names:
            kind, _, resource = name.partition(":")
            if name == "notifications":
                topics.append(Topic(name))
            elif (permission := LISTS.get(name)) is not None:
                if project is None:
                    raise UnknownTopic(topic=name)
                guard = TopicGuard(permission, project)
                topics.append(Topic(name, guard.authorize(request, session, token)))
            elif kind in {"task", "logs"} and resource:
                task = uuid_or_unknown(resource)
                guard = TopicGuard(Permission.TASKS_READ, task, TASK)
                topics.append(Topic(name, guard.authorize(request, session, token), task))
            else:
                raise UnknownTopic(topic=name[:100])
    return topics


def _start_after(topic: Topic, position: str | None) -> Position:
    """Return the position after which the task's rows are sent.

    This is the ``position`` that the browser sent or, without one, that of the newest rows.
    """
    assert topic.task is not None
    if position is None:
        return newest_position(topic.task)
    if position.isdecimal() and len(position) <= 18:
        return Position(chunk=int(position))
    return Position.read(position)


@router.get(
    "/stream", response_class=EventStream, summary="Watch several topics", responses=ANSWERS
)
async def watch_topics(
    request: Request,
    principal: SignedIn,
    token: BearerToken,
    topics: Annotated[str, Query(max_length=2000, description="names, separated by commas")],
    project: Annotated[UUID | None, Query(description="of `tasks` and `deployments`")] = None,
    after: Annotated[str | None, Query(max_length=4000, description="as `Last-Event-ID`")] = None,
    language: Annotated[
        Language | None, Query(description="of texts; by default from `Accept-Language`")
    ] = None,
    last_event_id: Annotated[str | None, Header(max_length=4000)] = None,
) -> EventStream:
    """Watch several topics in one stream of server-sent events, for all tabs of a browser.

    Topics are `notifications` (your inbox), `tasks` and `deployments` (changes in the lists of
    `project`), `task:UUID` (status, progress, metrics, log and timeline of a task) and `logs:UUID`
    (only its log). Each event is a JSON object with its topic.

    The stream reports what is new from now on. To continue an earlier stream, send its last `id` as
    `Last-Event-ID` or `after`, which is `TOPIC@POSITION,…` with the `position` of the topics' last
    events; a log also continues after `logs:UUID@SEQ`. When you continue a list, it sends `resync`:
    read the list again. When your session ends, an `error` event ends the stream within a second.
    """
    names = list(dict.fromkeys(name for name in topics.split(",") if name))
    if len(names) > MAX_TOPICS:
        raise TooManyTopics(limit=MAX_TOPICS)
    allowed = await run_in_threadpool(_authorise, request, token or "", names, project)
    positions = read_positions(after if last_event_id is None else last_event_id)
    positions = {name: at for name, at in positions.items() if name in names}
    frames = [
        (topic.name, await _frames(request, principal, topic, positions, language))
        for topic in allowed
    ]
    return EventStream(
        serve(
            frames,
            positions,
            request.app.state.credentials,
            principal,
            lambda problem: render_event(None, "error", document(request, problem)),
        ),
        headers=HEADERS,
    )


async def _frames(
    request: Request,
    principal: Principal,
    topic: Topic,
    positions: dict[str, str],
    language: Language | None,
) -> AsyncIterator[bytes]:
    """Return the stream of a topic, in the format of the route for that topic alone."""
    position = positions.get(topic.name)
    if topic.context is None:
        hub: Hub = request.app.state.notifications
        return hub.watch(principal, language or language_of(request), position)
    render = error_renderer(request)
    if topic.task is None:
        lists: ListFeeds = request.app.state.lists
        kind: ListTopic = "tasks" if topic.name == "tasks" else "deployments"
        return lists.watch(kind, topic.context, render, resumed=position is not None)
    start = await run_in_threadpool(_start_after, topic, position)
    positions[topic.name] = str(start)
    feeds: Feeds = request.app.state.feeds
    log_only = topic.name.startswith("logs:")
    return feeds.watch(topic.task, topic.context, start, render, log_only=log_only)
