"""Checks of responses against the application's OpenAPI document.

:class:`CheckedClient` is the application's test client and checks every response. Fakes of the
application use the same :class:`Description` to check responses prepared by tests.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any
from unittest.mock import patch

import httpx
import jsonschema_rs
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.testclient import TestClient

from aiplatform.client.transport import Transport

UNDOCUMENTED_PATHS = {
    "/api/v1/openapi.json": "the document itself",
}
"""Paths deliberately left out of the document, each with the reason."""

UNROUTED_STATUSES = frozenset({307, 400, 401, 403, 404, 405, 413, 414, 421, 429, 431, 503})
"""Statuses that middleware and router may return for a path without a route.

307 redirects from a path with a trailing slash to the path without it.
"""

CLIENT_CLOSED_REQUEST = 499
"""Status of a response that nobody reads because the client has closed the connection."""

COMMON_HEADERS = frozenset({
    "cache-control", "connection", "content-encoding", "content-language", "content-length",
    "content-type", "date", "server", "transfer-encoding", "vary",
    "content-security-policy", "cross-origin-opener-policy", "cross-origin-resource-policy",
    "referrer-policy", "strict-transport-security", "x-accel-buffering",
    "x-content-type-options", "x-frame-options", "x-request-id",
    "access-control-allow-credentials", "access-control-allow-headers",
    "access-control-allow-methods", "access-control-allow-origin",
    "access-control-expose-headers", "access-control-max-age",
    "ratelimit", "ratelimit-policy",
})  # fmt: skip
"""Headers that any response may have and that no operation declares."""


class AnswerDiffers(AssertionError):
    """A difference between a response and its declaration in the OpenAPI document."""

    def __init__(self, about: str, faults: list[str]) -> None:
        super().__init__("\n  ".join([f"{about} is not as described:", *faults]))
        self.faults = faults


SAMPLE_UUID = "0b9d6a0e-4c1b-4d0f-9a53-0c5c1a6f7e21"
"""The value of every uuid in sample values."""


class Partial(dict[str, Any]):
    """A JSON object with only those members that matter to a test.

    The fake server fills in the other required members with minimal values.
    """

    def __or__(self, other: Any) -> "Partial":
        """Return a copy with the members of ``other`` added or replaced."""
        return Partial({**self, **other})


@dataclass(frozen=True)
class Operation:
    """An operation in an OpenAPI document: its method, path template and declaration."""

    method: str
    template: str
    declared: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.method} {self.template}"

    def response(self, status: int) -> dict[str, Any] | None:
        """Return the declaration for a status, else the one for its range, else the default.

        The result is None if the operation declares none of these.
        """
        responses: dict[str, Any] = self.declared["responses"]
        for key in (str(status), f"{status // 100}XX", "default"):
            if key in responses:
                found: dict[str, Any] = responses[key]
                return found
        return None


class Description:
    """An OpenAPI document against which responses and requests are checked.

    A property that a schema does not name is a fault unless the schema explicitly allows additional
    properties.
    """

    def __init__(self, document: dict[str, Any], spanning: Collection[str] = ()) -> None:
        """Read the document.

        Args:
            document: The OpenAPI document.
            spanning: Path templates whose last parameter may contain slashes.
        """
        self.document = document
        self._components = {
            name: _closed(schema) for name, schema in document["components"]["schemas"].items()
        }
        self._validators: dict[str, Any] = {}
        templates = sorted(document["paths"], key=lambda path: path.count("{"))
        self._paths = [(re.compile(_pattern(path, "[^/]+")), path) for path in templates]
        self._paths += [(re.compile(_pattern(path, ".+")), path) for path in spanning]

    @lru_cache(maxsize=4096)  # noqa: B019  (a description is kept as long as the process runs)
    def templates(self, path: str) -> list[str]:
        """Return the path templates that match a path, those with the fewest parameters first."""
        return [template for pattern, template in self._paths if pattern.fullmatch(path)]

    def operation(self, method: str, path: str) -> Operation | None:
        """Return the operation for a request, or None if the document has none.

        If a path has no HEAD operation, its GET operation is used for HEAD requests.
        """
        for template in self.templates(path):
            operations = self.document["paths"][template]
            for name in [method, "GET"] if method == "HEAD" else [method]:
                if name.lower() in operations:
                    return Operation(method, template, operations[name.lower()])
        return None

    def check(
        self, method: str, path: str, status: int, headers: Mapping[str, str], body: bytes | None
    ) -> None:
        """Check a response: its route, status, headers, media type and JSON body.

        ``body`` is None where it was not read, as for a stream.

        Raises:
            AnswerDiffers: the response differs; the error names every difference.
        """
        if path in UNDOCUMENTED_PATHS or status == CLIENT_CLOSED_REQUEST:
            return
        if faults := self._faults(method, path, status, headers, body):
            raise AnswerDiffers(f"{method} {path} {status}", faults)

    def _faults(
        self, method: str, path: str, status: int, headers: Mapping[str, str], body: bytes | None
    ) -> list[str]:
        operation = self.operation(method, path)
        if operation is None:
            preflight = method == "OPTIONS" and "access-control-allow-origin" in headers
            if status in UNROUTED_STATUSES or preflight:
                return []
            return ["the document has no such route"]
        response = operation.response(status)
        if response is None:
            return [f"{operation} declares no status {status}: {(body or b'')[:300]!r}"]
        declared = {
            name.lower(): self._resolved(header)
            for name, header in response.get("headers", {}).items()
        }
        needed = [name for name, header in declared.items() if header.get("required")]
        unknown = {name.lower() for name in headers} - set(declared) - COMMON_HEADERS
        return [
            *(f"the header {name} is missing" for name in needed if name not in headers),
            *(f"the header {name} is not declared" for name in sorted(unknown)),
            *(
                f"the header {name}: {fault}"
                for name, header in declared.items()
                if name in headers
                for fault in self.faults_of(header["schema"], headers[name])
            ),
            *self._faults_of_content(operation, status, response, headers, body),
        ]

    def _resolved(self, declared: dict[str, Any]) -> dict[str, Any]:
        found: Any = declared
        if "$ref" in declared:
            found = self.document
            for part in declared["$ref"].split("/")[1:]:
                found = found[part]
        return found  # type: ignore[no-any-return]

    def _faults_of_content(
        self,
        operation: Operation,
        status: int,
        response: dict[str, Any],
        headers: Mapping[str, str],
        body: bytes | None,
    ) -> list[str]:
        content = response.get("content", {})
        media_type = _media_type(headers)
        if operation.method == "HEAD" or status == 304:
            return []
        if not content:
            return [f"a body is not declared: {body[:300]!r}"] if body else []
        if media_type not in content:
            return [f"the media type {media_type!r} is not declared, only {', '.join(content)}"]
        schema = content[media_type].get("schema")
        if body is None or not is_json(media_type) or not schema:
            return []
        try:
            value = json.loads(body)
        except ValueError:
            return [f"the body is not JSON: {body[:300]!r}"]
        return self.faults_of(schema, value)

    def faults_of(self, schema: dict[str, Any], value: Any) -> list[str]:
        """Return the faults of a JSON value: where it violates a schema of the document."""
        key = json.dumps(schema, sort_keys=True)
        validator = self._validators.get(key)
        if validator is None:
            validator = self._validators[key] = jsonschema_rs.Draft202012Validator(
                {**_closed(schema), "components": {"schemas": self._needed(schema)}},
                validate_formats=True,
            )
        if validator.is_valid(value):
            return []
        return [_message(error) for error in validator.iter_errors(value)]

    def resolve(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Return the schema itself, or the one that its reference points to."""
        while "$ref" in schema:
            schema = self.document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        return schema

    def sample(self, schema: dict[str, Any], *, minimal: bool = False) -> Any:
        """Return a schema's example, or a valid value if it has no example.

        With ``minimal``, null and empty lists are preferred to examples.
        """
        schema = self.resolve(schema)
        if schema.get("examples") and not minimal:
            return schema["examples"][0]
        choices = schema.get("anyOf", schema.get("oneOf", ()))
        if choices:
            empty = [choice for choice in choices if minimal and choice.get("type") == "null"]
            return None if empty else self.sample(choices[0], minimal=minimal)
        if "const" in schema or "enum" in schema:
            return schema.get("const", schema.get("enum", [None])[0])
        match schema.get("type"):
            case "object" if "properties" in schema:
                wanted = schema.get("required", ()) if minimal else schema["properties"]
                made = {
                    name: self.sample(schema["properties"][name], minimal=minimal)
                    for name in wanted
                }
                return {**made, "next_cursor": None} if "next_cursor" in made else made
            case "object":
                return {}
            case "array" if "prefixItems" in schema:
                return [self.sample(item) for item in schema["prefixItems"]]
            case "array":
                items = schema.get("items")
                return [] if minimal or not items else [self.sample(items)]
            case "string":
                formats = {"uuid": SAMPLE_UUID, "date-time": "2026-11-24T08:00:00Z"}
                return formats.get(schema.get("format", ""), "text")
            case "integer" | "number":
                return schema.get("minimum", 1)
            case "boolean":
                return False
        return None

    def sample_header(self, schema: dict[str, Any]) -> str:
        """Return a valid value for a header with this schema."""
        if "format" in schema:
            return str(self.sample(schema))
        return next(text for text in ("1", '"1"') if not self.faults_of(schema, text))

    def sample_headers(self, operation: Operation, status: int) -> dict[str, str]:
        """Return a declared response's required headers, with valid values."""
        response = operation.response(status) or {}
        declared = {
            name: self._resolved(item) for name, item in response.get("headers", {}).items()
        }
        return {
            name: self.sample_header(item["schema"])
            for name, item in declared.items()
            if item.get("required")
        }

    def complete(self, schema: dict[str, Any], value: Any, *, partly: bool = False) -> Any:
        """Return a value in which each :class:`Partial` has all members that the schema requires.

        With ``partly``, all objects are completed, not only each :class:`Partial` and its members.
        """
        partly = partly or isinstance(value, Partial)
        schema = self.resolve(schema)
        for choice in schema.get("anyOf", schema.get("oneOf", ())):
            inner = self.resolve(choice)
            if isinstance(value, dict) and set(value) <= set(inner.get("properties", ())):
                return self.complete(inner, value, partly=partly)
            if isinstance(value, list) and inner.get("type") == "array":
                return self.complete(inner, value, partly=partly)
        if isinstance(value, list):
            items = schema.get("items") or {}
            return [self.complete(items, item, partly=partly) for item in value]
        if not isinstance(value, dict):
            return value
        members = schema.get("properties", {})
        rest = schema.get("additionalProperties")
        rest = rest if isinstance(rest, dict) else {}
        given = {
            name: self.complete(members.get(name, rest), item, partly=partly)
            for name, item in value.items()
        }
        if not partly:
            return given
        missing = [name for name in schema.get("required", ()) if name not in given]
        return {name: self.sample(members[name], minimal=True) for name in missing} | given

    def _needed(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Return the components that a schema refers to, directly or indirectly."""
        needed: dict[str, Any] = {}
        waiting = [schema]
        while waiting:
            for name in re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(waiting.pop())):
                if name not in needed:
                    needed[name] = self._components[name]
                    waiting.append(needed[name])
        return needed


def _media_type(headers: Mapping[str, str]) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def is_json(media_type: str) -> bool:
    """Return True if a body of this media type is one JSON value."""
    return media_type == "application/json" or media_type.endswith("+json")


def _message(error: Any) -> str:
    branches = [
        branch
        for branch in getattr(error.kind, "context", ())
        if not any(inner.kind.name in ("type", "const") for inner in branch)
    ]
    if len(branches) == 1:  # the type fits only one alternative of the union
        return "; ".join(_message(inner) for inner in branches[0])
    place = ".".join(str(part) for part in error.instance_path) or "the body"
    return f"{place}: {error.message[:400]}"


def _closed(schema: Any) -> Any:
    """Return a copy of the schema that forbids properties it does not name."""
    if isinstance(schema, list):
        return [_closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {
        key: value if key in ("examples", "example", "default", "const", "enum") else _closed(value)
        for key, value in schema.items()
    }
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        closed.setdefault("additionalProperties", False)
    return closed


def _pattern(template: str, last: str) -> str:
    parts = re.split(r"\{[^}]+\}", template)
    if len(parts) == 1:
        return re.escape(template)
    inner = "[^/]+".join(re.escape(part) for part in parts[:-1])
    return f"{inner}{last}{re.escape(parts[-1])}"


_descriptions: dict[tuple[Any, ...], Description] = {}


def describe(app: FastAPI) -> Description:
    """Return the :class:`Description` of an application, shared by all with the same routes."""
    # Each application serves the document through its own function, which is not an APIRoute.
    key = tuple((r.path, r.endpoint) for r in app.routes if isinstance(r, APIRoute))
    if key not in _descriptions:
        spanning = [
            route.path_format
            for route in app.routes
            if isinstance(route, APIRoute) and ":path}" in route.path and route.include_in_schema
        ]
        _descriptions[key] = Description(app.openapi(), spanning)
    return _descriptions[key]


@cache
def platform() -> Description:
    """Return the description of the platform's API, for fakes of the platform."""
    from aiplatform.server.app import create_app

    return describe(create_app())


def checked_answer(request: httpx.Request, response: httpx.Response) -> httpx.Response:
    """Complete and check a response of a fake platform, and return it.

    Raises:
        AnswerDiffers: the platform never sends such a response. The error is also recorded and
            fails the running test, because clients may send from a thread or retry after an error.
    """
    if "malformed" in response.extensions:
        return response
    description = platform()
    method, path, status = request.method, request.url.path, response.status_code
    operation = description.operation(method, path)
    headers = response.headers
    if operation is not None and "data" in response.extensions:
        declared = (operation.response(status) or {}).get("content", {})
        schema = declared.get(_media_type(headers), {}).get("schema", {})
        data = description.complete(schema, response.extensions["data"])
        if isinstance(response.extensions["data"], Partial):
            headers = httpx.Headers(description.sample_headers(operation, status))
            headers.update(response.headers)
        headers.pop("content-length", None)
        response = httpx.Response(status, headers=headers, content=json.dumps(data))
    body = response.content if is_json(_media_type(response.headers)) else None
    try:
        description.check(method, path, status, response.headers, body)
    except AnswerDiffers as found:
        DIFFERENCES.append(found)
        raise
    return response


class CheckedClient(TestClient):
    """A test client that checks every response against its application's OpenAPI document.

    For streams, only status, headers and media type are checked.
    """

    __test__ = False
    app: FastAPI

    def __init__(self, app: FastAPI, **options: Any) -> None:
        super().__init__(app, **options)
        self._description = describe(app)
        self.event_hooks = {"response": [self._check]}

    def _check(self, response: Any) -> None:
        body = response.read() if is_json(_media_type(response.headers)) else None
        request = response.request
        self._description.check(
            request.method, request.url.path, response.status_code, response.headers, body
        )


class CheckedApp:
    """A wrapper for a served ASGI application that checks the application's responses."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app
        self._description = describe(app)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Handle one request and check its response; other scopes are passed on unchanged."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status = 0
        headers: dict[str, str] = {}
        body: list[bytes] | None = None

        async def checked(message: Any) -> None:
            nonlocal status, headers, body
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = {k.decode().lower(): v.decode("latin-1") for k, v in message["headers"]}
                body = [] if is_json(_media_type(headers)) else None
                if body is None:
                    check()
            elif message["type"] == "http.response.body" and body is not None:
                body.append(message.get("body", b""))
                if not message.get("more_body"):
                    check()
            await send(message)

        def check() -> None:
            content = None if body is None else b"".join(body)
            with collect_differences():
                self._description.check(scope["method"], scope["path"], status, headers, content)

        await self.app(scope, receive, checked)


DIFFERENCES: list[AnswerDiffers] = []
"""Differences found in a thread or behind a socket, where an exception would fail no test."""


@contextmanager
def collect_differences() -> Iterator[None]:
    """Record an :class:`AnswerDiffers` instead of raising it; the running test fails at its end."""
    try:
        yield
    except AnswerDiffers as found:
        DIFFERENCES.append(found)


@contextmanager
def checked_sdk() -> Iterator[None]:
    """Check every response that this process's SDK and CLI get from a real platform."""
    original = Transport.__init__
    description = platform()

    def check(response: httpx.Response) -> None:
        body = response.read() if is_json(_media_type(response.headers)) else None
        method, path = response.request.method, response.request.url.path
        with collect_differences():
            description.check(method, path, response.status_code, response.headers, body)

    def made(self: Transport, url: str, **options: Any) -> None:
        original(self, url, **options)
        if options.get("transport") is None:
            self._http.event_hooks = {"response": [check]}

    with patch.object(Transport, "__init__", made):
        yield
