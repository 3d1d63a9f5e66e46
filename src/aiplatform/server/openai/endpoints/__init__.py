"""Routes under ``/v1``, for unchanged OpenAI clients and compatible programs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from aiplatform.server.core.paths import ANY_PATH
from aiplatform.server.identity.access import PUBLIC
from aiplatform.server.openai import access
from aiplatform.server.openai.access import UsableModels
from aiplatform.server.openai.endpoints.failures import OpenAIRoute
from aiplatform.server.openai.endpoints.relay import (
    CLIENT_CLOSED_REQUEST,
    ClientDisconnected,
    Relay,
    run_until_disconnect,
)
from aiplatform.server.openai.errors import ModelNotFound, NoSuchAddress
from aiplatform.server.openai.schemas import (
    CHAT_COMPLETION_CHUNK,
    ChatCompletion,
    ChatCompletionRequest,
    ErrorDocument,
    ModelList,
    ServedModelOut,
)
from aiplatform.server.openai.service import (
    CallableModel,
    ChatCall,
    ChatService,
    callable_models,
)


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
