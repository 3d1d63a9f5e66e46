"""A webhook receiver that verifies signatures as a user's own program would."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook


class Receiver(ThreadingHTTPServer):
    """An HTTP server that collects webhook calls.

    ``status``, ``wait`` and ``drip`` determine how the server responds.
    """

    daemon_threads = True

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], str]] = []
        self.status = 200
        self.wait = 0.0
        self.headers: dict[str, str] = {}
        self.answer = b"thanks"
        self.drip = 0.0
        self.active = self.most = 0
        self.lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook?token=in-the-url"

    def events(self, secret: str) -> list[Any]:
        """Return the bodies of all calls; raise if a signature does not match ``secret``."""
        return [Webhook(secret).verify(body, headers) for headers, body in list(self.got)]

    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in list(self.got)]

    def until(self, ready: Callable[[], bool], seconds: float = 10) -> None:
        deadline = time.monotonic() + seconds
        while not ready():
            assert time.monotonic() < deadline, self.got
            time.sleep(0.01)


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        server = self.server
        with server.lock:
            server.active += 1
            server.most = max(server.most, server.active)
            server.got.append(({k.lower(): v for k, v in self.headers.items()}, body))
        time.sleep(server.wait)
        with server.lock:
            server.active -= 1
        self.send_response(server.status)
        for name, value in server.headers.items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # the client may close early
            if server.drip:
                for byte in server.answer:
                    self.wfile.write(bytes([byte]))
                    time.sleep(server.drip)
            else:
                self.wfile.write(server.answer)

    def log_message(self, *args: Any) -> None:
        pass


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Run a receiver on this machine and yield it."""
    server = Receiver()
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
