"""The OpenAPI document as the application really answers, and its routes in one list.

FastAPI describes what a route declares. What stands around all routes refuses too, and refusals
have a media type of their own.
"""

import re
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.datastructures import URLPath
from starlette.routing import BaseRoute, Match, NoMatchFound
from starlette.types import Receive, Scope, Send

from aiplatform.server.core.problems import MEDIA_TYPE, ProblemDocument

PROBLEM = {"$ref": "#/components/schemas/ProblemDocument"}
ALWAYS = {
    "401": "Not signed in",
    "403": "Permission denied",
    "404": "Not found",
    "422": "Invalid request",
    "429": "Too many requests",
}
FACADE_ERROR = {"$ref": "#/components/schemas/ErrorDocument"}
ANYWHERE = {
    "400": "The request can't be read",
    "414": "The address is too long",
    "421": "The server does not go by this name",
    "431": "Too many or too long headers",
    "503": "The database or another part does not answer",
}
CHANGES = {"409": "Something in the way: another state, a name in use, an archived project"}
UPDATES = {"412": "Changed meanwhile", "428": "No If-Match"}
WITH_A_BODY = {"403": "Permission denied, or sent by a foreign page", "413": "Too large a body"}


class NotFlat(TypeError):
    """A router was included with a prefix or dependencies that its routes lack by themselves."""


UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
SOME_UUID = "00000000-0000-0000-0000-000000000000"
PATHS_KNOWN = 2000


class Shortcut(BaseRoute):
    """Leads to the route that a request like this one was found to lead to before.

    To try two hundred routes one after the other takes as long as many a request else does. Which
    one it is depends on nothing but the method and the path, and not on the uuids in that.
    """

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self.routes = routes
        self.known: dict[tuple[str, str], BaseRoute] = {}

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """The route, if one is meant for the request; what is to be said else, the routes say."""
        if scope["type"] != "http":
            return Match.NONE, {}
        kind = scope["method"], UUID.sub(SOME_UUID, scope["path"])
        route = self.known.get(kind)
        if route is not None:
            return route.matches(scope)
        for route in self.routes:
            match, inner = route.matches(scope)
            if match == Match.FULL:
                if len(self.known) >= PATHS_KNOWN:  # names of things, which users choose
                    self.known.clear()
                self.known[kind] = route
                return match, inner
        return Match.NONE, {}

    def url_path_for(self, name: str, /, **path_params: Any) -> URLPath:
        """None: the routes have names, this has not."""
        raise NoMatchFound(name, path_params)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand over to the route, which has named itself."""
        await scope["route"].handle(scope, receive, send)


class DescribedApp(FastAPI):
    """FastAPI, with what its middleware answers in its description."""

    def add_routes(self, *routers: APIRouter) -> None:
        """Add all routes of ``routers``, and of those that they include, to the one list.

        FastAPI matches a request against included routers level by level, twice, and looks each
        time whether routes were added: for two hundred routes that takes longer than to answer.

        Raises:
            NotFlat: for a route that is something else by itself than where it was included.
        """
        routes = self.router.routes
        before = len(routes)
        for router in routers:
            self.include_router(router)  # for what lives as long as the application, too
        contexts = list(iter_route_contexts(routes[before:]))
        del routes[before:]
        for context in contexts:
            route = context.original_route
            assert isinstance(route, APIRoute)
            if context.path != route.path or context.dependencies != route.dependencies:
                raise NotFlat(f"{context.path}: give prefix and dependencies to its own router")
            route.tags = context.tags
            route.operation_id = route.name
            routes.append(route)
        routes.insert(0, Shortcut(routes[before:]))

    def openapi(self) -> dict[str, Any]:
        """The document, made once."""
        if self.openapi_schema is None:
            complete(super().openapi())
        assert self.openapi_schema is not None
        return self.openapi_schema


def complete(document: dict[str, Any]) -> None:
    """Declare, for each operation, what is answered around it, and problems as problems."""
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    # FastAPI's own words for invalid requests, which nothing here answers with.
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["ProblemDocument"] = ProblemDocument.model_json_schema()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            responses = operation["responses"]
            if "422" in responses and "HTTPValidationError" in str(responses["422"]):
                del responses["422"]
            added = ALWAYS | ANYWHERE
            if method != "get":
                added |= CHANGES
            if method in {"post", "put", "patch"}:
                added |= WITH_A_BODY
            if method == "patch":
                added |= UPDATES
            for status, description in added.items():
                responses.setdefault(status, {"description": description})
            for status, response in responses.items():
                if status >= "400":
                    _tell(response, FACADE_ERROR if path.startswith("/v1/") else PROBLEM)


def _tell(response: dict[str, Any], error: dict[str, str]) -> None:
    content = response.get("content", {})
    declared = content.get("application/json", {}).get("schema", PROBLEM)
    if declared not in (PROBLEM, FACADE_ERROR):
        return  # a document of the route's own, such as the health report
    media_type = MEDIA_TYPE if error is PROBLEM else "application/json"
    others = {kind: inner for kind, inner in content.items() if kind != "application/json"}
    response["content"] = {**others, media_type: {"schema": error}}
