"""Events of the browser's stream as bytes, and the positions at which a stream continues."""

import re
from collections.abc import Mapping
from functools import lru_cache

from aiplatform.protocol.encoding import dumps

HEARTBEAT = b": still here\n\n"
FRAME = re.compile(rb"^event: (\w+)\n(?:id: ([^\n]*)\n)?data: ([^\n]*)\n\n", re.MULTILINE)


def render_event(topic: str | None, event: str, data: object, position: str | None = None) -> bytes:
    """Return a server-sent event as bytes.

    The event's data include its name, so that the data can be parsed without the other lines.
    """
    return _wrap(topic, event, dumps(data).encode(), position)


def _wrap(topic: str | None, event: str, data: bytes, position: str | None) -> bytes:
    head = dumps({"topic": topic, "event": event, "position": position}).encode()
    return b"event: " + event.encode() + b"\ndata: " + head[:-1] + b',"data":' + data + b"}\n\n"


@lru_cache(maxsize=64)
def translate(topic: str, frames: bytes) -> tuple[bytes, str | None]:
    """Convert frames of a topic's own stream to events of the browser's stream.

    Return the events and the position of the last one, or None if none has a position. The frames
    are the same bytes for all watchers of a task, so most calls are answered from the cache.
    Heartbeats are left out.
    """
    out = []
    last: str | None = None
    for event, position, data in FRAME.findall(frames):
        at = position.decode() or None
        last = at or last
        out.append(_wrap(topic, event.decode(), data, at))
    return b"".join(out), last


def add_positions(events: bytes, positions: Mapping[str, str]) -> bytes:
    """Return the events, with the positions of all topics as the ``id`` of the last event."""
    last = events.rfind(b"\n\nevent: ", 0, -2)
    start = 0 if last < 0 else last + 2
    text = ",".join(f"{topic}@{position}" for topic, position in positions.items())
    return events[:start] + f"id: {text}\n".encode() + events[start:]


def read_positions(text: str | None) -> dict[str, str]:
    """Return the position of each topic in a ``Last-Event-ID``; malformed parts are left out."""
    pairs = (part.rpartition("@") for part in (text or "").split(","))
    return {topic: position for topic, _, position in pairs if topic and position}
