"""Tests of the permission queries of concurrent requests, which run on the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg_pool import PoolTimeout
from sqlalchemy import delete, func, select, text, update
from sqlalchemy.orm import Session
from starlette.requests import Request

from aiplatform.protocol.permissions import Permission
from aiplatform.server.core.async_database import AsyncDatabase
from aiplatform.server.core.audit import AuditEntry, AuditLog
from aiplatform.server.core.errors import NotFound, Unavailable
from aiplatform.server.identity.access import Guard, PlatformGuard
from aiplatform.server.identity.errors import PermissionDenied, SessionRequired, Unauthenticated
from aiplatform.server.identity.models import ApiKey, AuthSession, User
from aiplatform.server.projects.access import ProjectGuard
from aiplatform.server.projects.models import ProjectPermission
from tests.factories import make_key, make_member, make_project, make_token, make_user

READ = ProjectGuard(Permission.DATASETS_READ)
Admit = Callable[..., Any]


@pytest.fixture
def with_database(database_url: str) -> Callable[[Callable[[AsyncDatabase], Awaitable[Any]]], Any]:
    """Return a function that runs an action with a connection pool, in its own event loop."""

    def run(action: Callable[[AsyncDatabase], Awaitable[Any]]) -> Any:
        async def main() -> Any:
            async with AsyncDatabase(database_url) as database:
                return await action(database)

        return asyncio.run(main())

    return run


def request_for(database: AsyncDatabase, **params: str) -> Request:
    return Request(
        {"type": "http", "method": "GET", "path": "/x", "headers": [], "client": None,
         "query_string": b"", "server": ("h", 1), "scheme": "http", "path_params": params,
         "state": {"database": database}}
    )  # fmt: skip


async def admitted(
    database: AsyncDatabase, guard: Guard[Any], token: str | None, **params: str
) -> Any:
    """Return the guard's evidence for a request, or the error that the guard raised."""
    try:
        return await guard.admit(request_for(database, **params), token)
    except Exception as error:  # noqa: BLE001  (tests examine any error)
        return error


def open_transactions(session: Session) -> int | None:
    return session.scalar(
        text(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND state LIKE 'idle in transaction%'"
        )
    )


def test_concurrent_requests_get_their_own_results(session: Session, with_database: Any) -> None:
    projects = [make_project(session) for _ in range(3)]
    members = [make_member(session, project, "viewer") for project in projects]
    tokens = [make_token(session, member) for member in members]
    asked: list[tuple[str, str]] = [
        (token, str(project.uuid)) for token in [*tokens, "no token"] for project in projects
    ]

    async def all_at_once(database: AsyncDatabase) -> list[Any]:
        return await asyncio.gather(
            *(admitted(database, READ, token, project=uuid) for token, uuid in asked)
        )

    for (token, uuid), result in zip(asked, with_database(all_at_once), strict=True):
        if token == "no token":
            assert isinstance(result, Unauthenticated)
        elif uuid == str(projects[tokens.index(token)].uuid):
            assert result.principal.user_id == members[tokens.index(token)].id
            assert result.project_uuid == UUID(uuid)
            assert result.permissions == READ_BY_VIEWERS & result.permissions
        else:
            assert isinstance(result, NotFound)


READ_BY_VIEWERS = {f"{resource}:read" for resource in (
    "datasets", "inference", "members", "models", "projects", "tasks", "training")}  # fmt: skip


@pytest.mark.parametrize("how", ["session", "account", "membership"])
def test_access_revoked_before_a_request_is_refused(
    session: Session, with_database: Any, how: str
) -> None:
    """Revoke the access while the query of an earlier request is running."""
    project = make_project(session)
    member = make_member(session, project, "viewer")
    token = make_token(session, member)

    def revoke() -> None:
        if how == "session":
            session.execute(
                update(AuthSession)
                .where(AuthSession.user_id == member.id)
                .values(ended_at=func.now())
            )
        elif how == "account":
            session.execute(update(User).where(User.id == member.id).values(is_active=False))
        else:
            session.execute(delete(ProjectPermission).where(ProjectPermission.user_id == member.id))
        session.commit()

    async def around(database: AsyncDatabase) -> tuple[Any, Any]:
        before = asyncio.ensure_future(admitted(database, READ, token, project=str(project.uuid)))
        await asyncio.sleep(0)  # its statement is sent
        await asyncio.to_thread(revoke)
        after = await admitted(database, READ, token, project=str(project.uuid))
        await before
        return before, after

    _, after = with_database(around)
    assert isinstance(after, NotFound if how == "membership" else Unauthenticated)


def test_deactivation_during_many_requests_admits_none_afterwards(
    session: Session, with_database: Any
) -> None:
    """Check that, of hundreds of requests, none that began after the commit is admitted."""
    project = make_project(session)
    member = make_member(session, project, "viewer")
    token = make_token(session, member)
    committed = threading.Event()
    results: list[Any] = []
    stormy = asyncio.Event()

    def deactivate() -> None:
        session.execute(update(User).where(User.id == member.id).values(is_active=False))
        session.commit()
        committed.set()

    async def ask_until_refused(database: AsyncDatabase) -> tuple[int, int]:
        let_in = late = 0
        while True:
            began_after = committed.is_set()
            result = await admitted(database, READ, token, project=str(project.uuid))
            if isinstance(result, Unauthenticated):
                return let_in, late
            assert not isinstance(result, Exception), result
            results.append(result)
            if len(results) > 200:  # some have been admitted several times
                stormy.set()
            let_in, late = let_in + 1, late + began_after

    async def storm(database: AsyncDatabase) -> list[tuple[int, int]]:
        asking = [asyncio.ensure_future(ask_until_refused(database)) for _ in range(200)]
        await stormy.wait()
        await asyncio.to_thread(deactivate)
        return await asyncio.gather(*asking)

    counts = with_database(storm)
    assert sum(let_in for let_in, _ in counts) > 200, "there was a storm"
    assert sum(late for _, late in counts) == 0


def test_cancelled_requests_do_not_affect_others(session: Session, with_database: Any) -> None:
    """Cancel half of the requests; the others and later ones must be answered."""
    project = make_project(session)
    tokens = [make_token(session, make_member(session, project, "viewer")) for _ in range(20)]

    async def leave(database: AsyncDatabase) -> list[Any]:
        asking = [
            asyncio.ensure_future(admitted(database, READ, token, project=str(project.uuid)))
            for token in tokens
        ]
        await asyncio.sleep(0)
        for one in asking[::2]:
            one.cancel()
        stayed = await asyncio.gather(*asking[1::2])
        return [*stayed, await admitted(database, READ, tokens[0], project=str(project.uuid))]

    results = with_database(leave)
    assert {result.project_id for result in results} == {project.id}


def test_guards_leave_no_transaction_open(session: Session, with_database: Any) -> None:
    project = make_project(session)
    member, stranger = make_member(session, project, "viewer"), make_user(session)
    tokens = [make_token(session, member), make_token(session, stranger)]
    write = ProjectGuard(Permission.DATASETS_WRITE)

    async def ask(database: AsyncDatabase) -> list[Any]:
        uuid = str(project.uuid)
        results = [await admitted(database, READ, token, project=uuid) for token in tokens]
        results.append(await admitted(database, write, tokens[0], project=uuid))
        assert await asyncio.to_thread(open_transactions, session) == 0
        return results

    allowed, foreign, denied = with_database(ask)
    assert allowed.project_id == project.id
    assert isinstance(foreign, NotFound)
    assert isinstance(denied, PermissionDenied)
    session.rollback()
    on_record = (
        select(AuditEntry.outcome)
        .join(AuditLog, AuditLog.id == AuditEntry.audit_id)
        .where(AuditLog.user_id == member.id)
    )
    assert session.scalars(on_record).all() == ["denied"]


def test_key_is_refused_where_none_is_accepted(session: Session, with_database: Any) -> None:
    user = make_user(session)
    token = "a key of somebody"
    make_key(session, user, "datasets:read", token=token)

    async def ask(database: AsyncDatabase) -> list[Any]:
        guards = (PlatformGuard(accepts_keys=True), PlatformGuard())
        return [await admitted(database, guard, token) for guard in guards]

    accepted, refused = with_database(ask)
    assert accepted.user_id == user.id
    assert isinstance(refused, SessionRequired)
    used = select(ApiKey.last_used_at).where(ApiKey.user_id == user.id)
    assert session.scalar(used) is not None


def test_lost_connection_is_retried(session: Session, with_database: Any, monkeypatch: Any) -> None:
    project = make_project(session)
    token = make_token(session, make_member(session, project, "viewer"))

    async def away(*_: Any) -> Any:
        raise psycopg.OperationalError("the connection is lost")

    monkeypatch.setattr(AsyncDatabase, "rows", away)
    result = with_database(
        lambda database: admitted(database, READ, token, project=str(project.uuid))
    )
    assert result.project_id == project.id


def test_timeout_of_the_pool_is_not_retried(
    session: Session, with_database: Any, monkeypatch: Any
) -> None:
    """Check that a pool timeout fails at once, because waiting threads block other requests."""
    token = make_token(session, make_user(session))

    async def away(*_: Any) -> Any:
        raise PoolTimeout("nobody there")

    monkeypatch.setattr(AsyncDatabase, "rows", away)
    monkeypatch.setattr(PlatformGuard, "_again", lambda *_: pytest.fail("asked again"))
    result = with_database(lambda database: admitted(database, PlatformGuard(), token))
    assert isinstance(result, Unavailable)


def test_invalid_or_unknown_id_is_refused(session: Session, with_database: Any) -> None:
    token = make_token(session, make_user(session))
    for bad in ("x", str(uuid4()), "../etc"):
        result = with_database(
            lambda database, bad=bad: admitted(database, READ, token, project=bad)
        )
        assert isinstance(result, NotFound)
        result = with_database(
            lambda database, bad=bad: admitted(database, READ, None, project=bad)
        )
        assert isinstance(result, Unauthenticated)
