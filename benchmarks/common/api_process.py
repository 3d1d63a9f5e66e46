"""An API process for ``access.py``, either unchanged or with one guard replaced by a constant.

Usage: ``python -m common.api_process real|constant PORT``, with the settings of a running platform
in the environment.
"""

import sys
from typing import Annotated

import uvicorn
from fastapi import Depends, FastAPI, Request, Response
from fastapi.routing import APIRoute

from aiplatform.protocol.permissions import Permission
from aiplatform.protocol.shapes.projects import ProjectOut
from aiplatform.server.app import create_app
from aiplatform.server.core.database import transaction
from aiplatform.server.identity.access import SessionDep
from aiplatform.server.projects.access import ProjectContext, ProjectGuard
from aiplatform.server.projects.endpoints.projects import read_project

GUARD = ProjectGuard(Permission.PROJECTS_READ)
cached_context: list[ProjectContext] = []


async def cached_project_context(request: Request) -> ProjectContext:
    """Return the first request's context, without a check and without parsing the token.

    This function is asynchronous, so that it needs no thread. The real guard needs a thread, whose
    cost is part of the measurement.
    """
    if not cached_context:
        token = request.headers["authorization"].removeprefix("Bearer ")
        with transaction() as session:
            cached_context.append(GUARD.authorize(request, session, token))
    # The rate limits need the user. They are not measured, so both processes have them.
    request.state.user_id = cached_context[0].principal.user_id
    return cached_context[0]


def read(
    context: Annotated[ProjectContext, Depends(cached_project_context)],
    session: SessionDep,
    response: Response,
) -> ProjectOut:
    """Return the same response as the original route."""
    return read_project(context, session, response)


def replace_guard(app: FastAPI) -> FastAPI:
    """Replace the measured route with one that has no guard, and return the application."""
    routes = app.router.routes
    for index, route in enumerate(routes):
        if isinstance(route, APIRoute) and route.endpoint is read_project:
            routes[index] = APIRoute(route.path, read, methods=["GET"])
            return app
    raise LookupError("the application has no such route")


def main() -> None:
    """Serve until a signal arrives, like ``aiplatform server``."""
    kind, port = sys.argv[1:]
    app = create_app()
    if kind == "constant":
        app = replace_guard(app)
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(port),
        loop="uvloop",
        http="httptools",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )


if __name__ == "__main__":
    main()
