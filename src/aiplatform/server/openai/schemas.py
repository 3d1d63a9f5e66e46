"""Schemas for the parts of OpenAI's API that the platform reads. All other fields pass through."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class ChatCompletionRequest(BaseModel):
    """A chat request. Other fields are passed to the model server unchanged."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "model": "faq",
                    "messages": [{"role": "user", "content": "What is your name?"}],
                    "max_tokens": 64,
                    "stream": False,
                }
            ]
        },
    )

    model: str = Field(
        description="A deployment's name or uuid; with `:base`, its base model without the adapter."
    )
    messages: list[dict[str, Any]] = Field(min_length=1)
    stream: bool | None = Field(None, description="Answer piece by piece, as server-sent events.")


class ChatCompletion(BaseModel):
    """A complete, non-streamed answer, as sent by the model server."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "id": "chatcmpl-4f1c",
                    "object": "chat.completion",
                    "created": 1795500000,
                    "model": "faq",
                    "choices": [
                        {
                            "index": 0,
                            "message": {"role": "assistant", "content": "I am a language model."},
                            "finish_reason": "stop",
                        }
                    ],
                    "usage": {"prompt_tokens": 12, "completion_tokens": 6, "total_tokens": 18},
                }
            ]
        },
    )

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[dict[str, Any]]
    usage: dict[str, Any] | None = None


CHAT_COMPLETION_CHUNK: dict[str, Any] = {
    "title": "ChatCompletionChunk",
    "description": (
        "An event of a streamed answer, as JSON in the field `data`. The last event is `[DONE]`. "
        "An answer that can't continue ends with `error` instead."
    ),
    "type": "object",
    "properties": {
        "choices": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "index": {"type": "integer"},
                    "delta": {
                        "type": "object",
                        "properties": {
                            "role": {"type": "string"},
                            "content": {"type": ["string", "null"]},
                            "reasoning_content": {"type": ["string", "null"]},
                        },
                    },
                    "finish_reason": {
                        "type": ["string", "null"],
                        "description": "`length`: the answer reached `max_tokens`",
                    },
                },
            },
        },
        "usage": {
            "type": ["object", "null"],
            "description": "only if `stream_options` has `include_usage`",
            "properties": {
                "prompt_tokens": {"type": "integer"},
                "completion_tokens": {"type": "integer"},
                "total_tokens": {"type": "integer"},
            },
        },
        "error": {"$ref": "#/components/schemas/ErrorBody"},
    },
}
"""The schema of a streamed answer's events, with the fields that the web interface reads.

It is written by hand, because FastAPI documents the models of JSON responses only.
"""


class ServedModelOut(BaseModel):
    """A deployment that is ready. ``owned_by`` is its project."""

    id: str
    object: Literal["model"] = "model"
    created: int = Field(description="seconds since the epoch")
    owned_by: str


class ModelList(BaseModel):
    """The models that the caller may use."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "object": "list",
                    "data": [
                        {
                            "id": "faq",
                            "object": "model",
                            "created": 1795500000,
                            "owned_by": "Customer care",
                        }
                    ],
                }
            ]
        }
    )

    object: Literal["list"] = "list"
    data: list[ServedModelOut]


class ErrorBody(BaseModel):
    """An error in OpenAI's format, with a stable ``code``.

    Errors of a model server are passed on unchanged.
    """

    model_config = ConfigDict(extra="allow")

    message: str
    type: str
    param: str | None = None
    code: str | int | None = None


class ErrorDocument(BaseModel):
    """An error response in OpenAI's format."""

    error: ErrorBody
