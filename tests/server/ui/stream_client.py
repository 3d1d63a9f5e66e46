"""A client that reads the web interface's event stream in a thread."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx

from aiplatform.server.ui.schemas import StreamEvent


class StreamClient:
    """An open event stream, its received events, and the id to continue from."""

    def __init__(self, url: str, headers: dict[str, str], **params: str) -> None:
        self.events: list[dict[str, Any]] = []
        self.last_id: str | None = None
        self.sends = 0
        self.ended = threading.Event()
        self.opened = threading.Event()
        self._client = httpx.Client(timeout=30)
        self._socket: Any = None
        self._thread = threading.Thread(target=self._read, args=(url, headers, params), daemon=True)
        self._thread.start()

    def _read(self, url: str, headers: dict[str, str], params: dict[str, str]) -> None:
        try:
            with self._client.stream(
                "GET", f"{url}/api/v1/stream", headers=headers, params=params
            ) as answer:
                assert answer.status_code == 200, answer.read()
                self._socket = answer.extensions["network_stream"].get_extra_info("socket")
                for line in answer.iter_lines():
                    self.opened.set()
                    if line.startswith("data: "):
                        # The page's types are generated from this schema.
                        StreamEvent.model_validate_json(line[6:])
                        self.events.append(json.loads(line[6:]))
                    elif line.startswith("id: "):
                        self.last_id = line[4:]
                        self.sends += 1
        except (httpx.TransportError, OSError):
            pass
        finally:
            self.ended.set()

    def of(self, event: str, topic: str | None = None) -> list[Any]:
        """Return the data of all events with this name and, if given, this topic."""
        return [
            one["data"]
            for one in list(self.events)
            if one["event"] == event and topic in {None, one["topic"]}
        ]

    def until(self, ready: Callable[["StreamClient"], Any], seconds: float = 15) -> None:
        """Wait until ``ready`` returns a true value; fail after ``seconds``."""
        deadline = time.monotonic() + seconds
        while not ready(self):
            assert time.monotonic() < deadline, self.events
            time.sleep(0.01)

    def close(self) -> None:
        """Close the connection."""
        with contextlib.suppress(OSError, AttributeError):
            # Closing alone does not end a read in another thread.
            self._socket.shutdown(socket.SHUT_RDWR)
        self.ended.wait(5)
