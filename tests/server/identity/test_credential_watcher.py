"""Tests that streams end with the session that opened them."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import psycopg
import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskStatus
from aiplatform.server.core.events import Listener
from aiplatform.server.core.settings import get_settings
from aiplatform.server.identity.models import AuthSession, User
from aiplatform.server.identity.service import CredentialWatcher, credential_watcher
from tests.conftest import Api
from tests.factories import make_key, make_project, make_task, make_token, make_user

Act = Callable[[User | None], Api]


@pytest.fixture
def stream(
    server_url: str, session: Session
) -> Iterator[Callable[[User], tuple[threading.Event, list[str]]]]:
    """Return a function that opens the event stream of a task as a user.

    The function returns an event that is set when the stream has ended, and the stream's lines.
    """
    threads: list[threading.Thread] = []

    def open_stream(user: User) -> tuple[threading.Event, list[str]]:
        task = make_task(session, make_project(session, user), status=TaskStatus.RUNNING)
        token = make_token(session, user)
        ended, begun, lines = threading.Event(), threading.Event(), []

        def read() -> None:
            headers = {"Authorization": f"Bearer {token}"}
            url = f"{server_url}/api/v1/tasks/{task.uuid}/events"
            with httpx.stream("GET", url, headers=headers, timeout=20) as response:
                for line in response.iter_lines():
                    lines.append(line)
                    begun.set()
            ended.set()

        threads.append(threading.Thread(target=read, daemon=True))
        threads[-1].start()
        assert begun.wait(10)
        return ended, lines

    yield open_stream
    for thread in threads:
        thread.join(15)


@pytest.mark.parametrize("way", ["deactivate", "delete", "sessions", "password reset"])
def test_stream_ends_within_a_second(stream: Any, admin: Api, session: Session, way: str) -> None:
    user, heir = make_user(session), make_user(session)
    ended, lines = stream(user)
    bystander, _ = stream(make_user(session))
    path = f"users/{user.username}"
    started = time.monotonic()
    if way == "deactivate":
        assert admin.post(f"{path}/deactivate").status_code == 200
    elif way == "delete":
        answer = admin.delete(path, params={"transfer_to": heir.username})
        assert answer.status_code == 204
    elif way == "sessions":
        assert admin.delete(f"{path}/sessions").status_code == 200
    else:
        token = admin.post(f"{path}/password-reset").json()["token"]
        body = {"token": token, "new_password": "quite another sentence"}
        assert admin.post("auth/reset-password", json=body).status_code == 204
    asked = time.monotonic()
    assert ended.wait(5)
    # The message shows two times, because the request itself may be slow.
    assert time.monotonic() - asked < 1.5, (asked - started, time.monotonic() - asked)
    assert "unauthenticated" in lines[-1] or "unauthenticated" in lines[-2], lines[-3:]
    assert not bystander.is_set()
    for other in session.scalars(select(User).where(User.username != "admin")):
        admin.post(f"users/{other.username}/deactivate")  # so that this stream ends, too
    assert bystander.wait(5)


def run(body: Callable[[CredentialWatcher], Any]) -> None:
    async def main() -> None:
        listener = Listener(get_settings().database_url)
        async with listener, CredentialWatcher(listener) as watching:
            await body(watching)

    asyncio.run(main())


def session_of(session: Session, user: User) -> int:
    make_token(session, user)
    newest = select(AuthSession.id).where(AuthSession.user_id == user.id)
    return session.scalars(newest.order_by(AuthSession.id.desc()).limit(1)).one()


@pytest.mark.usefixtures("database_url")
def test_lost_wake_up_costs_a_second(session: Session) -> None:
    """Check that a deactivation without a notification ends the session within two seconds."""
    user = make_user(session)
    login = session_of(session, user)

    async def body(watching: CredentialWatcher) -> None:
        async with watching.watch(login) as ended:
            await asyncio.sleep(0.2)
            assert not ended.is_set()
            user.is_active = False
            session.commit()
            await asyncio.wait_for(ended.wait(), 2)

    run(body)


@pytest.mark.usefixtures("database_url")
@pytest.mark.parametrize("end", ["revoked", "expired", "owner deactivated"])
def test_stream_of_a_key_ends_with_the_key(session: Session, end: str) -> None:
    user = make_user(session)
    key = make_key(session, user, "tasks:read")

    async def body(watching: CredentialWatcher) -> None:
        async with watching.watch(0, key_id=key.id) as ended:
            await asyncio.sleep(1.3)
            assert not ended.is_set()
            if end == "owner deactivated":
                user.is_active = False
            else:
                column = "revoked_at" if end == "revoked" else "expires_at"
                setattr(key, column, func.now())
            session.commit()
            await asyncio.wait_for(ended.wait(), 2)

    run(body)


@pytest.mark.usefixtures("database_url")
def test_many_streams_are_checked_with_one_statement(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []
    original = credential_watcher._read_valid_credentials

    def look(watched: set[tuple[int, int]]) -> set[tuple[int, int]]:
        looks.append(len(watched))
        return original(watched)

    monkeypatch.setattr(credential_watcher, "_read_valid_credentials", look)
    monkeypatch.setattr("aiplatform.server.core.events.POLL_SECONDS", 0.2)
    logins = [session_of(session, make_user(session)) for _ in range(20)]

    async def body(watching: CredentialWatcher) -> None:
        async def watch(login: int) -> None:
            async with watching.watch(login) as ended:
                await asyncio.sleep(0.7)
                assert not ended.is_set()

        await asyncio.gather(*(watch(login) for login in logins for _ in range(5)))

    run(body)
    assert 1 <= len(looks) <= 6
    assert max(looks) == 20


@pytest.mark.usefixtures("database_url")
@pytest.mark.parametrize("how", ["refuses", "says nothing"])
def test_streams_do_not_outlive_an_unreachable_database(
    session: Session, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    from sqlalchemy.exc import OperationalError

    back = threading.Event()

    def look(watched: set[tuple[int, int]]) -> set[tuple[int, int]]:
        if how == "says nothing":
            back.wait(20)
        raise OperationalError("SELECT", {}, psycopg.OperationalError("gone"))

    monkeypatch.setattr(credential_watcher, "_read_valid_credentials", look)
    monkeypatch.setattr(credential_watcher, "UNCHECKED_SECONDS", 0.5)
    monkeypatch.setattr("aiplatform.server.core.events.POLL_SECONDS", 0.1)
    login = session_of(session, make_user(session))

    async def body(watching: CredentialWatcher) -> None:
        began = time.monotonic()
        try:
            async with watching.watch(login) as ended:
                await asyncio.wait_for(ended.wait(), 3)
        finally:
            back.set()
        assert time.monotonic() - began > 0.4

    run(body)


@pytest.mark.usefixtures("database_url")
def test_ended_watchers_are_removed(session: Session) -> None:
    login = session_of(session, make_user(session))

    async def body(watching: CredentialWatcher) -> None:
        mine = asyncio.Event()
        async with watching.watch(login, wakes=mine), watching.watch(login):
            assert len(watching._watched[login, 0]) == 3
        assert watching._watched == {}

    run(body)
