"""Tests of database sessions and of actions after the commit."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import psycopg
import pytest
from fastapi import Depends, FastAPI
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from aiplatform.server.core import problems
from aiplatform.server.core.database import (
    after_commit,
    commit,
    get_engine,
    max_sessions,
    transaction,
)
from aiplatform.server.core.settings import sqlalchemy_url
from aiplatform.server.identity.access import SessionDep
from aiplatform.server.identity.models import Role
from tests.conftest import environment
from tests.factories import number
from tests.server.core.conftest import FailAtCommit
from tests.servers import PostgresServer


class TestAfterCommit:
    @pytest.fixture
    def done(self) -> list[str]:
        return []

    def test_actions_run_in_order_after_the_commit(self, session: Session, done: list[str]) -> None:
        name = f"role{number()}"
        session.add(Role(name=name, permissions=[]))

        def look() -> None:
            with transaction() as other:
                done.append(str(other.scalar(select(Role.name).where(Role.name == name))))

        after_commit(session, look)
        after_commit(session, lambda: done.append("second"))
        session.flush()
        assert done == []
        commit(session)
        assert done == [name, "second"]
        commit(session)
        assert done == [name, "second"]

    def test_action_of_rolled_back_transaction_never_runs(
        self, session: Session, done: list[str]
    ) -> None:
        session.execute(text("SELECT 1"))
        after_commit(session, lambda: done.append("lost"))
        session.rollback()
        after_commit(session, lambda: done.append("kept"))
        commit(session)
        assert done == ["kept"]

    def test_action_survives_rollback_of_savepoint(self, session: Session, done: list[str]) -> None:
        after_commit(session, lambda: done.append("kept"))
        with pytest.raises(DBAPIError), session.begin_nested():
            session.execute(text("SELECT 1 / 0"))
        commit(session)
        assert done == ["kept"]

    def test_action_does_not_run_if_commit_fails(
        self, session: Session, done: list[str], fail_at_commit: FailAtCommit
    ) -> None:
        fail_at_commit(session)
        after_commit(session, lambda: done.append("told"))
        with pytest.raises(DBAPIError):
            commit(session)
        session.rollback()
        commit(session)
        assert done == []


class TestTransaction:
    def test_transaction_commits_only_without_error(self, database_url: str) -> None:
        good, bad = f"role{number()}", f"role{number()}"
        with transaction() as session:
            session.add(Role(name=good, permissions=[]))
        with pytest.raises(LookupError):
            self.fail_in_the_middle(bad)
        with transaction() as session:
            names = session.scalars(select(Role.name).where(Role.name.in_([good, bad]))).all()
        assert names == [good]

    def fail_in_the_middle(self, name: str) -> None:
        with transaction() as session:
            session.add(Role(name=name, permissions=[]))
            session.flush()
            raise LookupError


class TestRequests:
    @pytest.fixture
    def client(self, database_url: str, fail_at_commit: FailAtCommit) -> Iterator[TestClient]:
        app = FastAPI()
        problems.install(app)

        @app.post("/late", status_code=201)
        def fails_at_the_commit(session: SessionDep) -> None:
            fail_at_commit(session)

        @app.post("/early", status_code=201)
        def fails_after_writing(session: SessionDep, name: str) -> None:
            session.add(Role(name=name, permissions=[]))
            session.flush()
            raise problems.NoRoute

        @app.post("/told", status_code=201)
        def asks_nothing_and_tells(session: SessionDep) -> None:
            after_commit(session, lambda: self.told.append("told"))

        with TestClient(app) as client:
            yield client

    told: list[str]

    def test_action_runs_even_if_request_made_no_statement(self, client: TestClient) -> None:
        self.told = []
        assert client.post("/told").status_code == 201
        assert self.told == ["told"]

    def test_failed_commit_is_answered_as_conflict(self, client: TestClient) -> None:
        answer = client.post("/late")
        assert (answer.status_code, answer.json()["code"]) == (409, "resource.changed_meanwhile")

    def test_error_after_write_rolls_back(self, client: TestClient, session: Session) -> None:
        name = f"role{number()}"
        assert client.post("/early", params={"name": name}).status_code == 404
        assert session.scalar(select(Role).where(Role.name == name)) is None


class TestConnections:
    def test_session_time_zone_is_utc(self, session: Session) -> None:
        now: datetime = session.scalars(select(text("now()"))).one()
        assert now.utcoffset() == timedelta(0)
        assert abs(datetime.now(UTC) - now) < timedelta(minutes=1)
        assert session.scalar(text("SHOW timezone")) == "UTC"

    def test_killed_connection_is_replaced(
        self, database_url: str, postgres: PostgresServer
    ) -> None:
        with transaction() as session:
            name = session.scalar(text("SELECT current_database()"))
        with postgres.connect() as connection:
            killed = connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s",
                [name],
            ).fetchall()
        assert killed
        with transaction() as session:
            assert session.scalar(text("SELECT 1")) == 1

    def test_idle_connection_is_tested_before_use(
        self, database_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = []
        engine = get_engine()
        ping = engine.dialect.do_ping
        monkeypatch.setattr(engine.dialect, "do_ping", lambda c: asked.append(c) or ping(c))
        for seconds, times in ((60.0, 0), (0.0, 1)):
            monkeypatch.setattr("aiplatform.server.core.database.PING_AFTER_SECONDS", seconds)
            with transaction() as session:
                assert session.scalar(text("SELECT 1")) == 1
            assert len(asked) == times

    def test_connection_keeps_250_prepared_statements(self, database_url: str) -> None:
        statements = [text(f"SELECT {n} AS n") for n in range(250)]
        with transaction() as session:
            for statement in statements * 2:
                session.execute(statement)
            kept = session.scalar(text("SELECT count(*) FROM pg_prepared_statements"))
        assert kept is not None
        assert kept >= len(statements)

    def test_locally_closed_connection_is_replaced(self, database_url: str) -> None:
        with transaction() as session:
            raw = session.connection().connection.driver_connection
        assert isinstance(raw, psycopg.Connection)
        raw.close()
        with transaction() as session:
            assert session.scalar(text("SELECT 1")) == 1

    def test_error_text_contains_no_parameters(self, session: Session) -> None:
        with pytest.raises(DBAPIError) as caught:
            session.execute(text("SELECT CAST(:secret AS integer)"), {"secret": "hunter2" * 3})
        assert "hunter2" not in str(caught.value).split("[SQL:", 1)[1]

    @pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
    def test_sqlalchemy_url_of_every_scheme_names_psycopg(self, scheme: str) -> None:
        url = sqlalchemy_url(f"{scheme}://me@host/name?host=/run/pg")
        assert url == "postgresql+psycopg://me@host/name?host=/run/pg"

    def test_engine_is_one_per_process(self, database_url: str) -> None:
        assert get_engine() is get_engine()


class TestSimultaneousRequests:
    """Tests with more requests than threads, and with very few connections."""

    REQUESTS = 60

    @pytest.fixture
    def crowded(self, database_url: str) -> Iterator[FastAPI]:
        app = FastAPI()
        problems.install(app)

        def guard(session: SessionDep) -> None:
            session.execute(text("SELECT 1"))

        @app.get("/", dependencies=[Depends(guard)])
        def read(session: SessionDep) -> int:
            with transaction() as another:
                another.execute(text("SELECT 1"))
            return session.scalars(text("SELECT 2")).one()

        with environment(AIPLATFORM_DATABASE_POOL_SIZE="1"):
            yield app

    def test_more_requests_than_connections_are_all_answered(self, crowded: FastAPI) -> None:
        """Check that no request holds a connection while it waits for a thread that needs one."""

        async def ask() -> list[tuple[int, str]]:
            transport = httpx.ASGITransport(crowded)
            async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
                answers = await asyncio.gather(*(client.get("/") for _ in range(self.REQUESTS)))
            return [(answer.status_code, answer.text) for answer in answers]

        assert asyncio.run(ask()) == [(200, "2")] * self.REQUESTS

    @pytest.mark.parametrize("size", [1, 2, 3, 10, 200])
    def test_sessions_at_once_leaves_connections_for_threads(self, size: int) -> None:
        assert size <= max_sessions(size) < 2 * size
