"""Routes under ``/v1``, for unchanged OpenAI clients and compatible programs."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Annotated, Any, TypeVar

import orjson
import psycopg
from fastapi import APIRouter, Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.types import Receive, Scope, Send

from aiplatform.protocol.validation_errors import error_text, place_of
from aiplatform.server.core.errors import Language, Problem, Unavailable
from aiplatform.server.core.paths import ANY_PATH
from aiplatform.server.core.problems import language_of
from aiplatform.server.identity.access import PUBLIC
from aiplatform.server.openai import access
from aiplatform.server.openai.access import UsableModels
from aiplatform.server.openai.errors import BadChatRequest, ModelNotFound, NoSuchAddress
from aiplatform.server.openai.rules import error_type
from aiplatform.server.openai.schemas import (
    CHAT_COMPLETION_CHUNK,
    ChatCompletion,
    ChatCompletionRequest,
    ErrorDocument,
    ModelList,
    ServedModelOut,
)
from aiplatform.server.openai.service import (
    Answer,
    CallableModel,
    ChatCall,
    ChatService,
    callable_models,
)

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
                return _render_problem(request, problem)
            except RequestValidationError as error:
                first = error.errors()[0]
                refused = BadChatRequest(reason=error_text(first), param=place_of(first))
                return _render_problem(request, refused)
            except (psycopg.OperationalError, psycopg.InterfaceError):
                return _render_problem(
                    request, Unavailable(service="The database", service_zh="数据库")
                )

        return told


def _render_problem(request: Request, problem: Problem) -> JSONResponse:
    language = language_of(request)
    return JSONResponse(
        envelope(problem, language),
        status_code=problem.status,
        headers={**problem.headers, "Content-Language": language},
    )


T = TypeVar("T")
STREAM_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
CLIENT_CLOSED_REQUEST = 499
"""Logged status code of a request whose client disconnected before the answer began."""


class ClientDisconnected(Exception):
    """The client of a request has closed the connection."""


async def run_until_disconnect(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """Return the result of ``work``; cancel it if the client closes the connection first.

    Raises:
        ClientDisconnected: when the client closed the connection.
    """
    working = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_wait_for_disconnect(receive))
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnected
        return working.result()
    finally:
        gone.cancel()
        if not working.done():
            working.cancel()
            await asyncio.wait({working})


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class Relay(Response):
    """The response for a streamed answer that has begun. It always calls :meth:`Answer.end`."""

    def __init__(self, request: Request, answer: Answer) -> None:
        super().__init__(
            status_code=answer.status, media_type=answer.media_type, headers=STREAM_HEADERS
        )
        del self.headers["content-length"]
        self.answer = answer
        self.language = language_of(request)

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Send the headers, and events as they arrive. An error is sent as the last event."""
        failure: Problem | None = None

        async def relay() -> None:
            nonlocal failure
            await send(
                {
                    "type": "http.response.start",
                    "status": self.status_code,
                    "headers": self.raw_headers,
                }
            )
            try:
                while events := await self.answer.read():
                    await send({"type": "http.response.body", "body": events, "more_body": True})
            except Problem as problem:
                failure = problem
                last = error_event(problem, self.language)
                await send({"type": "http.response.body", "body": last, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})

        try:
            with contextlib.suppress(ClientDisconnected):
                await run_until_disconnect(receive, relay())
        finally:
            self.answer.end(failure)


@asynccontextmanager
async def lifespan(app: Any) -> AsyncIterator[dict[str, Any]]:
    """Create the process's chat service; routes find it in ``request.state``."""
    async with ChatService(app.state.database) as chats:
        yield {"chats": chats}


def _fault(description: str) -> dict[str, Any]:
    return {"model": ErrorDocument, "description": description}


router = APIRouter(
    prefix="/v1",
    tags=["openai"],
    route_class=OpenAIRoute,
    lifespan=lifespan,
    responses={
        400: _fault("Invalid request"),
        401: _fault("Not signed in"),
        403: _fault("Permission denied"),
        404: _fault("No such model"),
        422: _fault("Refused by the model server"),
        503: _fault("The model does not answer now"),
        504: _fault("The model server says nothing"),
    },
)


@router.post(
    "/chat/completions",
    summary="Ask a deployment",
    response_model=None,
    responses={
        200: {
            "model": ChatCompletion,
            "description": "The answer; a stream of events when that was asked for.",
            "content": {"text/event-stream": {"schema": CHAT_COMPLETION_CHUNK}},
        }
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": ChatCompletionRequest.model_json_schema()}},
        }
    },
)
async def create_chat_completion(
    request: Request, call: Annotated[ChatCall, Depends(access.CHAT)]
) -> Response:
    """Answer a chat request like OpenAI. The body is passed to the model server unchanged."""
    chats: ChatService = request.state.chats
    try:
        answer = await run_until_disconnect(request.receive, chats.ask(call))
    except ClientDisconnected:
        return Response(status_code=CLIENT_CLOSED_REQUEST)
    if answer.is_stream:
        return Relay(request, answer)
    body = await answer.read()
    answer.end()
    return Response(body, status_code=answer.status, media_type=answer.media_type)


@router.get("/models", summary="List what may be asked")
def list_chat_models(usable: Annotated[UsableModels, Depends(access.MODELS)]) -> ModelList:
    """List the deployments that are ready, in all projects where you may use them.

    Like OpenAI's, the list has a single page. Deployments of your own projects, and of an API key's
    project, are listed by name, those of other projects as `project/name`. Tuned models are listed
    a second time as `name:base`, which answers without the adapter. Deployments that share their
    name with another one are listed by uuid.
    """
    return ModelList(data=[_render(model) for model in callable_models(usable.rows)])


@router.get("/models/{model:path}", summary="Read what may be asked")
def get_chat_model(
    model: str, usable: Annotated[UsableModels, Depends(access.MODELS)]
) -> ServedModelOut:
    """Return a model by `name`, `project/name` or uuid."""
    for found in callable_models(usable.rows):
        if model in found.names:
            return _render(found, model)
    raise ModelNotFound(model=model, param="model")


@router.api_route(
    ANY_PATH,
    methods=["DELETE", "GET", "PATCH", "POST", "PUT"],
    include_in_schema=False,
    dependencies=[Depends(PUBLIC)],
)
def refuse_unknown_address(request: Request, path: str) -> Response:
    """Refuse all other paths of OpenAI's API with an error that its clients display."""
    raise NoSuchAddress(method=request.method, path=f"/v1/{path}")


def _render(model: CallableModel, name: str | None = None) -> ServedModelOut:
    return ServedModelOut(id=name or model.names[0], created=model.created, owned_by=model.owner)
