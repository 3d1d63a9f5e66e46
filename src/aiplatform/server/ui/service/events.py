"""Events of the browser's stream: their bytes, and the positions from which it continues."""

import re
from collections.abc import Mapping
from functools import lru_cache

from aiplatform.protocol.encoding import dumps

HEARTBEAT = b": still here\n\n"
FRAME = re.compile(rb"^event: (\w+)\n(?:id: ([^\n]*)\n)?data: ([^\n]*)\n\n", re.MULTILINE)


def render_event(topic: str | None, event: str, data: object, position: str | None = None) -> bytes:
    """Return a server-sent event. All events are of the default type and name their topic."""
    return _wrap(topic, event, dumps(data).encode(), position)


def _wrap(topic: str | None, event: str, data: bytes, position: str | None) -> bytes:
    head = dumps({"topic": topic, "event": event, "position": position}).encode()
    return b"data: " + head[:-1] + b',"data":' + data + b"}\n\n"


@lru_cache(maxsize=64)
def translate(topic: str, frames: bytes) -> tuple[bytes, str | None]:
    """Return the frames of a topic's own stream as events of this one, and their last position.

    The frames are the same bytes for all watchers of a task, so most calls are answered by the
    cache. Heartbeats are left out.
    """
    out = []
    last: str | None = None
    for event, position, data in FRAME.findall(frames):
        at = position.decode() or None
        last = at or last
        out.append(_wrap(topic, event.decode(), data, at))
    return b"".join(out), last


def render_positions(positions: Mapping[str, str]) -> bytes:
    """Return a block that sets the ``Last-Event-ID`` of the browser without being an event."""
    text = ",".join(f"{topic}@{position}" for topic, position in positions.items())
    return f"id: {text}\n\n".encode()


def read_positions(text: str | None) -> dict[str, str]:
    """Return the position of each topic in a ``Last-Event-ID``; malformed parts are left out."""
    pairs = (part.rpartition("@") for part in (text or "").split(","))
    return {topic: position for topic, _, position in pairs if topic and position}
