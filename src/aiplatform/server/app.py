"""The API: routers, error handlers and what lives as long as the process."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI
from sqlalchemy.exc import OperationalError
from starlette.types import Scope

import aiplatform
from aiplatform.server.audit.endpoints import router as audit_router
from aiplatform.server.composition import compose
from aiplatform.server.core import middleware, problems
from aiplatform.server.core.database import transaction
from aiplatform.server.core.events import Listener
from aiplatform.server.core.logging import configure_logging
from aiplatform.server.core.migrate import WrongRevision, require_current
from aiplatform.server.core.settings import get_settings
from aiplatform.server.datasets.endpoints import router as datasets_router
from aiplatform.server.experiments.endpoints import router as experiments_router
from aiplatform.server.identity import service as identity_service
from aiplatform.server.identity.endpoints import router as identity_router
from aiplatform.server.inference.endpoints import router as inference_router
from aiplatform.server.notifications.endpoints import router as notifications_router
from aiplatform.server.openai.endpoints import router as openai_router
from aiplatform.server.projects.endpoints import router as projects_router
from aiplatform.server.registry.endpoints import router as registry_router
from aiplatform.server.tasks.endpoints import router as tasks_router

DESCRIPTION = """
Data in, data checked and versioned; a base model fine-tuned on it; the result evaluated,
registered, served, watched and audited. Sign in at `POST /api/v1/auth/token`; send the access
token as bearer. Errors are RFC 9457 problem documents with stable codes, in English or Chinese by
`Accept-Language`.
"""


def _streams(scope: Scope) -> bool:
    """Routes that take bodies of any size count them themselves: uploads are never JSON."""
    content_type = dict(scope["headers"]).get(b"content-type", b"")
    upload = scope["method"] == "POST" and scope["path"].endswith(("/datasets", "/versions"))
    put_file = scope["method"] == "PUT" and "/files/" in scope["path"]
    return (upload or put_file) and not content_type.startswith(b"multipart/")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """The first administrator, and the process's one database listener."""
    settings = get_settings()
    with transaction() as session:
        identity_service.bootstrap(session, settings)
    async with Listener(settings.database_url) as listener:
        app.state.listener = listener
        yield


def create_app() -> FastAPI:
    """The application with all its routes."""
    settings = get_settings()
    configure_logging(settings)
    compose()
    app = FastAPI(
        title="AI Platform",
        version=aiplatform.__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
        responses={
            401: {"model": problems.ProblemDocument, "description": "Not signed in"},
            403: {"model": problems.ProblemDocument, "description": "Permission denied"},
            404: {"model": problems.ProblemDocument, "description": "Not found"},
            422: {"model": problems.ProblemDocument, "description": "Invalid request"},
        },
    )
    problems.install(app)
    app.add_middleware(middleware.BodyLimit, limit=settings.max_request_bytes, streams=_streams)
    app.add_middleware(middleware.RequestContext)
    for router in (
        identity_router,
        projects_router,
        notifications_router,
        audit_router,
        tasks_router,
        datasets_router,
        registry_router,
        experiments_router,
        inference_router,
        openai_router,
    ):
        app.include_router(router)
    return app


def serve() -> int:
    """Run the API until a signal ends it. Returns the exit code."""
    settings = get_settings()
    configure_logging(settings)
    try:
        require_current()
    except (OperationalError, WrongRevision) as error:
        sys.stderr.write(f"aiplatform server: {str(error).splitlines()[0]}\n")
        return 1
    os.environ.setdefault("AIPLATFORM_HOME", str(settings.home))
    uvicorn.run(
        "aiplatform.server.app:create_app",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.api_workers,
        loop="uvloop",
        http="httptools",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=5,
    )
    return 0
