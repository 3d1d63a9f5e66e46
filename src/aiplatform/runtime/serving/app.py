"""The HTTP server for a model, with OpenAI's routes, which only the platform's API calls."""

import asyncio
import contextlib
import hmac
import json
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import unquote

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from aiplatform.protocol.validation_errors import error_text, place_of
from aiplatform.runtime.chat import TemplateRefusal
from aiplatform.runtime.serving.engines.base import Engine, Generation, Piece
from aiplatform.runtime.serving.schemas import ChatRequest

MODEL, BASE = "model", "base"

MAX_REQUESTS = 512
"""Largest number of simultaneous requests.

Further requests are rejected immediately instead of waiting for minutes.
"""


def public_name(request: Request) -> str | None:
    """Return the model name that the client used, from a percent-encoded header, or None."""
    name = request.headers.get("x-model-name")
    return None if name is None else unquote(name)


class Refusal(Exception):
    """An error that the client receives in the format of OpenAI's API."""

    def __init__(
        self, status: int, message: str, *, code: str | None = None, param: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param

    def response(self) -> JSONResponse:
        """Return this error as an HTTP response."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        error = {"message": str(self), "type": kind, "param": self.param, "code": self.code}
        return JSONResponse({"error": error}, status_code=self.status)


class ChatServer:
    """The HTTP routes of a model server.

    ``names`` are the accepted model names: the served model and, if it is tuned, its base.
    """

    def __init__(self, engine: Engine, token: str, names: list[str]) -> None:
        self.engine = engine
        self.token = token
        self.names = names
        self.started = int(time.time())
        self.running: set[Generation] = set()

    def app(self) -> Starlette:
        """Return the ASGI application."""
        return Starlette(
            routes=[
                Route("/health", self.health),
                Route("/v1/models", self.models),
                Route("/v1/chat/completions", self.chat, methods=["POST"]),
            ]
        )

    async def health(self, request: Request) -> Response:
        """Return the number of answers currently being generated."""
        return self._refused(request) or JSONResponse({"running": len(self.running)})

    async def models(self, request: Request) -> Response:
        """Return the list of models: the served model and, if it is tuned, its base."""
        data = [
            {"id": name, "object": "model", "created": self.started, "owned_by": "aiplatform"}
            for name in self.names
        ]
        return self._refused(request) or JSONResponse({"object": "list", "data": data})

    async def chat(self, request: Request) -> Response:
        """Answer a chat request, in one response or as server-sent events."""
        refused = self._refused(request)
        if refused is not None:
            return refused
        try:
            wanted = await self._read(request)
            answer = Answer(self, wanted, public_name(request) or wanted.model)
            await answer.start()
        except Refusal as refusal:
            return refusal.response()
        if wanted.stream:
            return StreamingResponse(
                answer.events(),
                media_type="text/event-stream",
                headers={"Cache-Control": "no-cache"},
            )
        return await answer.complete(request)

    def _refused(self, request: Request) -> Response | None:
        given = request.headers.get("authorization", "")
        if hmac.compare_digest(given.encode(), f"Bearer {self.token}".encode()):
            return None
        return Refusal(401, "The token is not this server's.", code="invalid_api_key").response()

    async def _read(self, request: Request) -> ChatRequest:
        if len(self.running) >= MAX_REQUESTS:
            raise Refusal(503, "Too many requests wait for answers.", code="overloaded")
        try:
            wanted = ChatRequest.model_validate_json(await request.body())
        except ValidationError as error:
            first = error.errors()[0]
            raise Refusal(400, error_text(first), param=place_of(first) or None) from error
        self.require_name(wanted.model)
        return wanted

    def require_name(self, name: str) -> None:
        """Raise an error unless the server has a model with this name.

        Raises:
            Refusal: The server has no model of this name.
        """
        if name not in self.names:
            raise Refusal(
                404,
                f"There is no model {name!r} here.",
                code="model_not_found",
                param="model",
            )


class Answer:
    """The answer to one chat request, from its prompt to its last token."""

    def __init__(self, server: ChatServer, wanted: ChatRequest, name: str) -> None:
        self.server = server
        self.wanted = wanted
        self.name = name
        self.id = f"chatcmpl-{uuid.uuid4().hex}"
        self.created = int(time.time())
        self.pieces: asyncio.Queue[Piece] = asyncio.Queue()
        self.generation: Generation | None = None
        self.prompt_tokens = 0
        self.tokens = 0

    async def start(self) -> None:
        """Encode the prompt and submit it to the engine.

        Raises:
            Refusal: The prompt is too long, or the template does not accept the messages.
        """
        engine, wanted = self.server.engine, self.wanted
        messages = [message.as_template_input() for message in wanted.messages]
        try:
            prompt = await asyncio.to_thread(engine.encode, messages)
        except TemplateRefusal as error:
            message = f"The model's chat template does not accept these messages: {error}"
            raise Refusal(400, message, param="messages") from error
        self.prompt_tokens = len(prompt)
        room = engine.context_length - len(prompt)
        if not prompt or room < 1:
            raise Refusal(
                400,
                f"The prompt has {len(prompt)} tokens; with an answer, "
                f"at most {engine.context_length} fit.",
                code="context_length_exceeded",
                param="messages",
            )
        loop = asyncio.get_running_loop()

        def deliver(piece: Piece) -> None:
            # The loop is closed if the server stopped before the engine.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self.pieces.put_nowait, piece)

        self.generation = Generation(
            prompt=prompt,
            adapted=wanted.model == MODEL,
            max_tokens=min(wanted.limit or room, room),
            temperature=1.0 if wanted.temperature is None else wanted.temperature,
            top_p=1.0 if wanted.top_p is None else wanted.top_p,
            seed=wanted.seed,
            stop=wanted.stops,
            deliver=deliver,
        )
        self.server.running.add(self.generation)
        engine.submit(self.generation)

    async def events(self) -> AsyncIterator[bytes]:
        """Yield the answer as server-sent events; stop the generation if the client disconnects."""
        try:
            yield self._event(self._chunk({"role": "assistant", "content": ""}))
            while True:
                piece = await self.pieces.get()
                self.tokens = piece.tokens
                if piece.text:
                    yield self._event(self._chunk({"content": piece.text}))
                if piece.finish_reason in {"error", "cancelled"}:
                    error = {
                        "message": self._error_text(piece),
                        "type": "server_error",
                        "code": None,
                    }
                    yield self._event({"error": error})
                    return
                if piece.finish_reason is not None:
                    yield self._event(self._chunk({}, piece.finish_reason))
                    break
            options = self.wanted.stream_options
            if options is not None and options.include_usage:
                yield self._event({**self._envelope("chat.completion.chunk"), "choices": [],
                                   "usage": self._usage()})  # fmt: skip
            yield b"data: [DONE]\n\n"
        finally:
            self._finish()

    async def complete(self, request: Request) -> Response:
        """Return the whole answer; stop the generation if the client disconnects."""
        watcher = asyncio.create_task(self._cancel_on_disconnect(request))
        texts: list[str] = []
        try:
            while True:
                piece = await self.pieces.get()
                self.tokens = piece.tokens
                texts.append(piece.text)
                if piece.finish_reason is not None:
                    break
        finally:
            watcher.cancel()
            self._finish()
        if piece.finish_reason in {"error", "cancelled"}:
            return Refusal(503, self._error_text(piece)).response()
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": "".join(texts)},
            "finish_reason": piece.finish_reason,
        }
        body = {**self._envelope("chat.completion"), "choices": [choice], "usage": self._usage()}
        return JSONResponse(body)

    async def _cancel_on_disconnect(self, request: Request) -> None:
        # The body has been read, so the next message means that the client has disconnected.
        while (await request.receive())["type"] != "http.disconnect":
            pass
        if self.generation is not None:
            self.generation.cancelled.set()

    def _finish(self) -> None:
        if self.generation is not None:
            self.generation.cancelled.set()
            self.server.running.discard(self.generation)

    @staticmethod
    def _error_text(piece: Piece) -> str:
        if piece.finish_reason == "cancelled":
            return "The model server is stopping."
        return "The model failed while it answered; the task's log has the cause."

    def _envelope(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.name}

    def _chunk(self, delta: dict[str, str], reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return {**self._envelope("chat.completion.chunk"), "choices": [choice]}

    def _usage(self) -> dict[str, int]:
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.tokens,
            "total_tokens": self.prompt_tokens + self.tokens,
        }

    @staticmethod
    def _event(data: dict[str, Any]) -> bytes:
        return (
            b"data: "
            + json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()
            + b"\n\n"
        )
