"""Handlers that answer every error with an RFC 9457 problem document, in the client's language."""

import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import psycopg
import structlog
from anyio.to_thread import run_sync
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict
from sqlalchemy.exc import DataError, DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException

from aiplatform.data.blobs import StoreUnavailableError
from aiplatform.protocol.encoding import jsonable
from aiplatform.protocol.validation_errors import message_of, message_zh_of, place_of
from aiplatform.server.core.errors import (
    Conflict,
    InternalError,
    Language,
    Problem,
    Unavailable,
)

log = structlog.get_logger(__name__)
MEDIA_TYPE = "application/problem+json"


class ProblemDocument(BaseModel):
    """An RFC 9457 problem. ``code`` is stable; ``title`` and ``detail`` are for human readers."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:aiplatform:problem:resource.not_found",
                    "title": "Not found",
                    "status": 404,
                    "code": "resource.not_found",
                    "detail": "There is no such dataset, or you may not see it.",
                    "instance": "/api/v1/datasets/0f2c8b0e-1f5e-4c7e-9a55-6d1b1a3a7c11",
                }
            ]
        },
    )

    type: str
    title: str
    status: int
    code: str
    detail: str
    instance: str


def language_of(request: Request) -> Language:
    """Return ``zh`` if the client prefers Chinese to English, otherwise ``en``."""
    best: tuple[float, Language] = (0.0, "en")
    for part in request.headers.get("accept-language", "").split(","):
        tag, _, params = part.strip().partition(";")
        quality = re.search(r"q=([0-9.]+)", params)
        try:
            weight = float(quality[1]) if quality else 1.0
        except ValueError:
            continue
        primary = tag.lower().partition("-")[0]
        if primary in ("en", "zh") and weight > best[0]:
            best = (weight, "zh" if primary == "zh" else "en")
    return best[1]


def document(request: Request, problem: Problem) -> dict[str, Any]:
    """Return the problem document for ``problem`` in this request."""
    language = language_of(request)
    extra = {key: value for key, value in problem.params.items() if not key.endswith("_zh")}
    return {
        "type": f"urn:aiplatform:problem:{problem.code}",
        "title": problem.title[language],
        "status": problem.status,
        "code": problem.code,
        "detail": problem.text(language),
        "instance": request.url.path,
    } | {k: v for k, v in jsonable(extra).items() if k not in ("type", "title", "status")}


ErrorFormat = Callable[[Problem, Language], dict[str, Any]]
_formats: dict[str, ErrorFormat] = {}


def set_error_format(prefix: str, error_format: ErrorFormat) -> None:
    """Report errors of paths below ``prefix`` in another format, for clients that expect it."""
    _formats[prefix] = error_format


def set_denial_action(request: Request, action: Callable[[Problem], None] | None) -> None:
    """Set an action that runs before this request is answered with 403; None removes it.

    It runs after the request's own session has been closed, so it may open another.
    """
    request.state.denial_action = action


def render(request: Request, problem: Problem) -> JSONResponse:
    """Return the response that reports ``problem``."""
    language = language_of(request)
    headers = {**problem.headers, "Content-Language": language}
    for prefix, error_format in _formats.items():
        if request.url.path.startswith(prefix):
            return JSONResponse(error_format(problem, language), problem.status, headers)
    return JSONResponse(
        document(request, problem),
        status_code=problem.status,
        media_type=MEDIA_TYPE,
        headers=headers,
    )


class RequestMalformed(Problem):
    """The request does not have the declared shape."""

    status = 422
    code = "request.invalid"


class NoRoute(Problem):
    """The path of the request matches no route."""

    status = 404
    code = "request.no_route"


class MethodNotAllowed(Problem):
    """The path does not support the request's method."""

    status = 405
    code = "request.method_not_allowed"


class BadRequest(Problem):
    """The framework could not parse the request."""

    status = 400
    code = "request.unreadable"


class Unstorable(Problem):
    """A value has the declared type, but PostgreSQL can't store it."""

    status = 422
    code = "request.unstorable_value"


class ChangedMeanwhile(Conflict):
    """A simultaneous request created or deleted data that this request uses."""

    code = "resource.changed_meanwhile"


CONFLICT_STATES = frozenset({"23503", "23505", "40001", "40P01"})
"""SQLSTATEs of conflicting transactions: foreign key, unique, serialisation, deadlock."""


UNREACHABLE = (OperationalError, PoolTimeoutError, psycopg.OperationalError)
"""Errors of an unreachable database, from SQLAlchemy and from psycopg."""


def _http_problem(error: HTTPException) -> Problem:
    match error.status_code:
        case 404:
            return NoRoute()
        case 405:
            return MethodNotAllowed()
    return BadRequest(reason=str(error.detail))


def _validation_problem(error: RequestValidationError) -> Problem:
    faults = error.errors()
    places = []
    for item in faults:
        found = {
            "place": place_of(item, error.body),
            "message": message_of(item),
            "kind": item["type"],
        }
        if found not in places:  # each member of a union reports the same field
            places.append(found)
    first = places[0]
    more = f" (+{len(places) - 1})" if len(places) > 1 else ""
    return RequestMalformed(
        summary=f"{first['place']}: {first['message']}{more}",
        summary_zh=f"{first['place']}：{message_zh_of(faults[0])}{more}",
        errors=places,
    )


def install(app: FastAPI) -> None:
    """Add handlers to ``app`` for all errors that can leave a route."""

    async def on_problem(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, Problem)
        action = getattr(request.state, "denial_action", None)
        if error.status == HTTPStatus.FORBIDDEN and action is not None:
            try:
                await run_sync(action, error)
            except (DBAPIError, PoolTimeoutError) as unrecorded:
                return await on_database(request, unrecorded)
        return render(request, error)

    async def on_http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        answer = render(request, _http_problem(error))
        answer.headers.update(error.headers or {})  # includes the Allow header of a 405 response
        return answer

    async def on_validation(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        return render(request, _validation_problem(error))

    async def on_database(request: Request, error: Exception) -> JSONResponse:
        if isinstance(error, DataError | psycopg.DataError):
            log.warning("unstorable value", path=request.url.path, error=str(error)[:300])
            return render(request, Unstorable())
        if getattr(getattr(error, "orig", error), "sqlstate", None) in CONFLICT_STATES:
            log.warning("conflicting transactions", path=request.url.path, error=str(error)[:300])
            return render(request, ChangedMeanwhile())
        unreachable = isinstance(error, UNREACHABLE) or (
            isinstance(error, DBAPIError) and error.connection_invalidated
        )
        if not unreachable:
            return await on_unexpected(request, error)
        log.warning("database unavailable", path=request.url.path, error=str(error)[:300])
        return render(request, Unavailable(service="The database", service_zh="数据库"))

    async def on_store(request: Request, error: Exception) -> JSONResponse:
        log.warning("store unavailable", path=request.url.path, error=str(error))
        return render(request, Unavailable(service="The store", service_zh="存储"))

    async def on_unexpected(request: Request, error: Exception) -> JSONResponse:
        log.error("unhandled error", path=request.url.path, exc_info=error)
        return render(request, InternalError())

    app.add_exception_handler(Problem, on_problem)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(RequestValidationError, on_validation)
    app.add_exception_handler(DBAPIError, on_database)
    app.add_exception_handler(PoolTimeoutError, on_database)
    app.add_exception_handler(psycopg.Error, on_database)
    app.add_exception_handler(StoreUnavailableError, on_store)
    app.add_exception_handler(Exception, on_unexpected)
