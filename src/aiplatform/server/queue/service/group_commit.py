"""Group commit: requests that submit tasks at the same time share a transaction.

Most of the cost of a submission is its transaction, and under load hundreds come in a second. A
request that comes alone does not wait. After several requests were answered together, the next one
waits a moment, because the other clients are likely to come back, too. Only few kinds of tasks may
share (:attr:`TaskKind.shares_commit`). If anything goes wrong, each request gets a transaction of
its own.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from pydantic import BaseModel
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session
from structlog.contextvars import bound_contextvars, get_contextvars

from aiplatform.protocol.enums import TaskType
from aiplatform.server.core.async_database import Batcher
from aiplatform.server.core.database import commit, session_factory, session_slot, transaction
from aiplatform.server.core.errors import Problem
from aiplatform.server.core.query_cache import CachedQuery, prefetch, query_cache
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.queue.models import Task
from aiplatform.server.queue.service import submissions
from aiplatform.server.queue.service.dependencies import required_tasks
from aiplatform.server.queue.service.insertion import NewTask, insert_and_wake
from aiplatform.server.queue.service.kinds import kind_of
from aiplatform.server.queue.service.queue import TaskRequest, possible_queries, prepare_new_task
from aiplatform.server.queue.service.submissions import Key

LANES = 1
"""Number of transactions at a time: with more of them, each would have fewer requests to share."""

SHORT_LOCK_TIMEOUT = "SET LOCAL lock_timeout = '100ms'"
"""Statement that limits the wait for a lock: it must not hold up the other requests."""

Render = Callable[[Session, ProjectContext, Task], BaseModel]
"""A function that renders the answer for a task that was just queued."""


def _request_id() -> str | None:
    return get_contextvars().get("request")


@dataclass(frozen=True, slots=True)
class Submission:
    """One ``request`` to queue a task; with a ``key`` it can be repeated.

    Create it where the id of the HTTP request is bound to the log.
    """

    context: ProjectContext
    wanted: TaskRequest
    key: Key | None = None
    request: Any = field(default=None, compare=False)
    request_id: str | None = field(default_factory=_request_id, compare=False)

    @property
    def may_share(self) -> bool:
        """True if the task may share a transaction with others."""
        kind = kind_of(self.wanted.spec.type)
        waits = required_tasks(self.wanted.spec, self.wanted.after)
        return kind.shares_commit and not waits and self.context.may(kind.permission)


@dataclass(frozen=True, slots=True)
class Submitted:
    """The answer: a rendered model, or the JSON of the first answer if it was queued ``before``."""

    answer: Any
    before: bool = False


class _NotShared(Exception):
    """The shared transaction has failed: each request must get one of its own."""


class GroupCommit:
    """The submissions in progress of an API process."""

    def __init__(self, render: Render) -> None:
        self._render = render
        self._threads = CapacityLimiter(LANES)
        self._batches: Batcher[Submission, Submitted] = Batcher(self._submit_batch, lanes=LANES)

    async def submit(self, asked: Submission) -> Submitted:
        """Queue a task; when this returns, it is committed.

        Raises:
            Problem: see :func:`submit_all`.
        """
        if asked.may_share:
            try:
                return await self._batches.call(asked)
            except _NotShared:
                pass
        async with session_slot():
            return await run_sync(_submit_alone, asked, self._render)

    async def _submit_batch(self, asked: list[Submission]) -> list[Submitted | Exception]:
        try:
            return await run_sync(_submit_together, asked, self._render, limiter=self._threads)
        except _NotShared:
            return [_NotShared() for _ in asked]


def _submit_alone(asked: Submission, render: Render) -> Submitted:
    with transaction() as session:
        return submit_all(session, [asked], render)[0]


def _submit_together(asked: list[Submission], render: Render) -> list[Submitted | Exception]:
    keys = [one.key for one in asked if one.key is not None]
    if len(set(keys)) < len(keys):
        raise _NotShared  # the second request must get the answer of the first
    # Log lines of the transaction may concern any of the requests.
    ids = ",".join(one.request_id for one in asked if one.request_id is not None)
    with bound_contextvars(request=ids or None), session_factory()() as session:
        try:
            if len(asked) > 1:
                session.connection().exec_driver_sql(SHORT_LOCK_TIMEOUT)
            answers = _submit(session, asked, render)
        except Exception as error:
            if _is_away(error):
                raise
            raise _NotShared from error
        # A failure from here on may come before or after the commit, so all requests get the error.
        commit(session)
    return answers


def _is_away(error: Exception) -> bool:
    """Return True if the database can't be reached: trying again for each request takes long."""
    if not isinstance(error, DBAPIError):
        return isinstance(error, PoolTimeoutError)
    # Errors from the database have an SQLSTATE; errors of psycopg itself are of other classes.
    unreached = isinstance(error.orig, psycopg.OperationalError) and error.orig.sqlstate is None
    return error.connection_invalidated or unreached


def submit_all(session: Session, asked: Sequence[Submission], render: Render) -> list[Submitted]:
    """Queue all tasks or none; those that were queued before under their keys are returned.

    Raises:
        KeyReused: when a key came with another request.
        Problem: see :func:`~aiplatform.server.queue.service.queue.prepare_new_task`.
    """
    answers: list[Submitted] = []
    for answer in _submit(session, asked, render):
        if isinstance(answer, Exception):
            raise answer
        answers.append(answer)
    return answers


def _prefetch(session: Session, asked: Sequence[Submission]) -> None:
    """Send the queries of all submissions at once.

    Submissions that wait for other tasks are left out: they must lock these tasks first.
    """
    alike: dict[tuple[int, TaskType], list[Submission]] = {}
    for one in asked:
        if not required_tasks(one.wanted.spec, one.wanted.after):
            alike.setdefault((one.context.project_id, one.wanted.spec.type), []).append(one)
    queries: list[CachedQuery] = []
    for (_, kind), those in alike.items():
        specs = [one.wanted.spec for one in those]
        queries += kind_of(kind).prefetch_queries(those[0].context, specs)
        queries += possible_queries(specs)
    prefetch(session, queries)


def _submit(
    session: Session, asked: Sequence[Submission], render: Render
) -> list[Submitted | Exception]:
    """Return an answer for each submission; a refused one gets its problem and leaves no rows."""
    keyed = {one.key: one.request for one in asked if one.key is not None}
    before = submissions.take_keys(session, keyed) if keyed else {}
    answers: dict[int, Submitted | Exception] = {}
    tasks: dict[int, Task] = {}
    waiting: dict[int, NewTask] = {}

    def insert() -> None:
        tasks.update(zip(waiting, insert_and_wake(session, list(waiting.values())), strict=True))
        waiting.clear()

    with query_cache(session):
        _prefetch(session, [one for one in asked if one.key not in before])
        for place, one in enumerate(asked):
            if one.key in before:
                answers[place] = Submitted(before[one.key], before=True)
                continue
            try:
                waiting[place] = prepare_new_task(session, one.context, one.wanted)
            except Problem as refused:
                answers[place] = refused
                continue
            if not kind_of(one.wanted.spec.type).shares_commit:
                insert()  # the next one may refer to it
        insert()
    told: dict[Key, BaseModel] = {}
    for place, task in tasks.items():
        one = asked[place]
        answer = render(session, one.context, task)
        answers[place] = Submitted(answer)
        if one.key is not None:
            told[one.key] = answer
    if told:
        submissions.store_answers(session, told)
    if gone := keyed.keys() - before.keys() - told.keys():
        submissions.release_keys(session, gone)
    return [answers[place] for place in range(len(asked))]
