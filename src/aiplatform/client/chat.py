"""Chat with a deployment, through the most commonly used part of OpenAI's chat API."""

import json
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from aiplatform.client.errors import ApiError, UnexpectedAnswer, unreachable
from aiplatform.client.event_streams import events
from aiplatform.client.transport import Transport
from aiplatform.language import tr

CHAT = "/v1/chat/completions"
_FIRST_TOKEN_SECONDS = 300.0
ANSWER_SECONDS = 1800.0
"""Seconds to wait for a complete answer, which the server sends only after its last token."""

Messages = str | Sequence[Mapping[str, Any]]
"""A question as text, or a conversation as a list of ``{"role": …, "content": …}``."""


@dataclass(frozen=True)
class ChatReply:
    """The complete answer of a model; ``raw`` is the JSON sent by the server."""

    text: str
    finish_reason: str | None = None
    usage: dict[str, int] = field(default_factory=dict)
    raw: dict[str, Any] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        """Return the text."""
        return self.text


class ChatStream:
    """An answer that is being generated; iterating over it yields pieces of text.

    After the last piece, ``text``, ``finish_reason`` and ``usage`` are complete. Leaving the loop
    early ends the generation.
    """

    def __init__(self, http: Transport, body: Mapping[str, Any]) -> None:
        self._pieces = self._read(http, body)
        self.text = ""
        self.finish_reason: str | None = None
        self.usage: dict[str, int] = {}

    def __iter__(self) -> Iterator[str]:
        return self._pieces

    def close(self) -> None:
        """End the generation."""
        self._pieces.close()

    def _read(self, http: Transport, body: Mapping[str, Any]) -> Generator[str]:
        headers = {"Accept": "text/event-stream"}
        try:
            with http.stream(
                "POST", CHAT, json=body, headers=headers, read_timeout=_FIRST_TOKEN_SECONDS
            ) as response:
                for event in events(response.iter_raw()):
                    if event is None:
                        continue
                    if event.data == "[DONE]":
                        return
                    piece = self._take(event.data)
                    if piece:
                        self.text += piece
                        yield piece
        except httpx.TransportError as error:
            raise unreachable(http.url, error) from error
        if self.finish_reason is None:
            raise ApiError(tr("the answer was interrupted"), code="client.stream_broken")

    def _take(self, data: str) -> str:
        try:
            chunk = json.loads(data)
        except ValueError as error:
            raise UnexpectedAnswer(
                tr("the stream contains {data!r}, not JSON", data=data[:80])
            ) from error
        if "error" in chunk:
            fault = chunk["error"]
            text = fault.get("message") if isinstance(fault, dict) else str(fault)
            raise ApiError(str(text), code="client.stream_failed")
        if chunk.get("usage"):
            self.usage = chunk["usage"]
        choices = chunk.get("choices") or []
        if not choices:
            return ""
        self.finish_reason = choices[0].get("finish_reason") or self.finish_reason
        return str((choices[0].get("delta") or {}).get("content") or "")


def chat_body(
    model: str, messages: Messages, *, stream: bool, parameters: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the body of a chat request in the format of OpenAI's API."""
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    body = {"model": model, "messages": list(messages), "stream": stream, **parameters}
    if stream:
        body.setdefault("stream_options", {"include_usage": True})
    return body


def reply_from(answer: Any) -> ChatReply:
    """Convert the JSON of an OpenAI ``chat.completion`` to a reply."""
    try:
        choice = answer["choices"][0]
        return ChatReply(
            text=choice["message"]["content"] or "",
            finish_reason=choice.get("finish_reason"),
            usage=answer.get("usage") or {},
            raw=answer,
        )
    except (KeyError, IndexError, TypeError) as error:
        raise UnexpectedAnswer(tr("the server's answer is not a chat completion")) from error
