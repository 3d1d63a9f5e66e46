"""Fixtures for all tests: a real PostgreSQL, a real Valkey, the application, and its users.

Each test module gets its own database, which is a copy of a database that was migrated once.
Factories commit all rows that they create, because the application uses its own connections.
"""

import gc
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

from tests.matrix.tally import TALLY
from tests.surface.tally import SURFACE

if TYPE_CHECKING:
    from fastapi import FastAPI
    from sqlalchemy.orm import Session

    from aiplatform.server.identity.models import User
    from tests.openapi_checks import CheckedClient
    from tests.servers import PostgresServer

ADMIN_PASSWORD = "correct horse battery staple"
NO_LIMITS = {
    f"AIPLATFORM_RATE_LIMIT_{bucket}": "off"
    for bucket in ("LOGIN", "ANONYMOUS", "NORMAL", "INGEST")
}
"""Settings that turn rate limits off, because tests send many requests.

Tests of the rate limits set their own.
"""

# There is no deadline, because the time for an example depends on how busy the machine is.
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")

# Tests start thousands of Python processes, and each would otherwise compile the program again.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Collecting the tests creates a million long-lived objects, and garbage collection would take a
# quarter of the time.
gc.disable()

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell's background jobs and their children ignore SIGINT, which some tests send to children.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """Turn garbage collection on, but exclude modules and collected tests from it.

    Without the exclusion, each full collection during the tests would examine a million objects.
    With Python's usual thresholds, collections would still take a fifth of the tests' time in this
    process.
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    gc.enable()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Send the counts of a pytest-xdist worker to the main process."""
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["tally"] = TALLY.as_dict()
        output["surface"] = SURFACE.as_dict()


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_testnodedown(node: Any) -> None:
    """Add the counts of a pytest-xdist worker that has ended; a crashed one sent none."""
    if "tally" in getattr(node, "workeroutput", {}):
        TALLY.add(node.workeroutput["tally"])
        SURFACE.add(node.workeroutput["surface"])


def pytest_unconfigure(config: pytest.Config) -> None:
    """Print the counts of the access matrix and of the SDK and CLI coverage as the last lines."""
    is_part = hasattr(config, "workeroutput")
    if is_part or config.getoption("verbose", 0) > 0:
        return
    if TALLY.cases:
        print(TALLY)  # noqa: T201  (the result of the run)
    if SURFACE.all_methods:
        print(SURFACE)  # noqa: T201


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print how many documented commands were run, and why others were not."""
    found: dict[str, list[str]] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", None) == "call":
                for name, text in report.user_properties:
                    if name.startswith("documented_"):
                        found.setdefault(name, []).append(text)
    if not found:
        return
    ran, same, not_run = (found.get(f"documented_{key}", []) for key in ("run", "same", "not_run"))
    terminalreporter.write_line(
        f"documentation: {len(ran)} blocks ran as written, {len(same)} translations have the same "
        f"code, {len(not_run)} are marked as not run"
    )
    for reason in sorted(set(not_run)):
        terminalreporter.write_line(f"  not run: {reason} ({not_run.count(reason)})")


TEMPLATE = f"aip_template_{os.getpid()}"
_number = count(1)


@contextmanager
def environment(**variables: str) -> Iterator[None]:
    """Set environment variables inside the ``with`` block; settings are read again."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    forget_caches()
    try:
        yield
    finally:
        forget_caches()
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def forget_caches() -> None:
    """Drop this process's cached settings, engine, broker, store and notifier.

    Modules that were not imported are left alone, because tests of the client need no server.
    """
    core = "aiplatform.server.core."
    database = sys.modules.get(core + "database")
    if database is not None and database.get_engine.cache_info().currsize:
        database.get_engine().dispose()
    broker = sys.modules.get(core + "broker")
    if broker is not None and broker.get_waker.cache_info().currsize:
        broker.get_waker().flush()
    for module, name in (
        ("settings", "get_settings"),
        ("database", "get_engine"),
        ("database", "session_factory"),
        ("broker", "get_celery"),
        ("broker", "get_waker"),
        ("storage", "get_store"),
        ("events", "get_notifier"),
    ):
        if core + module in sys.modules:
            getattr(sys.modules[core + module], name).cache_clear()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the browser tests last, beginning with the longest module.

    One process runs a whole module. If the longest began last, the other processes would wait for
    it. All other tests come first, because Playwright leaves an event loop running in its process,
    in which they could not start their own.
    """
    browser, longest = "tests/ui/", "tests/ui/test_controls.py"
    items.sort(
        key=lambda item: item.nodeid.startswith(browser) + (not item.nodeid.startswith(longest))
    )


@pytest.fixture(scope="session", autouse=True)
def _isolated_home() -> Iterator[None]:
    """Keep the tests away from the developer's own home directory and settings."""
    before = {name: os.environ.pop(name) for name in list(os.environ) if _is_setting(name)}
    directory = tempfile.mkdtemp(prefix="aip-home-")
    os.environ["AIPLATFORM_HOME"] = directory
    # Workers live only for seconds here. Tests that need a spare process turn it on.
    os.environ["AIPLATFORM_WARM_RUNTIME"] = "off"
    yield
    shutil.rmtree(directory, ignore_errors=True)
    for name in ("AIPLATFORM_HOME", "AIPLATFORM_WARM_RUNTIME"):
        os.environ.pop(name, None)
    os.environ.update(before)


@pytest.fixture(scope="module", autouse=True)
def _check_settings_restored() -> Iterator[None]:
    """Fail if a test module leaves changed settings behind, which the next modules would use."""
    before = _settings()
    yield
    after = _settings()
    if after != before:
        for name in after.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)
        changed = sorted(dict(after.items() ^ before.items()))
        pytest.fail(f"this module leaves changed settings: {', '.join(changed)}", pytrace=False)


def _settings() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if _is_setting(name)}


@pytest.fixture(autouse=True)
def _check_openapi_differences() -> Iterator[None]:
    """Fail a test in which a response contradicted the OpenAPI document.

    Most differences raise an error where the response is read. Differences behind a socket or in a
    thread are only recorded and fail the test here.
    """
    yield
    checks = sys.modules.get("tests.openapi_checks")
    if checks is not None and checks.DIFFERENCES:
        found = list(checks.DIFFERENCES)
        checks.DIFFERENCES.clear()
        pytest.fail("\n".join(str(fault) for fault in found), pytrace=False)


def _is_setting(name: str) -> bool:
    kept = {"AIPLATFORM_POSTGRES_BIN", "AIPLATFORM_VALKEY_BIN", "AIPLATFORM_TEST_DATABASE_URL"}
    return name.startswith("AIPLATFORM_") and name not in kept


@pytest.fixture(scope="session")
def postgres() -> "Iterator[PostgresServer]":
    """Start the PostgreSQL server for this test run, or use the one named by the environment."""
    from tests.servers import postgres_server

    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def template_database(postgres: "PostgresServer") -> Iterator[str]:
    """Create a migrated but otherwise empty database to copy from, and return its name."""
    from aiplatform.server.core import migrate

    url = postgres.create_database(TEMPLATE)
    runtime = postgres.url_of(TEMPLATE, role=postgres.runtime)
    with environment(AIPLATFORM_DATABASE_URL=runtime, AIPLATFORM_MIGRATION_DATABASE_URL=url):
        migrate.upgrade()
    yield TEMPLATE
    postgres.drop_database(TEMPLATE)


@pytest.fixture(scope="session")
def broker_url() -> Iterator[str]:
    """Start a private Valkey and return its Celery URL.

    Use the fixture ``broker`` to make this process use it.
    """
    from tests.servers import private_valkey

    with private_valkey() as url:
        yield url


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """Create the ``AIPLATFORM_HOME`` of this module, for blobs, spool and work files."""
    directory = Path(tempfile.mkdtemp(prefix="aip-home-"))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def scratch_database(server: "PostgresServer", template: str, home: Path) -> Iterator[str]:
    """Create a migrated database and point the settings to it inside the ``with`` block.

    The database's URL, which is yielded, is for the runtime role. The handlers that connect the
    domains are registered, as in a running program.
    """
    from aiplatform.server.composition import compose

    compose()
    name = f"aip_test_{os.getpid()}_{next(_number)}"
    owner = server.create_database(name, template)
    server.protect_table_names(name)
    url = server.url_of(name, role=server.runtime)
    with environment(
        AIPLATFORM_DATABASE_URL=url,
        AIPLATFORM_MIGRATION_DATABASE_URL=owner,
        AIPLATFORM_BROKER_URL="memory://",
        AIPLATFORM_HOME=str(home),
        AIPLATFORM_STORAGE_URL=(home / "blobs").as_uri(),
        AIPLATFORM_ADMIN_PASSWORD=ADMIN_PASSWORD,
        **NO_LIMITS,
    ):
        yield url
    server.drop_database(name)


@pytest.fixture(scope="module")
def database_url(postgres: "PostgresServer", template_database: str, home: Path) -> Iterator[str]:
    """Create a migrated database for this module and point the settings to it.

    Wake-ups go to an in-memory broker that nobody reads, unless the module uses ``broker``.
    """
    with scratch_database(postgres, template_database, home) as url:
        yield url


@pytest.fixture(scope="module")
def owner_url(database_url: str) -> str:
    """Return the URL of the module's database for the role that owns and migrates it."""
    return os.environ["AIPLATFORM_MIGRATION_DATABASE_URL"]


@pytest.fixture
def fresh_database(postgres: "PostgresServer", template_database: str, home: Path) -> Iterator[str]:
    """Create a migrated database for one test, and use it instead of the module's."""
    with scratch_database(postgres, template_database, home) as url:
        yield url


@pytest.fixture(scope="module")
def broker(database_url: str, broker_url: str) -> Iterator[str]:
    """Empty the real broker and make this process use it.

    List this fixture before ``app`` or ``client``.
    """
    import redis

    path = broker_url.removeprefix("redis+socket://").partition("?")[0]
    with redis.Redis(unix_socket_path=path) as connection:
        connection.flushall()
    with environment(AIPLATFORM_BROKER_URL=broker_url):
        yield broker_url


@pytest.fixture
def session(database_url: str) -> "Iterator[Session]":
    """Open a session on the module's database; uncommitted changes are rolled back."""
    from aiplatform.server.core.database import session_factory

    with session_factory()() as session:
        yield session


@pytest.fixture(scope="module")
def app(database_url: str) -> "FastAPI":
    """Create the application as it is served."""
    from aiplatform.server.app import create_app

    return create_app()


@pytest.fixture(scope="module")
def client(app: "FastAPI") -> "Iterator[CheckedClient]":
    """Start the application and return a client that is not signed in."""
    from tests.openapi_checks import CheckedClient

    with CheckedClient(
        app, base_url="http://127.0.0.1:8400", client=("127.0.0.1", 50000)
    ) as client:
        yield client


class Api:
    """An API client that sends one user's token, or no token if ``token`` is None."""

    def __init__(self, client: "CheckedClient", token: str | None, prefix: str = "/api/v1") -> None:
        self.client = client
        self.token = token
        self.prefix = prefix

    def request(self, method: str, path: str, **options: Any) -> Any:
        """Send a request; ``path`` is relative to ``/api/v1`` unless it begins with ``//``."""
        headers = {} if self.token is None else {"Authorization": f"Bearer {self.token}"}
        headers |= options.pop("headers", {})
        url = path[1:] if path.startswith("//") else f"{self.prefix}/{path.lstrip('/')}"
        return self.client.request(method, url, headers=headers, **options)

    def get(self, path: str, **options: Any) -> Any:
        """Send a GET request."""
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> Any:
        """Send a POST request."""
        return self.request("POST", path, **options)

    def put(self, path: str, **options: Any) -> Any:
        """Send a PUT request."""
        return self.request("PUT", path, **options)

    def patch(self, path: str, **options: Any) -> Any:
        """Send a PATCH request."""
        return self.request("PATCH", path, **options)

    def delete(self, path: str, **options: Any) -> Any:
        """Send a DELETE request."""
        return self.request("DELETE", path, **options)


@pytest.fixture
def api(client: "CheckedClient", session: "Session") -> "Callable[[User | None], Api]":
    """Return a function that creates clients: ``api(user)`` signed in, ``api(None)`` anonymous."""
    from tests.factories import make_token

    def act_as(user: "User | None") -> Api:
        return Api(client, None if user is None else make_token(session, user))

    return act_as


@pytest.fixture
def admin_user(client: "CheckedClient", session: "Session") -> "User":
    """Return the administrator created by the application's first start."""
    from sqlalchemy import select

    from aiplatform.server.identity.models import User

    return session.scalars(select(User).where(User.username == "admin")).one()


@pytest.fixture
def admin(api: "Callable[[User | None], Api]", admin_user: "User") -> Api:
    """Return an API client that is signed in as the administrator."""
    return api(admin_user)


@pytest.fixture(scope="module")
def server_url(app: "FastAPI") -> Iterator[str]:
    """Serve the application on a real socket and return its URL.

    Use this for streams and for clients from other libraries: the test client returns a response
    only after reading it to its end.
    """
    import uvicorn

    from tests.openapi_checks import CheckedApp

    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    server = uvicorn.Server(
        uvicorn.Config(
            CheckedApp(app), log_level="warning", log_config=None, timeout_graceful_shutdown=2
        )
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise RuntimeError("the application did not start")
        time.sleep(0.01)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(15)
    listener.close()


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """Return a list that receives each SQL statement sent by this process, on one line.

    The second item of an entry is True if the statement was sent in a pipeline.
    """
    import psycopg

    seen: list[tuple[str, bool]] = []
    execute = psycopg.Cursor.execute

    def note(cursor: Any, query: Any, *args: Any, **options: Any) -> Any:
        together = cursor.connection.pgconn.pipeline_status != psycopg.pq.PipelineStatus.OFF
        seen.append((" ".join(str(query).split()), together))
        return execute(cursor, query, *args, **options)

    monkeypatch.setattr(psycopg.Cursor, "execute", note)
    return seen
