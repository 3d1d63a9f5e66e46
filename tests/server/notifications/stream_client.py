"""Clients of the notification stream, and helpers that send notifications to users."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
from sqlalchemy.orm import Session

from aiplatform.protocol.notifications import NotificationType as N
from aiplatform.server.core.database import commit
from aiplatform.server.identity.models import User
from aiplatform.server.notifications.service import announce


class StreamClient:
    """A client that reads the notification stream in a thread."""

    def __init__(self, url: str, token: str, last: str | None = None, language: str = "en") -> None:
        self.events: list[tuple[str, Any, str | None]] = []
        self.ended = threading.Event()
        headers = {"Authorization": f"Bearer {token}", "Accept-Language": language}
        if last is not None:
            headers["Last-Event-ID"] = last
        self._client = httpx.Client(timeout=30)
        self._socket: Any = None
        self._stop = False
        self._thread = threading.Thread(target=self._read, args=(url, headers), daemon=True)
        self._thread.start()

    def _read(self, url: str, headers: dict[str, str]) -> None:
        fields: dict[str, str] = {}
        try:
            with self._client.stream(
                "GET", f"{url}/api/v1/notifications/stream", headers=headers
            ) as answer:
                if answer.status_code != 200:
                    self.events.append(("refused", answer.read().decode(), None))
                    return
                self._socket = answer.extensions["network_stream"].get_extra_info("socket")
                for line in answer.iter_lines():
                    if self._stop:
                        return
                    if not line and "data" in fields:
                        self.events.append(
                            (fields["event"], json.loads(fields["data"]), fields.get("id"))
                        )
                        fields = {}
                    elif ": " in line and not line.startswith(":"):
                        key, _, value = line.partition(": ")
                        fields[key] = value
        except httpx.TransportError:
            pass
        finally:
            self.ended.set()

    def names(self) -> list[str]:
        return [
            data["data"]["name"] for kind, data, _ in list(self.events) if kind == "notification"
        ]

    def last(self) -> str:
        return next(id_ for _, _, id_ in reversed(self.events) if id_ is not None)

    def until(self, ready: Callable[["StreamClient"], bool], seconds: float = 10) -> None:
        deadline = time.monotonic() + seconds
        while not ready(self):
            assert time.monotonic() < deadline, self.events
            time.sleep(0.005)

    def kinds(self) -> list[str]:
        return [kind for kind, _, _ in list(self.events)]

    def close(self) -> None:
        self._stop = True
        with contextlib.suppress(OSError):
            # Closing alone does not end a read in another thread.
            self._socket.shutdown(socket.SHUT_RDWR)


def call(url: str, token: str, method: str, path: str) -> int:
    """Send a request to the server that runs the streams, and return the status code.

    No other server would do, because the hub of the streams runs in this server's event loop.
    """
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.request(method, f"{url}/api/v1/{path}", headers=headers).status_code


def tell(session: Session, user: User, *names: str) -> None:
    for name in names:
        announce(session, N.TASK_COMPLETED, to=[user.id], name=name, task_type="training")
        commit(session)
