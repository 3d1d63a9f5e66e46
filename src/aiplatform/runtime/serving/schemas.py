"""The supported subset of OpenAI's chat completion request.

Unsupported parameters that would change the answer are refused, so that they are never silently
ignored. Parameters that would not change it (such as ``user`` and ``metadata``) are ignored.
"""

from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

UNSUPPORTED: dict[str, tuple[object, ...]] = {
    "audio": (),
    "frequency_penalty": (0,),
    "function_call": ("none", "auto"),
    "functions": ([],),
    "logit_bias": ({},),
    "logprobs": (False,),
    "presence_penalty": (0,),
    "response_format": ({"type": "text"},),
    "tool_choice": ("none", "auto"),
    "tools": ([],),
    "top_logprobs": (0,),
}
"""Unsupported parameters, each with the values that are accepted because they have no effect."""


class ChatMessage(BaseModel):
    """A message. Its content may consist of parts, all of which must be text."""

    model_config = ConfigDict(extra="ignore")

    role: Literal["system", "developer", "user", "assistant"]
    content: str

    @field_validator("content", mode="before")
    @classmethod
    def _join_parts(cls, value: Any) -> Any:
        if not isinstance(value, list):
            return value
        if any(not isinstance(part, dict) or part.get("type") != "text" for part in value):
            raise ValueError("only parts of type 'text' are supported")
        return "".join(str(part.get("text", "")) for part in value)

    def as_template_input(self) -> dict[str, object]:
        """Return the message for a chat template, with the developer role renamed to system."""
        role = "system" if self.role == "developer" else self.role
        return {"role": role, "content": self.content}


class StreamOptions(BaseModel):
    """Options for a streamed answer."""

    model_config = ConfigDict(extra="ignore")

    include_usage: bool = False


class ChatRequest(BaseModel):
    """The body of ``POST /v1/chat/completions``.

    ``model`` is "model", or "base" for the base of a tuned model.
    """

    model_config = ConfigDict(extra="ignore")

    model: str = "model"
    messages: list[ChatMessage] = Field(min_length=1)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    seed: int | None = None
    stop: str | list[str] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Literal[1] | None = None

    supported: ClassVar[frozenset[str]] = frozenset()
    """Names in :data:`UNSUPPORTED` that this engine supports nevertheless."""

    @model_validator(mode="before")
    @classmethod
    def _refuse_unsupported(cls, value: Any) -> Any:
        if isinstance(value, dict):
            for name, harmless in UNSUPPORTED.items():
                if name in cls.supported:
                    continue
                given = value.get(name)
                if given is not None and given not in harmless:
                    raise ValueError(f"{name} is not supported by this engine")
        return value

    @field_validator("stop")
    @classmethod
    def _few_stops(cls, value: str | list[str] | None) -> str | list[str] | None:
        if isinstance(value, list) and len(value) > 16:
            raise ValueError("at most 16 stop strings")
        return value

    @property
    def stops(self) -> list[str]:
        """The stop strings as a list."""
        return [self.stop] if isinstance(self.stop, str) else self.stop or []

    @property
    def limit(self) -> int | None:
        """The largest number of tokens to generate, from either of the two parameters."""
        return self.max_completion_tokens or self.max_tokens


class JsonSchema(BaseModel):
    """A JSON schema that an answer must satisfy."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True)

    name: str | None = None
    definition: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None


class ResponseFormat(BaseModel):
    """The form of an answer: any text, a JSON object, or JSON that satisfies a schema."""

    model_config = ConfigDict(extra="ignore")

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    @model_validator(mode="after")
    def _check_schema(self) -> "ResponseFormat":
        if self.type == "json_schema" and self.json_schema is None:
            raise ValueError("type json_schema needs the field json_schema with a schema")
        return self


class StructuredChatRequest(ChatRequest):
    """A chat request to an engine that supports structured answers and logprobs."""

    supported: ClassVar[frozenset[str]] = frozenset({"logprobs", "response_format", "top_logprobs"})

    response_format: ResponseFormat | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20)
