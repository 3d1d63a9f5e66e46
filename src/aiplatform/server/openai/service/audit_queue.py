"""Audit entries of chat requests, written after their answers have ended.

Requests do not wait for them: entries are collected while a transaction is being written and go
into the next one. If the database is unreachable, they are written later.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

import structlog
from anyio.to_thread import run_sync
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from aiplatform.protocol.audit import AuditAction
from aiplatform.server.core import audit
from aiplatform.server.core.audit import Outcome
from aiplatform.server.core.database import transaction
from aiplatform.server.openai.service.routing import ChatCall

log = structlog.get_logger(__name__)
BATCH = 200
MAX_QUEUED = 50_000
"""Maximum number of queued entries. Beyond it, the oldest are only logged."""

GATHER_SECONDS = 0.5
"""Seconds for which entries are collected; writing them together halves the time for each."""

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
        """Queue ``entry`` for writing. This returns at once."""
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
