"""The interface of engines: their methods, requests to them, and the pieces of their answers."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

FinishReason = Literal["stop", "length", "cancelled", "error"]


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of an answer's text.

    ``tokens`` is the number of tokens from the start of the answer to the end of this part. Only
    the last part has a ``finish_reason``.
    """

    text: str
    tokens: int
    finish_reason: FinishReason | None = None


@dataclass(slots=True, eq=False)
class Generation:
    """A request for one answer.

    The engine's thread calls ``deliver`` with each piece. Any thread may set ``cancelled`` if the
    answer is no longer needed. ``adapted`` is False if the base of a tuned model should answer.
    """

    prompt: list[int]
    adapted: bool
    max_tokens: int
    temperature: float
    top_p: float
    seed: int | None
    stop: list[str]
    deliver: Callable[[Piece], None]
    cancelled: threading.Event = field(default_factory=threading.Event)


class Server(Protocol):
    """A model server, in this process or in a child process."""

    def failure(self) -> str | None:
        """Return why the server can no longer answer, or None while it can."""
        ...

    def close(self) -> None:
        """Stop the server; answers being generated end as cancelled."""
        ...


class Engine(Server, Protocol):
    """A generator of answers with its own thread. Any thread may call its methods."""

    context_length: int

    def encode(self, messages: list[dict[str, object]]) -> list[int]:
        """Return the token ids of the prompt made from ``messages``.

        Raises:
            TemplateRefusal: The model's chat template does not accept the messages.
        """
        ...

    def submit(self, generation: Generation) -> None:
        """Queue a request; the engine adds it to its batch between two tokens."""
        ...
