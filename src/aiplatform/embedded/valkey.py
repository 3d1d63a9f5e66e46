"""The private Valkey of a home.

It listens only on a unix socket, and keeps its queue on disk so that it survives a SIGKILL.
"""

import contextlib
import re
import signal
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from aiplatform.embedded.errors import EmbeddedError, disk_full, from_os_error
from aiplatform.embedded.home import Home
from aiplatform.embedded.service import Service

DAMAGED = re.compile(
    "Bad file format reading the append only file|Error reading the append only file"
    "|AOF manifest|Unable to obtain the AOF file|Internal error in RDB|Short read or OOM"
)
"""Pattern of Valkey's messages about missing or damaged files.

A damaged end of a file is not an error: Valkey repairs it by itself.
"""


@dataclass(frozen=True)
class Valkey:
    """The Valkey (or Redis) server of one home."""

    home: Home
    binary: Path
    sockets: Path

    @property
    def socket(self) -> Path:
        """The path of the unix socket, in a directory that only this process's user can enter."""
        return self.sockets / "valkey" / "valkey.sock"

    @property
    def url(self) -> str:
        """The broker URL, in the form that Celery expects."""
        return f"redis+socket://{quote(str(self.socket))}?virtual_host=0"

    def prepare(self) -> None:
        """Create the socket's directory.

        Raises:
            HomeUnusableError: If it can't be created.
        """
        try:
            self.socket.parent.mkdir(exist_ok=True, mode=0o700)
            self.socket.parent.chmod(0o700)
        except OSError as error:
            raise from_os_error(error, self.socket.parent) from error

    def service(self, env: Mapping[str, str]) -> Service:
        """Return the server as a service to supervise, with ``env`` as its environment."""
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.home.valkey),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            # Messages are wake-ups of a few hundred bytes. Only a faulty producer needs more.
            "maxmemory": "512mb",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
            "logfile": "",
        }
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        return Service(
            name="valkey",
            command=(str(self.binary), *arguments),
            cwd=self.home.valkey,
            env=env,
            stop_steps=((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0)),
            before_start=self._remove_socket,
            is_ready=self.is_ready,
            diagnose=self._diagnose,
        )

    def is_ready(self) -> bool:
        """Return True if the server responds, which it does not do while it loads its files."""
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(1)
                connection.connect(str(self.socket))
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False

    def _remove_socket(self) -> None:
        self.socket.unlink(missing_ok=True)

    def _diagnose(self, log: str) -> EmbeddedError | None:
        if "No space left on device" in log:
            return disk_full(self.home.root)
        if DAMAGED.search(log) and "Permission denied" not in log:
            # Messages are only wake-ups, and the reaper resends lost ones from the rows in
            # PostgreSQL. An empty queue therefore only causes a delay, whereas without a broker the
            # platform would not start.
            damaged = self.home.valkey / "appendonlydir"
            with contextlib.suppress(OSError):
                damaged.rename(damaged.with_name(f"appendonlydir.damaged-{time.time_ns()}"))
        return None
