"""A FastAPI application with its routes in one flat list, and a complete OpenAPI document.

FastAPI describes only the responses that each route declares. This module adds the errors of the
middleware and the media type of problem documents.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute, _IncludedRouter

from aiplatform.server.core.problems import MEDIA_TYPE, ProblemDocument

PROBLEM = {"$ref": "#/components/schemas/ProblemDocument"}
COMMON_ERRORS = {
    "401": "Not signed in",
    "403": "Permission denied",
    "404": "Not found",
    "422": "Invalid request",
    "429": "Too many requests",
}
OPENAI_ERROR = {"$ref": "#/components/schemas/ErrorDocument"}
MIDDLEWARE_ERRORS = {
    "400": "The request can't be read",
    "414": "The address is too long",
    "421": "The host name is not one of this server",
    "431": "Too many or too long headers",
    "503": "The database or another part does not answer",
}
CHANGE_ERRORS = {"409": "Conflict: another state, a name in use, an archived project"}
UPDATE_ERRORS = {"412": "Changed meanwhile", "428": "If-Match is missing"}
HEADERS = {
    "Accept-Ranges": "`bytes`: parts can be requested with `Range`",
    "Aiplatform-Dataset": "The dataset that an upload became, once it is committed",
    "Aiplatform-Version": "The version that an upload became, once it is committed",
    "Content-Disposition": "The name of the file",
    "Content-Range": "Range of the sent bytes, and size of the file",
    "ETag": "Version of the resource, for `If-Match` or `If-None-Match`",
    "Idempotency-Replayed": "`true`: the same key was sent before, and this is the first answer",
    "Location": "Address of the created resource, or of the next step",
    "Purge-After": "Time until which the deleted resource can be restored",
    "Repr-Digest": "SHA-256 of the whole file",
    "Retry-After": "Seconds after which to try again",
    "Set-Cookie": "Cookie of a sign-in or of a session, which only this browser has",
    "Tus-Checksum-Algorithm": "Algorithms of `Upload-Checksum`",
    "Tus-Extension": "Supported extensions of tus",
    "Tus-Max-Size": "Largest size of an upload in bytes",
    "Tus-Resumable": "Version of tus that the answer follows",
    "Tus-Version": "Supported versions of tus",
    "Upload-Expires": "Time after which an incomplete upload is deleted",
    "Upload-Length": "Size of the whole upload in bytes",
    "Upload-Offset": "Number of bytes that have arrived",
    "WWW-Authenticate": "`Bearer`: send a token",
}
"""Headers that some responses have, each with a description."""

NUMBER = {"pattern": "^[0-9]+$"}
HEADER_SCHEMAS: dict[str, dict[str, Any]] = {
    "ETag": {"pattern": '^(W/)?"[^"]*"$'},
    "Purge-After": {"format": "date-time"},
    "Aiplatform-Dataset": {"format": "uuid"},
    "Retry-After": NUMBER,
    "Tus-Max-Size": NUMBER,
    "Upload-Length": NUMBER,
    "Upload-Offset": NUMBER,
}
"""JSON schemas for header values that are more than plain text."""

ERROR_HEADERS = {"401": ("WWW-Authenticate", True), "429": ("Retry-After", True),
               "503": ("Retry-After", False)}  # fmt: skip
"""The header of each error status, with True if every response with that status has the header."""

BODY_ERRORS = {
    "403": "Permission denied, or sent by a page of another site",
    "413": "The body is too large",
}


class NestedRouterOptions(TypeError):
    """A router was included with a prefix or dependencies that its own routes do not have."""


Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


def sends_headers(*headers: str, sometimes: Sequence[str] = ()) -> Callable[[Endpoint], Endpoint]:
    """Declare the headers of an endpoint's successful responses.

    Place this decorator below the route's decorator.

    Args:
        headers: names from :data:`HEADERS` that every successful response has.
        sometimes: names of headers that only some successful responses have.
    """
    sent = dict.fromkeys(headers, True) | dict.fromkeys(sometimes, False)

    def declare(endpoint: Endpoint) -> Endpoint:
        endpoint.sent_headers = sent  # type: ignore[attr-defined]
        return endpoint

    return declare


def header(name: str, *, required: bool = True) -> dict[str, Any]:
    """Return the description of a header for the OpenAPI document."""
    schema = {"type": "string", **HEADER_SCHEMAS.get(name, {})}
    return {"description": HEADERS[name], "required": required, "schema": schema}


class DescribedApp(FastAPI):
    """A FastAPI application whose OpenAPI document includes the responses of its middleware."""

    def add_routes(self, *routers: APIRouter) -> None:
        """Add all routes of ``routers``, and of routers that they include, to one flat list.

        FastAPI matches a request against nested routers level by level, twice, and checks each time
        whether routes were added. With two hundred routes, that takes longer than the rest of a
        request.

        Raises:
            NestedRouterOptions: a router was included with its own prefix or dependencies.
        """
        routes = self.router.routes
        before = len(routes)
        for router in routers:
            self.include_router(router)  # also registers the routers' lifespans
        del routes[before:]
        for route in (route for router in routers for route in _flatten(router)):
            route.operation_id = route.name
            routes.append(route)

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document, built once."""
        if self.openapi_schema is None:
            document = super().openapi()
            document.setdefault("components", {}).setdefault("schemas", {})
            described = [r for r in self.routes if isinstance(r, APIRoute) and r.include_in_schema]
            for route in described:
                _declare_headers(document["paths"][route.path_format], route)
            _require_fields(document, described)
            _restore_nulls(document["components"]["schemas"])
            complete(document)
        assert self.openapi_schema is not None
        return self.openapi_schema


def _flatten(router: APIRouter) -> Iterator[APIRoute]:
    """Yield the routes of a router, including those of nested routers, in order.

    ``fastapi.routing.iter_route_contexts`` yields the same routes, but analyses each endpoint
    again, which takes half a second for two hundred routes.
    """
    for route in router.routes:
        if isinstance(route, APIRoute):
            yield route
            continue
        assert isinstance(route, _IncludedRouter)
        options = route.include_context
        for inner in _flatten(route.original_router):
            if options.prefix or options.dependencies:
                raise NestedRouterOptions(
                    f"{options.prefix}{inner.path}: give prefix and dependencies to its own router"
                )
            inner.tags = [*options.tags, *(tag for tag in inner.tags if tag not in options.tags)]
            yield inner


def complete(document: dict[str, Any]) -> None:
    """Add the responses of the middleware to each operation, and declare errors as problems."""
    schemas = document["components"]["schemas"]
    # FastAPI's own schemas for validation errors, which this application never sends.
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["ProblemDocument"] = ProblemDocument.model_json_schema()
    document["components"]["headers"] = {
        f"{status}-{name}": header(name, required=required)
        for status, (name, required) in ERROR_HEADERS.items()
    }
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            responses = operation["responses"]
            if "422" in responses and "HTTPValidationError" in str(responses["422"]):
                del responses["422"]
            added = COMMON_ERRORS | MIDDLEWARE_ERRORS
            if method != "get":
                added |= CHANGE_ERRORS
            if method in {"post", "put", "patch"}:
                added |= BODY_ERRORS
            if method == "patch":
                added |= UPDATE_ERRORS
            for status, description in added.items():
                responses.setdefault(status, {"description": description})
            for status, response in responses.items():
                if status in ERROR_HEADERS:
                    name = ERROR_HEADERS[status][0]
                    reference = {"$ref": f"#/components/headers/{status}-{name}"}
                    response.setdefault("headers", {}).setdefault(name, reference)
                if status >= "400":
                    _declare_error(response, OPENAI_ERROR if path.startswith("/v1/") else PROBLEM)


def _declare_headers(operations: dict[str, Any], route: APIRoute) -> None:
    sent: dict[str, bool] = getattr(route.endpoint, "sent_headers", {})
    for method in route.methods or ():
        for status, response in operations[method.lower()]["responses"].items():
            if sent and status < "400":
                headers = response.setdefault("headers", {})
                for name, required in sent.items():
                    headers.setdefault(name, header(name, required=required))


def _require_fields(document: dict[str, Any], routes: Sequence[APIRoute]) -> None:
    """Declare the fields of responses as required, including those with a default value.

    Responses always contain all fields. Three kinds of schemas are not changed: schemas of
    routes that omit nulls, schemas that are also used in requests, and schemas that allow extra
    fields because other programs write the document.
    """
    schemas = document["components"]["schemas"]
    optional: set[str] = set()
    answered: set[str] = set()
    for route in routes:
        for method in route.methods or ():
            operation = document["paths"][route.path_format][method.lower()]
            asked = {name: part for name, part in operation.items() if name != "responses"}
            optional |= _schemas_in(asked, schemas)
            answers = _schemas_in(operation["responses"], schemas)
            answered |= answers
            if route.response_model_exclude_none:
                optional |= answers
    for name in answered - optional:
        schema = schemas[name]
        if "properties" in schema and not schema.get("additionalProperties"):
            schema["required"] = list(schema["properties"])


def _restore_nulls(schemas: dict[str, Any]) -> None:
    """Put nulls back into examples, because FastAPI drops them from the whole document."""

    def restore(schema: dict[str, Any], value: Any) -> None:
        if "$ref" in schema:
            schema = schemas[schema["$ref"].rpartition("/")[2]]
        for choice in schema.get("anyOf", ()):
            restore(choice, value)
        if isinstance(value, dict) and not set(value) <= set(schema.get("properties", ())):
            return
        if isinstance(value, list) and "items" in schema:
            for item in value:
                restore(schema["items"], item)
        if isinstance(value, dict) and "properties" in schema:
            for name, inner in schema["properties"].items():
                if name in value:
                    restore(inner, value[name])
                elif name in schema.get("required", ()) and {"type": "null"} in inner.get(
                    "anyOf", ()
                ):
                    value[name] = None

    for schema in schemas.values():
        for example in schema.get("examples", ()):
            restore(schema, example)


def _schemas_in(part: Any, schemas: dict[str, Any]) -> set[str]:
    """Return the names of the schemas that a part of the document refers to, at any depth."""
    found: set[str] = set()
    waiting = [part]
    while waiting:
        match waiting.pop():
            case {"$ref": str(reference)}:
                name = reference.rpartition("/")[2]
                if name not in found:
                    found.add(name)
                    waiting.append(schemas[name])
            case dict() as inner:
                waiting += inner.values()
            case list() as items:
                waiting += items
    return found


def _declare_error(response: dict[str, Any], error: dict[str, str]) -> None:
    content = response.get("content", {})
    declared = content.get("application/json", {}).get("schema", PROBLEM)
    if declared not in (PROBLEM, OPENAI_ERROR):
        return  # the route's own document, such as the health report
    media_type = MEDIA_TYPE if error is PROBLEM else "application/json"
    others = {kind: inner for kind, inner in content.items() if kind != "application/json"}
    response["content"] = {**others, media_type: {"schema": error}}
