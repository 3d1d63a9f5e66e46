"""Tests of requests while the database is unreachable, and after it is reachable again."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import psycopg
import pytest
from psycopg_pool import PoolTimeout
from sqlalchemy.orm import Session

from aiplatform.server.core import async_database
from aiplatform.server.core.async_database import AsyncDatabase, Batcher
from tests.conftest import Api, environment
from tests.factories import make_project, make_token, make_user
from tests.faults.network import Network
from tests.openapi_checks import CheckedClient

REQUESTS = 60


@pytest.fixture
def network(database_url: str) -> Iterator[Network]:
    """Start a proxy in front of the database; tests can interrupt its connections."""
    parts = urlsplit(database_url)
    query = parse_qs(parts.query)
    if "host" not in query:
        pytest.skip("the database is not on a unix socket")
    socket = Path(query["host"][0]) / f".s.PGSQL.{query.get('port', ['5432'])[0]}"
    network = Network(socket)
    yield network
    network.close()


@pytest.fixture
def far_url(database_url: str, network: Network) -> str:
    """Return the URL for connections to the database through ``network``."""
    parts = urlsplit(database_url)
    user = parts.netloc.rpartition("@")[0]
    return f"postgresql://{user}@127.0.0.1:{network.port}{parts.path}"


def with_database(url: str, action: Callable[[AsyncDatabase], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        async with AsyncDatabase(url) as database:
            return await action(database)

    return asyncio.run(main())


class TestConnections:
    def test_run_after_restart_skips_all_dead_connections(
        self, network: Network, far_url: str
    ) -> None:
        async def around(database: AsyncDatabase) -> list[Any]:
            slow = [database.rows("SELECT pg_sleep(0.2)", {}) for _ in range(20)]
            await asyncio.gather(*slow)  # opens the maximum number of connections
            network.cut()
            network.heal()
            ones = await asyncio.gather(*(database.rows("SELECT 1", {}) for _ in range(20)))
            return [one[0][0] for one in ones]

        assert with_database(far_url, around) == [1] * 20

    def test_run_reaches_database_soon_after_its_return(
        self, network: Network, far_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Check that retries come sooner than the pool's own, which are after 1, 3 and 7 s."""
        monkeypatch.setattr(async_database, "WAIT_SECONDS", 1.5)

        async def around(database: AsyncDatabase) -> Any:
            network.cut()
            with pytest.raises(PoolTimeout):
                await database.rows("SELECT 1", {})
            await asyncio.sleep(2.2)
            network.heal()
            return (await database.rows("SELECT 1", {}))[0][0]

        assert with_database(far_url, around) == 1

    def test_rows_of_silent_database_times_out(
        self, network: Network, far_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(async_database, "QUERY_SECONDS", 0.3)

        async def around(database: AsyncDatabase) -> Any:
            await database.rows("SELECT 1", {})
            network.stall()
            with pytest.raises(PoolTimeout):
                await database.rows("SELECT 1", {})
            network.heal()
            return (await database.rows("SELECT 1", {}))[0][0]

        assert with_database(far_url, around) == 1


def test_batch_after_pool_timeout_fails_as_a_whole() -> None:
    """Check that all calls fail together, instead of each waiting for a timeout of its own."""
    calls: list[int] = []

    async def away(asked: list[int]) -> list[int | Exception]:
        calls.append(len(asked))
        raise PoolTimeout("nobody there")

    async def main() -> list[Any]:
        batches: Batcher[int, int] = Batcher(away, lanes=1)
        return await asyncio.gather(*(batches.call(n) for n in range(50)), return_exceptions=True)

    answers = asyncio.run(main())
    assert {type(answer) for answer in answers} == {PoolTimeout}
    assert sum(calls) == 50
    assert len(calls) <= 2


def test_batch_runs_in_an_empty_context() -> None:
    """Check that no caller's context is used, because its trace would include other requests."""
    asking = ContextVar("asking", default="nobody")

    async def handle(asked: list[str]) -> list[str | Exception]:
        return [asking.get() for _ in asked]

    async def main() -> list[Any]:
        batches: Batcher[str, str] = Batcher(handle, lanes=1)

        async def ask(name: str) -> str:
            asking.set(name)
            return await batches.call(name)

        return await asyncio.gather(ask("first"), ask("second"))

    assert asyncio.run(main()) == ["nobody", "nobody"]


def test_invalid_value_of_one_request_does_not_fail_the_others() -> None:
    async def handle(asked: list[int]) -> list[int | Exception]:
        if 13 in asked:
            raise psycopg.DataError("no such number")
        return list(asked)

    async def main() -> list[Any]:
        batches: Batcher[int, int] = Batcher(handle, lanes=1)
        return await asyncio.gather(
            *(batches.call(one) for one in (12, 13, 14)), return_exceptions=True
        )

    first, second, third = asyncio.run(main())
    assert (first, third) == (12, 14)
    assert isinstance(second, psycopg.DataError)


class TestRequests:
    @pytest.fixture
    def far(self, far_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[CheckedClient]:
        """Start the application, connected to the database through ``network``."""
        from aiplatform.server.app import create_app

        monkeypatch.setattr(async_database, "WAIT_SECONDS", 0.5)
        with (
            environment(AIPLATFORM_DATABASE_URL=far_url),
            CheckedClient(
                create_app(), base_url="http://127.0.0.1:8400", client=("127.0.0.1", 1),
                raise_server_exceptions=False,
            ) as client,
        ):  # fmt: skip
            yield client

    @pytest.fixture
    def requests(self, session: Session) -> Callable[[CheckedClient, int], Any]:
        """Return a function that sends one of five kinds of requests, chosen by a number."""
        owner = make_user(session)
        project = make_project(session, owner=owner)
        token = make_token(session, owner)

        def send(client: CheckedClient, number: int) -> Any:
            api = Api(client, token)
            match number % 5:
                case 0:
                    return api.get(f"projects/{project.uuid}")
                case 1:
                    return api.post("projects", json={"name": f"p{uuid4()}"})
                case 2:
                    return api.get("users/me")
                case 3:
                    return api.get("//v1/models")
            form = {"username": owner.username, "password": "wrong one", "grant_type": "password"}
            return client.post("/api/v1/auth/token", data=form)

        return send

    def test_requests_get_503_until_database_returns(
        self, far: CheckedClient, network: Network, requests: Any
    ) -> None:
        good = {200, 201, 401, 429}
        assert {requests(far, n).status_code for n in range(5)} <= good
        network.cut()
        with ThreadPoolExecutor(REQUESTS) as threads:
            answers = list(threads.map(lambda n: requests(far, n), range(REQUESTS)))
        assert Counter(answer.status_code for answer in answers) == {503: REQUESTS}
        for answer in answers:
            said = answer.json()
            assert said.get("code", said.get("error", {}).get("code")) == "server.unavailable", said
            assert answer.headers["retry-after"]
        assert far.get("/api/v1/health").json()["status"] == "ok"
        assert far.get("/api/v1/health/details").json()["status"] == "down"
        network.heal()
        assert {requests(far, n).status_code for n in range(5)} <= good

    def test_requests_during_interruptions_are_answered(
        self, far: CheckedClient, network: Network, requests: Any
    ) -> None:
        """Check that requests around an interruption get their normal response or a 503."""
        over = threading.Event()

        def keep_asking(number: int) -> list[int]:
            codes = []
            while not over.is_set():
                codes.append(requests(far, number).status_code)
            return codes

        with ThreadPoolExecutor(16) as threads:
            asked = [threads.submit(keep_asking, n) for n in range(15)]
            for _ in range(3):
                over.wait(0.5)
                network.cut()
                over.wait(0.2)
                network.heal()
            over.wait(0.5)
            over.set()
            codes = Counter(code for one in asked for code in one.result())
        assert set(codes) <= {200, 201, 401, 429, 503}, codes
        assert codes[200] > 0


def test_metrics_without_database_are_answered_with_503(
    session: Session, client: CheckedClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check the error handling of metrics, which are written without an SQLAlchemy session."""
    owner = make_user(session)
    project = make_project(session, owner=owner)
    api = Api(client, make_token(session, owner))
    made = api.post(f"projects/{project.uuid}/runs", json={"name": "elsewhere"})
    assert made.status_code == 201, made.text

    async def away(*_: Any) -> Any:
        raise psycopg.OperationalError("the connection is lost")

    monkeypatch.setattr(AsyncDatabase, "run", away)
    points = {"points": [{"key": "loss", "step": 1, "value": 1.0}]}
    answer = api.post(f"tasks/{made.json()['uuid']}/metrics", json=points)
    assert (answer.status_code, answer.json()["code"]) == (503, "server.unavailable")
