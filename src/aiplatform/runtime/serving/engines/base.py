"""The interface of engines, and their requests and answers."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

FinishReason = Literal["stop", "length", "cancelled", "error"]


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of an answer's text. ``tokens`` is the number of tokens up to here.

    The last piece has a ``finish_reason``.
    """

    text: str
    tokens: int
    finish_reason: FinishReason | None = None


@dataclass(slots=True, eq=False)
class Generation:
    """A request for one answer.

    The engine's thread calls ``deliver`` with each piece. Any thread may set ``cancelled`` if the
    answer is not needed any more. ``adapted`` is False for the base of a tuned model.
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
        """Return the reason why it answers no more; None while it does."""
        ...

    def close(self) -> None:
        """Stop it; running answers end as cancelled."""
        ...


class Engine(Server, Protocol):
    """A generator of answers with its own thread. All threads may call its methods."""

    context_length: int

    def encode(self, messages: list[dict[str, object]]) -> list[int]:
        """Return the tokens of the prompt.

        Raises:
            TemplateRefusal: If the model's chat template does not accept the messages.
        """
        ...

    def submit(self, generation: Generation) -> None:
        """Queue a request; it joins the batch between two tokens."""
        ...
