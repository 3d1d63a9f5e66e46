"""A network that can be interrupted: a small TCP proxy between one worker and the database."""

import contextlib
import socket
import threading
from pathlib import Path

CHUNK = 65536


class Network:
    """A proxy that forwards connections from a port to a Unix socket.

    ``cut`` resets open connections and refuses new ones. ``stall`` silently holds back all data,
    like a network that drops packets. ``heal`` ends both and delivers the data held back.
    """

    def __init__(self, upstream: Path) -> None:
        self.upstream = upstream
        self._passes = threading.Event()
        self._passes.set()
        self._connected = True
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Reset all connections and refuse new ones."""
        with self._lock:
            self._connected = False
            victims, self._open = self._open, set()
        for connection in victims:
            _end(connection)

    def stall(self) -> None:
        """Hold back all data."""
        self._passes.clear()

    def heal(self) -> None:
        """Forward data again."""
        with self._lock:
            self._connected = True
        self._passes.set()

    def close(self) -> None:
        """Stop the proxy."""
        self._listener.close()
        self.cut()
        self._passes.set()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        self._passes.wait()
        server = socket.socket(socket.AF_UNIX)
        with self._lock:
            connected = self._connected
            if connected:
                self._open |= {client, server}
        try:
            if not connected:
                raise ConnectionResetError
            server.connect(str(self.upstream))
        except OSError:
            self._forget(client, server)
            return
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for source, target in ((client, server), (server, client)):
            threading.Thread(target=self._pass_on, args=(source, target), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK):
                self._passes.wait()
                target.sendall(data)
        self._forget(source, target)

    def _forget(self, *connections: socket.socket) -> None:
        with self._lock:
            self._open -= set(connections)
        for connection in connections:
            _end(connection)


def _end(connection: socket.socket) -> None:
    # Closing alone doesn't wake a thread that is reading from the connection; shutting down does.
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
