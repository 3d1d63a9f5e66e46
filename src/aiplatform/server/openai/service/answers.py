"""Answers from model servers, from the request to the audit trail entry."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Self

import orjson
import structlog
from anyio.to_thread import run_sync
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from aiplatform.protocol.audit import AuditAction
from aiplatform.server.core import audit
from aiplatform.server.core.async_database import AsyncDatabase
from aiplatform.server.core.audit import Outcome
from aiplatform.server.core.database import transaction
from aiplatform.server.core.errors import Problem
from aiplatform.server.core.statements import Compiled
from aiplatform.server.identity.access import RECORD_KEY_USE, hash_token
from aiplatform.server.openai import queries
from aiplatform.server.openai.errors import ModelServerTimeout, ModelServerUnavailable
from aiplatform.server.openai.rules import SILENCE_SECONDS, ModelName
from aiplatform.server.openai.service.access_watch import AccessWatch
from aiplatform.server.openai.service.connections import (
    Connection,
    ConnectionLostError,
    Connections,
    ResponseTimeoutError,
)
from aiplatform.server.openai.service.routing import ChatCall

Rows = Sequence[Any]


class Lookups:
    """The OpenAI-compatible API's SQL statements, run on the event loop."""

    def __init__(self, database: AsyncDatabase) -> None:
        self._database = database

    async def find(self, token: str, model: ModelName) -> Rows:
        """Return the caller, and the usable deployments that a model name can refer to.

        Raises:
            psycopg.Error: when the database does not respond.
        """
        if model.version is not None:
            name, label = model.version
            query = queries.deployments_by_version()
            return await self._rows(query, token, name=name, label=label)
        query = queries.deployments_by_name()
        return await self._rows(query, token, name=model.deployment, uuid=model.uuid)

    async def list_ready(self, token: str) -> Rows:
        """Return the rows of :func:`queries.ready_deployments`.

        Raises:
            psycopg.Error: when the database does not respond.
        """
        return await self._rows(queries.ready_deployments(), token)

    async def find_endpoint(self, deployment_id: int) -> Any:
        """Return the endpoint and token of a deployment if it is ready, otherwise None.

        Raises:
            psycopg.Error: when the database does not respond.
        """
        query = queries.serving_endpoint()
        rows = await self._database.rows(query.text, query.values(id=deployment_id))
        return rows[0] if rows else None

    async def record_key_use(self, key_id: int) -> None:
        """Record that an API key was used.

        Raises:
            psycopg.Error: when the database does not respond.
        """
        await self._database.run(
            lambda connection: connection.execute(RECORD_KEY_USE, {"key_id": key_id})
        )

    async def _rows(self, query: Compiled, token: str, **parameters: Any) -> Rows:
        values = query.values(token_hash=hash_token(token), **parameters)
        return await self._database.rows(query.text, values)


log = structlog.get_logger(__name__)
BATCH = 200
MAX_QUEUED = 50_000
"""Maximum number of queued entries. Beyond it, the oldest is dropped with a log message."""

GATHER_SECONDS = 0.5
"""Seconds for which entries are collected, because writing them together is twice as fast."""

RETRY_SECONDS = 1.0
CLOSE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Entry:
    """The audit entry of an ended request.

    ``first_ms`` is the time to the first part of the answer and ``ms`` the time to its end, in
    milliseconds.
    """

    call: ChatCall
    outcome: Outcome
    reason: str | None
    ms: float
    first_ms: float | None
    usage: dict[str, Any] | None


class AuditQueue:
    """A queue of audit entries that are written in the background."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._task: asyncio.Task[None] | None = None

    def add(self, entry: Entry) -> None:
        """Queue ``entry`` for writing. This returns immediately."""
        self._entries.append(entry)
        if len(self._entries) > MAX_QUEUED:
            lost = self._entries.pop(0)
            log.error("audit row dropped", deployment=str(lost.call.target.deployment_uuid))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="chat-audit-queue")

    async def aclose(self) -> None:
        """Write the remaining entries, if the database accepts them in time."""
        if self._task is None:
            return
        _, late = await asyncio.wait({self._task}, timeout=CLOSE_SECONDS)
        for task in late:
            task.cancel()
            log.error("audit rows not written", count=len(self._entries))

    async def _run(self) -> None:
        size = BATCH
        await asyncio.sleep(GATHER_SECONDS)
        while self._entries:
            batch = self._entries[:size]
            try:
                await run_sync(_write, batch)
            except (OperationalError, InterfaceError, PoolTimeoutError) as error:
                log.warning("audit rows wait for the database", error=str(error)[:200])
                await asyncio.sleep(RETRY_SECONDS)
                continue
            except SQLAlchemyError:
                # An entry that the database refuses must not block the others. Write one by one to
                # find it.
                if size > 1:
                    size = 1
                    continue
                log.exception("audit row refused", entry=repr(batch[0])[:500])
            written = set(map(id, batch))
            self._entries = [entry for entry in self._entries if id(entry) not in written]


def _write(entries: list[Entry]) -> None:
    with transaction() as session:
        audit.record_many(session, [_event(entry) for entry in entries])


def _event(entry: Entry) -> audit.Event:
    call = entry.call
    return audit.Event(
        call.actor,
        AuditAction.CHAT_REQUESTED,
        "deployment",
        call.target.deployment_uuid,
        project=call.target.project_uuid,
        outcome=entry.outcome,
        details={
            "model": call.model.text,
            "stream": call.streams,
            "reason": entry.reason,
            "ms": round(entry.ms, 1),
            "first_ms": None if entry.first_ms is None else round(entry.first_ms, 1),
            "usage": entry.usage,
        },
    )


EVENT_STREAM = "text/event-stream"
EVENT_END = b"\n\n"
USAGE = b'"usage":{'
ERROR = b'data: {"error":'


class Answer:
    """An answer from a model server.

    Call :meth:`begin` first, which sets ``status`` and ``media_type``, then :meth:`read`. An answer
    that has begun must be ended with :meth:`end`. Streams are returned in whole events, so that an
    error can be sent as a further event. Other answers are complete before they are returned, so
    that an error can still set the status code of the response.
    """

    def __init__(self, service: "ChatService", call: ChatCall) -> None:
        self.call = call
        self.status = 0
        self.media_type = ""
        self._service = service
        self._connection: Connection | None = None
        self._failure: Problem | None = None
        self._unwatch = service.access_watch.add(call, self._fail)
        self._first = b""
        self._rest = b""
        self._usage = b""
        self._complete = False
        self._broken = False
        self._started = time.perf_counter()
        self._first_ms: float | None = None

    @property
    def is_stream(self) -> bool:
        """True if the answer consists of server-sent events."""
        return self.media_type.startswith(EVENT_STREAM)

    async def begin(self) -> None:
        """Send the request and wait for the first events of a stream or for the whole answer.

        Raises:
            Problem: when there is no answer. :meth:`end` has already been called in that case.
        """
        try:
            with self._translate_errors():
                await self._begin()
        except BaseException as error:
            self.end(error)
            raise

    async def read(self) -> bytes:
        """Return the next events, or all of a non-streamed answer; empty at the end.

        Raises:
            Problem: when the answer can't continue.
        """
        if self._first:
            first, self._first = self._first, b""
            return first
        if self._complete:
            return b""
        with self._translate_errors():
            return await self._next_events()

    def end(self, error: BaseException | None = None) -> None:
        """End the answer and queue its audit entry. This returns immediately.

        If the model server is still answering, it stops.
        """
        self._unwatch()
        if self._connection is not None:
            self._service.connections.give_back(self.call.target.endpoint, self._connection)
        reason = None if self._complete else "client_gone"
        if isinstance(error, Problem):
            reason = error.code
        elif self._broken or self.status >= 400:
            reason = "engine_refused"
        failed = isinstance(error, Problem) or reason == "engine_refused"
        self._service.audit_queue.add(
            Entry(
                call=self.call,
                outcome="failure" if failed else "success",
                reason=reason,
                ms=self._elapsed(),
                first_ms=self._first_ms,
                usage=usage_in(self._usage),
            )
        )

    async def _begin(self) -> None:
        connection = await self._exchange()
        self.status = connection.status
        media_type = connection.headers.get(b"content-type", b"application/json")
        self.media_type = media_type.decode("latin-1")
        if self.status in {401, 403}:
            raise ConnectionLostError("the model server does not know its own token")
        if self.is_stream:
            self._first = await self._next_events()
        else:
            pieces = []
            while piece := await connection.read():
                pieces.append(piece)
            self._first = self._usage = b"".join(pieces)
            self._complete = True
        self._first_ms = self._elapsed()

    async def _exchange(self) -> Connection:
        """Send the request and return the connection once the headers of the answer have arrived.

        The model server may have closed a connection that was kept for reuse. In that case it has
        not read the request, which is sent again on another connection. If another server has taken
        over since the call was routed, the request is sent to that server, unless the answer has
        begun.
        """
        while True:
            connection: Connection | None = None
            try:
                connection = await self._service.connections.get(self.call.target.endpoint)
                self._connection = connection
                if self._failure is not None:
                    raise self._failure
                await connection.send(self.call.request())
            except ConnectionLostError:
                if connection is not None and connection.heard:
                    raise
                kept = connection is not None and connection.exchanges > 1
                if not kept and not await self._follow():
                    raise
            else:
                return connection

    async def _follow(self) -> bool:
        """Switch to the server that has taken over; return False if there is none."""
        target = self.call.target
        found = await self._service.lookups.find_endpoint(target.deployment_id)
        if found is None or found.endpoint_token == target.token:
            return False
        moved = replace(target, endpoint=found.endpoint, token=found.endpoint_token or "")
        self.call = replace(self.call, target=moved)
        self._unwatch()
        self._unwatch = self._service.access_watch.add(self.call, self._fail)
        return True

    async def _next_events(self) -> bytes:
        assert self._connection is not None
        while data := await self._connection.read():
            data = self._rest + data
            cut = data.rfind(EVENT_END)
            if cut < 0:
                self._rest = data
                continue
            cut += len(EVENT_END)
            events, self._rest = data[:cut], data[cut:]
            if USAGE in events:
                self._usage = events
            if ERROR in events:
                self._broken = True
            return events
        self._complete = True
        events, self._rest = self._rest, b""
        return events

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        """Convert errors of the connection to the problems that the caller gets."""
        model = self.call.model.deployment
        try:
            yield
        except ConnectionLostError as error:
            raise ModelServerUnavailable(model=model) from error
        except ResponseTimeoutError as error:
            raise ModelServerTimeout(model=model, seconds=int(SILENCE_SECONDS)) from error

    def _fail(self, problem: Problem) -> None:
        """End the answer with ``problem`` while other code is waiting for its next events."""
        self._failure = problem
        if self._connection is not None:
            self._connection.fail(problem)

    def _elapsed(self) -> float:
        return (time.perf_counter() - self._started) * 1000


class ChatService:
    """The OpenAI-compatible API's objects that live as long as the process."""

    def __init__(self, database: AsyncDatabase) -> None:
        self.connections = Connections()
        self.lookups = Lookups(database)
        self.access_watch = AccessWatch()
        self.audit_queue = AuditQueue()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.access_watch.close()
        self.connections.close()
        await self.audit_queue.aclose()

    async def ask(self, call: ChatCall) -> Answer:
        """Begin the answer to ``call`` and return it.

        Raises:
            ModelServerUnavailable: when the model server can't be reached or stops.
            ModelServerTimeout: when the model server sends nothing for too long.
            AccessRevoked: when the caller loses access.
            DeploymentStopped: when the deployment is stopped.
        """
        answer = Answer(self, call)
        await answer.begin()
        return answer


def usage_in(data: bytes) -> dict[str, int] | None:
    """Return the token counts in an answer, or in the events of a stream that contain them."""
    for line in data.splitlines() if data.startswith(b"data:") else [data]:
        if USAGE not in line:
            continue
        try:
            usage: Any = orjson.loads(line.removeprefix(b"data:"))["usage"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            continue
        if isinstance(usage, dict):
            return {key: value for key, value in usage.items() if isinstance(value, int)}
    return None
