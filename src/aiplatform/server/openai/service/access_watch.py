"""Ending answers in progress when their callers lose access, which is checked every second."""

import asyncio
from collections.abc import Callable
from typing import Any

import structlog
from anyio import fail_after
from anyio.to_thread import run_sync
from sqlalchemy.exc import SQLAlchemyError

from aiplatform.protocol.enums import DeploymentStatus
from aiplatform.server.core.database import transaction
from aiplatform.server.core.errors import Problem, Unavailable
from aiplatform.server.openai import queries
from aiplatform.server.openai.errors import AccessRevoked, DeploymentStopped
from aiplatform.server.openai.queries import Credential
from aiplatform.server.openai.rules import RECHECK_SECONDS, UNCHECKED_SECONDS
from aiplatform.server.openai.service.routing import ChatCall

log = structlog.get_logger(__name__)
Fail = Callable[[Problem], None]
Pair = tuple[Credential, int]
"""A credential and the id of the deployment that it uses."""


class AccessWatch:
    """The access check for calls that are being answered.

    It needs at most two statements per second, whatever the number of calls.
    """

    def __init__(self) -> None:
        self._calls: dict[object, tuple[ChatCall, Fail]] = {}
        self._task: asyncio.Task[None] | None = None

    def add(self, call: ChatCall, fail: Fail) -> Callable[[], None]:
        """Check ``call`` from now on; call ``fail`` with the reason when its answer must end.

        Return a function that ends these checks.
        """
        ticket = object()
        self._calls[ticket] = (call, fail)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="chat-watch")

        def remove() -> None:
            self._calls.pop(ticket, None)

        return remove

    def close(self) -> None:
        """Stop the checks of all calls."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        checked = loop.time()
        await asyncio.sleep(RECHECK_SECONDS)
        while self._calls:
            watched = list(self._calls.values())
            pairs = {(call.credential, call.target.deployment_id) for call, _ in watched}
            try:
                # A database that hangs, or whose network is broken, may never respond.
                with fail_after(UNCHECKED_SECONDS):
                    rows = await run_sync(_read_access, pairs, abandon_on_cancel=True)
            except (SQLAlchemyError, TimeoutError) as error:
                log.warning("could not look after running answers", error=str(error)[:200])
                if loop.time() - checked > UNCHECKED_SECONDS:
                    for _, fail in watched:
                        fail(Unavailable(service="The database", service_zh="数据库"))
            else:
                checked = loop.time()
                for call, fail in watched:
                    reason = reason_to_end(call, rows)
                    if reason is not None:
                        fail(reason)
            await asyncio.sleep(RECHECK_SECONDS)


def _read_access(pairs: set[Pair]) -> dict[Pair, Any]:
    with transaction() as session:
        rows = [row for select in queries.access_checks(pairs) for row in session.execute(select)]
    return {(Credential(row.session_id, row.key_id), row.deployment_id): row for row in rows}


def reason_to_end(call: ChatCall, rows: dict[Pair, Any]) -> Problem | None:
    """Return the problem that must end the answer to ``call``, or None.

    ``rows`` are the results of ``queries.access_checks``, by pair.
    """
    row = rows.get((call.credential, call.target.deployment_id))
    if row is not None and not row.allowed:
        return AccessRevoked()
    # If the token differs, the deployment was restarted, and the previous server, which answers
    # this call, is stopping. A server replaced by an update finishes its responses. If there is no
    # row, the session or the deployment was deleted.
    answers = row is not None and (
        (row.status == DeploymentStatus.READY and row.endpoint_token == call.target.token)
        or call.target.token in (row.retired_tokens or ())
    )
    return None if answers else DeploymentStopped(model=call.model.deployment)
