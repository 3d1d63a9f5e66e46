"""OpenAI's wire shapes, as far as this façade looks at them. All else passes through."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class ChatCompletionRequest(BaseModel):
    """What is looked at here; further fields go to the model server as they are."""

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
    """An answer that is no stream, as the model server gives it."""

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


class ModelOut(BaseModel):
    """A deployment that answers now. ``owned_by`` is its project."""

    id: str
    object: Literal["model"] = "model"
    created: int = Field(description="seconds since the epoch")
    owned_by: str


class ModelList(BaseModel):
    """What may be asked."""

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
    data: list[ModelOut]


class ErrorBody(BaseModel):
    """An error in OpenAI's form, with a stable ``code``.

    Errors of a model server are passed on unchanged.
    """

    model_config = ConfigDict(extra="allow")

    message: str
    type: str
    param: str | None = None
    code: str | int | None = None


class ErrorDocument(BaseModel):
    """An error in OpenAI's shape."""

    error: ErrorBody
