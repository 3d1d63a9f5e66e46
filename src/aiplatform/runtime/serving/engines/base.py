"""What a request for tokens is, and what an engine does with it."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

FinishReason = Literal["stop", "length", "cancelled", "error"]


@dataclass(frozen=True, slots=True)
class Piece:
    """Some text of an answer, and with the last piece why it ended. ``tokens`` counts so far."""

    text: str
    tokens: int
    finish_reason: FinishReason | None = None


@dataclass(slots=True, eq=False)
class Generation:
    """One answer in the making.

    ``deliver`` is called from the engine's thread with every piece. ``cancelled`` may be set from
    any thread when nobody waits for the answer any more. ``adapted`` asks for the tuned model
    rather than its base.
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
    """Something that answers, in this process or beside it."""

    def failure(self) -> str | None:
        """Why it answers no more, in words; None while it does."""
        ...

    def close(self) -> None:
        """Stop; what is still running ends as cancelled."""
        ...


class Engine(Server, Protocol):
    """Computes answers. One thread of its own; everything here may be called from any thread."""

    context_length: int

    def encode(self, messages: list[dict[str, object]]) -> list[int]:
        """The prompt's tokens.

        Raises:
            TemplateRefusal: when the model's chat template does not accept the messages.
        """
        ...

    def submit(self, generation: Generation) -> None:
        """Queue an answer; it joins the others between two tokens."""
        ...
