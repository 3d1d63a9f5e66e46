"""A parser for server-sent events, as defined by the HTML standard."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """A server-sent event.

    ``id`` is the last id that the stream has sent, perhaps with an earlier event.
    """

    event: str
    data: str
    id: str | None


def lines(chunks: Iterable[bytes]) -> Iterator[str]:
    r"""Yield the lines of a stream, which end in ``\n``, ``\r\n`` or ``\r``.

    Chunks may be cut anywhere. ``str.splitlines`` would also split at U+2028 and U+0085, which JSON
    texts may contain.
    """
    rest = b""
    for chunk in chunks:
        rest += chunk
        # A carriage return at the end may be the first half of ``\r\n``.
        held = b"\r" if rest.endswith(b"\r") else b""
        complete = rest[: len(rest) - len(held)].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *whole, rest = complete.split(b"\n")
        rest += held
        for line in whole:
            yield line.decode("utf-8", "replace")


def events(chunks: Iterable[bytes]) -> Iterator[ServerEvent | None]:
    """Yield the events of a stream, and ``None`` for each comment.

    Servers send comments as heartbeats. An incomplete event at the end of the stream is dropped, as
    the standard requires.
    """
    kind = ""
    data: list[str] = []
    last_id: str | None = None
    for line in lines(chunks):
        if not line:
            if data:
                yield ServerEvent(kind or "message", "\n".join(data), last_id)
            kind = ""
            data = []
            continue
        if line.startswith(":"):
            yield None
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match field:
            case "event":
                kind = value
            case "data":
                data.append(value)
            case "id" if "\x00" not in value:
                last_id = value
