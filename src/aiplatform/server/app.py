"""The API application: its routers, error handlers, middleware and lifespan."""

import contextlib
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psutil
import uvicorn
from anyio.to_thread import run_sync
from fastapi import FastAPI
from fastapi.routing import APIRoute
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from starlette.middleware.cors import CORSMiddleware
from starlette.types import Scope

import aiplatform
from aiplatform.data.no_pandas import hide_pandas
from aiplatform.protocol.permissions import Permission
from aiplatform.server.audit.endpoints import router as audit_router
from aiplatform.server.audit.service.denials import denials
from aiplatform.server.composition import compose
from aiplatform.server.core import gc_settings, middleware, problems, tracing
from aiplatform.server.core.async_database import AsyncDatabase
from aiplatform.server.core.broker import get_waker
from aiplatform.server.core.database import transaction
from aiplatform.server.core.description import DescribedApp
from aiplatform.server.core.events import Listener
from aiplatform.server.core.logging import configure_logging
from aiplatform.server.core.migrate import WrongRevision, require_current
from aiplatform.server.core.ratelimits import Bucket, RateLimit
from aiplatform.server.core.request_checks import RequestChecks, is_loopback
from aiplatform.server.core.session_cookie import SessionCookie
from aiplatform.server.core.settings import Settings, get_settings
from aiplatform.server.core.spool import clean_periodically
from aiplatform.server.datasets.endpoints import router as datasets_router
from aiplatform.server.execution.endpoints import router as execution_router
from aiplatform.server.experiments.endpoints import router as experiments_router
from aiplatform.server.identity import service as identity_service
from aiplatform.server.identity.access import is_public
from aiplatform.server.identity.endpoints import router as identity_router
from aiplatform.server.identity.service.accounts import replace_default_password
from aiplatform.server.inference.endpoints import router as inference_router
from aiplatform.server.notifications import service as notifications_service
from aiplatform.server.notifications.endpoints import router as notifications_router
from aiplatform.server.notifications.queries import settle_restored
from aiplatform.server.openai.endpoints import envelope
from aiplatform.server.openai.endpoints import router as openai_router
from aiplatform.server.projects.endpoints import router as projects_router
from aiplatform.server.queue.endpoints import router as queue_router
from aiplatform.server.queue.endpoints import submit_router
from aiplatform.server.registry.endpoints import router as registry_router
from aiplatform.server.schedules.endpoints import router as schedules_router
from aiplatform.server.scripts.endpoints import router as scripts_router
from aiplatform.server.secrets.endpoints import router as secrets_router
from aiplatform.server.sweeps.endpoints import router as sweeps_router
from aiplatform.server.telemetry.endpoints import ingest_router
from aiplatform.server.telemetry.endpoints import router as telemetry_router
from aiplatform.server.telemetry.endpoints.prometheus import MULTIPROCESS
from aiplatform.server.telemetry.service.feed import Feeds
from aiplatform.server.ui.endpoints import router as ui_router
from aiplatform.server.ui.pages import WebInterface
from aiplatform.server.ui.service.lists import ListFeeds

DESCRIPTION = """
Data in, data checked and versioned; a base model fine-tuned on it; the result evaluated,
registered, served, watched and audited. Sign in at `POST /api/v1/auth/token`; send the access
token as bearer. Errors are RFC 9457 problem documents with stable codes, in English or Chinese by
`Accept-Language`.
"""


def _streams(scope: Scope) -> bool:
    """Return True for uploads, whose routes stream the request body and limit its size themselves.

    Their bodies are never JSON, so no nesting depth needs to be checked.
    """
    content_type = dict(scope["headers"]).get(b"content-type", b"")
    uploads = ("/bundles", "/datasets", "/versions")
    upload = scope["method"] == "POST" and scope["path"].endswith(uploads)
    piece = content_type == b"application/offset+octet-stream" and "/uploads" in scope["path"]
    put_file = scope["method"] == "PUT" and "/files/" in scope["path"]
    return (upload or put_file or piece) and not content_type.startswith(b"multipart/")


def _reports(scope: Scope) -> bool:
    """Return True for requests that a run sends repeatedly: metrics, logs and heartbeats."""
    path: str = scope["path"]
    ends = ("/metrics", "/logs", "/heartbeat")
    return scope["method"] == "POST" and path.startswith("/api/v1/tasks/") and path.endswith(ends)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    """Create the first administrator, and keep shared resources open while the process runs.

    The resources include the database listener and the connection pool for short statements.
    """
    settings = get_settings()
    with transaction() as session:
        identity_service.bootstrap(session, settings)
        settle_restored(session)
    async with (
        Listener(settings.database_url) as listener,
        identity_service.CredentialWatcher(listener) as credentials,
        AsyncDatabase(settings.database_url) as database,
        clean_periodically(settings.spool_dir),
    ):
        app.state.database = database
        app.state.listener, app.state.credentials = listener, credentials
        app.state.notifications = notifications_service.Hub(listener, credentials)
        app.state.feeds = Feeds(listener, credentials, Permission.TASKS_READ)
        app.state.lists = ListFeeds(listener)
        yield {"database": database}
        app.state.lists.close()
        app.state.feeds.close()
        app.state.notifications.close()
    await run_sync(get_waker().flush)
    with contextlib.suppress(SQLAlchemyError):
        await run_sync(denials.write)
    await run_sync(tracing.stop)


NORMAL_LIMIT_ROUTES = frozenset(
    {"begin_sso", "finish_sso", "health", "health_details", "read_sso", "refuse_unknown_address"}
)
"""Names of public routes with the normal rate limit, because guessing there gains nothing.

A single sign-on provider's response is accepted only with the browser's cookie, and the request
that exchanges the resulting code has the strict limit.
"""


class Buckets:
    """A callable that returns the name of a request's rate limit.

    On public routes, attackers could guess tokens, passwords and links. These routes, except for
    those in :data:`NORMAL_LIMIT_ROUTES`, therefore have a separate strict limit.
    """

    def __init__(self) -> None:
        self.login_routes: list[tuple[str, re.Pattern[str]]] = []

    def add_public_routes(self, app: FastAPI) -> None:
        """Store the public routes of ``app``, to which the strict limit applies."""
        self.login_routes = [
            (method, route.path_regex)
            for route in app.routes
            if isinstance(route, APIRoute)
            and is_public(route)
            and route.name not in NORMAL_LIMIT_ROUTES
            for method in route.methods or ()
        ]

    def __call__(self, scope: Scope) -> Bucket:
        """Return the name of the limit for a request."""
        path: str = scope["path"]
        method: str = scope["method"]
        if any(method == known and place.match(path) for known, place in self.login_routes):
            return "login"
        if path.startswith("/v1/") or _streams(scope) or _reports(scope):
            return "ingest"
        return "normal"


def _add_middleware(app: FastAPI, settings: Settings, buckets: Buckets) -> None:
    """Add the middleware for all requests. The middleware that is added last is the outermost."""
    app.add_middleware(middleware.BodyLimit, limit=settings.max_request_bytes, streams=_streams)
    app.add_middleware(
        RateLimit,
        limits={
            "login": settings.rate_limit_login,
            "anonymous": settings.rate_limit_anonymous,
            "normal": settings.rate_limit_normal,
            "ingest": settings.rate_limit_ingest,
        },
        bucket=buckets,
        broker_url=settings.broker_url,
    )
    app.add_middleware(SessionCookie)
    app.add_middleware(WebInterface)
    app.add_middleware(RequestChecks, hosts=settings.allowed_hosts, origins=settings.cors_origins)
    if settings.cors_origins:
        # Credentials are not allowed: programs send tokens, and the cookie is only for our own
        # pages.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"],
            # Uploads, ranges and repeatable requests use additional headers.
            allow_headers=["*"],
            expose_headers=["*"],
            max_age=600,
        )  # fmt: skip
    # Two routes are excluded: a failed login writes its own audit entry, with the account, and
    # every page requests the browser's session, even if there is none.
    app.add_middleware(
        middleware.CountDenials,
        note=denials.note,
        except_for={"/api/v1/auth/token", "/api/v1/browser-session"},
    )
    app.add_middleware(middleware.RequestContext)
    if tracing.is_on():
        app.add_middleware(middleware.TraceRequests)


def create_app() -> FastAPI:
    """Create the application with all its routes."""
    settings = get_settings()
    configure_logging(settings)
    tracing.start(settings, "api")
    compose()
    app = DescribedApp(
        title="AI Platform",
        version=aiplatform.__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    problems.install(app)
    problems.set_error_format("/v1/", envelope)
    buckets = Buckets()
    _add_middleware(app, settings, buckets)
    app.add_routes(
        # Put the routes with urgent requests first.
        ingest_router,
        submit_router,
        openai_router,
        identity_router,
        projects_router,
        notifications_router,
        audit_router,
        secrets_router,
        queue_router,
        telemetry_router,
        execution_router,
        datasets_router,
        registry_router,
        experiments_router,
        scripts_router,
        schedules_router,
        sweeps_router,
        inference_router,
        ui_router,
    )
    buckets.add_public_routes(app)
    return app


class DefaultPasswordExposed(RuntimeError):
    """Other machines could reach an API that still has the default password."""


def require_own_password(settings: Settings) -> None:
    """Refuse to serve other machines while the default password is still valid.

    Raises:
        DefaultPasswordExposed: the message says what to do.
    """
    if is_loopback(settings.host):
        return
    with transaction() as session:
        still_default = replace_default_password(session, settings)
    if still_default:
        raise DefaultPasswordExposed(
            "the user admin still has the password that everybody knows, so the API does not "
            f"listen on {settings.host}. Set AIPLATFORM_ADMIN_PASSWORD, or a file that holds it "
            "with AIPLATFORM_ADMIN_PASSWORD_FILE, or replace it on this machine first: start with "
            "AIPLATFORM_HOST=127.0.0.1 and run `aiplatform login`"
        )


def share_metrics(settings: Settings) -> None:
    """Let all API processes store their metrics in one directory, for ``/metrics``.

    prometheus-client reads the directory from an environment variable when it is imported, which
    happens separately in each process.
    """
    runs = settings.home / "run"
    runs.mkdir(parents=True, exist_ok=True)
    for old in runs.glob("figures-*"):
        if not psutil.pid_exists(int(old.name.removeprefix("figures-"))):
            shutil.rmtree(old, ignore_errors=True)
    directory = runs / f"figures-{os.getpid()}"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    os.environ[MULTIPROCESS] = str(directory)


def served_app() -> FastAPI:
    """Create the application for a process that only serves the API."""
    hide_pandas()
    app = create_app()
    gc_settings.freeze_startup_objects()
    return app


def serve() -> int:
    """Run the API until a signal stops it, and return the exit code."""
    settings = get_settings()
    configure_logging(settings)
    try:
        require_current()
        require_own_password(settings)
        tracing.require_packages(settings)
    except (
        OperationalError,
        WrongRevision,
        DefaultPasswordExposed,
        tracing.TracesUnavailable,
    ) as error:
        sys.stderr.write(f"aiplatform server: {str(error).splitlines()[0]}\n")
        return 1
    os.environ.setdefault("AIPLATFORM_HOME", str(settings.home))
    if settings.api_workers > 1:
        share_metrics(settings)
    uvicorn.run(
        "aiplatform.server.app:served_app",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.api_workers,
        loop="uvloop",
        http="httptools",
        log_config=None,
        access_log=False,
        server_header=False,
        # Our setting names the trusted proxies; uvicorn would trust 127.0.0.1.
        proxy_headers=False,
        timeout_graceful_shutdown=5,
    )
    return 0
