"""Errors in OpenAI's format, so that OpenAI's clients raise their usual exceptions."""

from collections.abc import Callable, Coroutine
from typing import Any

import orjson
import psycopg
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute

from aiplatform.protocol.validation_errors import error_text, place_of
from aiplatform.server.core.errors import Language, Problem, Unavailable
from aiplatform.server.core.problems import language_of
from aiplatform.server.openai.errors import BadChatRequest
from aiplatform.server.openai.rules import error_type

Handler = Callable[[Request], Coroutine[Any, Any, Response]]

OPENAI_CODES = {
    "auth.unauthenticated": "invalid_api_key",
    "chat.model_not_found": "model_not_found",
    "chat.unknown_url": "chat.unknown_url",
}
"""OpenAI's error codes, which clients may check for, keyed by the platform's error codes."""


def envelope(problem: Problem, language: Language) -> dict[str, Any]:
    """Return ``problem`` in the format that OpenAI's clients expect."""
    return {
        "error": {
            "message": problem.text(language),
            "type": error_type(problem.status),
            "param": problem.params.get("param"),
            "code": OPENAI_CODES.get(problem.code, problem.code),
        }
    }


def error_event(problem: Problem, language: Language) -> bytes:
    """Return the last event of a stream that can't continue."""
    return b"data: " + orjson.dumps(envelope(problem, language)) + b"\n\n"


class OpenAIRoute(APIRoute):
    """A route whose errors have OpenAI's format, except for internal errors."""

    def get_route_handler(self) -> Handler:
        """Return the route's handler, with its errors converted to responses."""
        handler = super().get_route_handler()

        async def told(request: Request) -> Response:
            try:
                return await handler(request)
            except Problem as problem:
                return _render(request, problem)
            except RequestValidationError as error:
                first = error.errors()[0]
                refused = BadChatRequest(reason=error_text(first), param=place_of(first))
                return _render(request, refused)
            except (psycopg.OperationalError, psycopg.InterfaceError):
                return _render(request, Unavailable(service="The database", service_zh="数据库"))

        return told


def _render(request: Request, problem: Problem) -> JSONResponse:
    language = language_of(request)
    return JSONResponse(
        envelope(problem, language),
        status_code=problem.status,
        headers={**problem.headers, "Content-Language": language},
    )
