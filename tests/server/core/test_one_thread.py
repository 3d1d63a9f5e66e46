"""Tests of answers that are serialised and committed in the endpoint's thread."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from fastapi import FastAPI, Response
from fastapi.exceptions import ResponseValidationError
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from pydantic import BaseModel, Field
from sqlalchemy import text
from sqlalchemy.orm import Session

from aiplatform.server.core import database, problems
from aiplatform.server.core.one_thread import answer_in_one_thread
from aiplatform.server.core.pagination import Limit, Page
from aiplatform.server.identity.access import SessionDep
from tests.server.core.conftest import FailAtCommit


class Item(BaseModel):
    """An answer with an alias, a time, and a field that may be null."""

    kind: str = Field(alias="type")
    at: datetime
    note: str | None = None


ITEM = Item(type="a", at=datetime(2026, 11, 24, tzinfo=UTC))


def make_app(fail_at_commit: FailAtCommit) -> FastAPI:
    """Return an application with routes that answer from a session."""
    app = FastAPI()
    problems.install(app)

    @app.get("/page")
    def page(session: SessionDep, limit: Limit = 50) -> Page[Item]:
        session.execute(text("SELECT 1"))
        return Page(items=[ITEM] * min(limit, 1), next_cursor="x")

    @app.post("/item", status_code=201, response_model_exclude_none=True)
    def item(session: SessionDep, response: Response, known: bool = False) -> Item:
        session.execute(text("SELECT 1"))
        response.headers["ETag"] = '"1"'
        if known:
            response.status_code = 200
        return ITEM

    @app.delete("/item", status_code=204)
    def delete(session: SessionDep, response: Response) -> None:
        session.execute(text("SELECT 1"))
        response.headers["Purge-After"] = "later"

    @app.get("/ready-made")
    def ready_made(session: SessionDep) -> Response:
        session.execute(text("SELECT 1"))
        return Response("text", media_type="text/plain")

    @app.get("/late")
    def fails_at_the_commit(session: SessionDep) -> Page[Item]:
        fail_at_commit(session)
        return Page(items=[])

    @app.get("/wrong")
    def wrong(session: SessionDep) -> Item:
        session.execute(text("SELECT 1"))
        return {"type": "a"}  # type: ignore[return-value]

    return app


@pytest.fixture
def plain(database_url: str, fail_at_commit: FailAtCommit) -> Iterator[TestClient]:
    """Yield a client of the application as FastAPI runs it."""
    with TestClient(make_app(fail_at_commit)) as client:
        yield client


@pytest.fixture
def client(database_url: str, fail_at_commit: FailAtCommit) -> Iterator[TestClient]:
    """Yield a client of the same application, in which each route uses one thread."""
    app = make_app(fail_at_commit)
    for route in app.routes:
        if isinstance(route, APIRoute):
            answer_in_one_thread(route)
    with TestClient(app) as client:
        yield client


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/page"),
        ("GET", "/page?limit=0"),
        ("POST", "/item"),
        ("POST", "/item?known=true"),
        ("DELETE", "/item"),
        ("GET", "/ready-made"),
    ],
)
def test_answer_in_one_thread_is_the_answer_of_fastapi(
    client: TestClient, plain: TestClient, method: str, path: str
) -> None:
    ours, theirs = client.request(method, path), plain.request(method, path)
    assert (ours.status_code, ours.content) == (theirs.status_code, theirs.content)
    assert ours.headers == theirs.headers


def test_answer_in_one_thread_leaves_description_unchanged(
    client: TestClient, plain: TestClient
) -> None:
    assert client.get("/openapi.json").json() == plain.get("/openapi.json").json()


def test_answer_in_one_thread_commits_in_the_thread_of_the_endpoint(
    client: TestClient, plain: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[Session] = []
    end = database._end
    monkeypatch.setattr(database, "_end", lambda s, done: ended.append(s) or end(s, done))
    for path in ("/page", "/ready-made"):
        assert client.get(path).status_code == 200
    assert client.delete("/item").status_code == 204
    assert ended == []
    assert plain.get("/page").status_code == 200
    assert len(ended) == 1


def test_answer_in_one_thread_runs_actions_after_the_commit(
    database_url: str, fail_at_commit: FailAtCommit
) -> None:
    app = make_app(fail_at_commit)
    threads: list[int] = []

    @app.post("/wake")
    def wake(session: SessionDep) -> Page[Item]:
        session.execute(text("SELECT 1"))
        threads.append(threading.get_ident())
        database.after_commit(
            session,
            lambda: threads.extend([threading.get_ident(), int(session.in_transaction())]),
        )
        return Page(items=[])

    answer_in_one_thread(
        next(r for r in app.routes if isinstance(r, APIRoute) and r.name == "wake")
    )
    with TestClient(app) as client:
        assert client.post("/wake").status_code == 200
    assert threads == [threads[0], threads[0], 0]


def test_answer_in_one_thread_with_failed_commit_is_answered_as_conflict(
    client: TestClient,
) -> None:
    answer = client.get("/late")
    assert (answer.status_code, answer.json()["code"]) == (409, "resource.changed_meanwhile")
    assert client.get("/page").status_code == 200


def test_answer_in_one_thread_that_does_not_fit_the_declaration_is_not_sent(
    session: Session, fail_at_commit: FailAtCommit
) -> None:
    routes = [r for r in make_app(fail_at_commit).routes if isinstance(r, APIRoute)]
    (route,) = (route for route in routes if route.path == "/wrong")
    answer_in_one_thread(route)
    assert route.dependant.call is not None
    with pytest.raises(ResponseValidationError):
        route.dependant.call(session=session)
