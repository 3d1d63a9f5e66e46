"""The sandbox of a script: its own processes, file system and shared memory, as an own user.

The sandbox is a tree of processes below one first process, see :mod:`init`. This module starts it
and stands for its commands as :class:`subprocess.Popen` would.
"""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from aiplatform.runtime.channel import JobError

INIT = Path(__file__).with_name("init.py")
START_SECONDS = 60.0
"""What the sandbox may take to stand, on a machine that is busy."""


class Refused(JobError):
    """The system does not allow a sandbox; the text says what it refused."""


class Command(Protocol):
    """A command that was started, in a sandbox or not."""

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""

    def poll(self) -> int | None:
        """Return the exit code; None while it runs."""

    def wait(self) -> int:
        """Wait for its end and return the exit code."""


@dataclass(frozen=True, slots=True)
class Start:
    """A command to be started: what it is, and the descriptors that it gets."""

    command: list[str]
    environment: dict[str, str]
    report: int
    stdout: int | None = None
    stderr: int | None = None


class Boxed:
    """A command in a sandbox."""

    def __init__(self, sandbox: "Sandbox") -> None:
        self._sandbox = sandbox
        self.returncode: int | None = None
        self.error: OSError | None = None

    def poll(self) -> int | None:
        """Return the exit code; None while it runs."""
        self._sandbox.listen(0)
        return self.returncode

    def wait(self) -> int:
        """Wait for its end and return the exit code."""
        while self.poll() is None:
            self._sandbox.listen(1.0)
        assert self.returncode is not None
        return self.returncode


class Sandbox:
    """The processes of one script. Closing it ends all of them.

    ``on_outside`` is called with each of ``entrances`` by which a command could not join its group.
    """

    def __init__(
        self,
        root: Path,
        uid: int,
        directory: Path,
        *,
        limits: Sequence[tuple[int, int]],
        entrances: Sequence[str] = (),
        on_outside: Callable[[str], None] = lambda _: None,
        kept: Sequence[Path] = (),
        shared_memory_mb: int = 64,
    ) -> None:
        self._plan: dict[str, Any] = {
            "place": str(root),
            "uid": uid,
            "directory": str(directory),
            "limits": list(limits),
            "entrances": list(entrances),
            "kept": [str(path) for path in kept],
            "binds": [
                [str(root / "tmp"), "/tmp"],  # noqa: S108
                [str(root / "var-tmp"), "/var/tmp"],  # noqa: S108
                [str(root / "var-tmp"), "/run/lock"],
            ],
            "shared_memory_mb": shared_memory_mb,
        }
        self._on_outside = on_outside
        self.facts: dict[str, bool] = {}
        """What this kernel gives beyond the namespaces."""
        self.commands: list[Boxed] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._rest = b""

    def start(self, starts: Sequence[Start]) -> list[Boxed]:
        """Make the sandbox and start the commands in it.

        Raises:
            Refused: when the system does not allow it.
        """
        self._channel, theirs = socket.socketpair()
        passed = {theirs.fileno()}
        for start in starts:
            passed |= {start.report, *filter(None, (start.stdout, start.stderr))}
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(INIT), str(theirs.fileno())],
                env={"PATH": "/usr/bin:/bin"},
                cwd="/",
                stdin=subprocess.DEVNULL,
                pass_fds=tuple(passed),
            )
        commands = [
            {
                "command": start.command,
                "environment": start.environment,
                "report": start.report,
                "stdout": start.stdout,
                "stderr": start.stderr,
            }
            for start in starts
        ]
        self.commands = [Boxed(self) for _ in starts]
        try:
            self._channel.sendall(json.dumps({**self._plan, "commands": commands}).encode() + b"\n")
            self._wait_until_ready(self._channel)
        except BaseException:
            self.close()
            raise
        return self.commands

    def _wait_until_ready(self, channel: socket.socket) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self.facts:
            if channel.fileno() < 0 or time.monotonic() > deadline:
                raise Refused("the sandbox did not start")
            self.listen(1.0)

    def stop(self) -> None:
        """Ask all commands to end: SIGTERM to each one's process group."""
        if self._channel is not None and self._channel.fileno() >= 0:
            try:
                self._channel.sendall(b"s")
            except OSError:
                return

    def listen(self, seconds: float) -> None:
        """Take what the first process says, for at most ``seconds``.

        Raises:
            Refused: when the system did not allow the sandbox.
        """
        channel = self._channel
        if channel is None or channel.fileno() < 0:
            return
        readable, _, _ = select.select([channel], [], [], seconds)
        if not readable:
            return
        try:
            data = channel.recv(1 << 16)
        except OSError:
            data = b""
        if not data:
            self._ended()
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._hear(json.loads(line))

    def close(self) -> None:
        """End everything in it, without waiting."""
        if self._channel is not None:
            self._channel.close()
        self._ended()

    @property
    def gone(self) -> bool:
        """Whether the kernel has ended all of its processes."""
        return self._process is None or self._process.poll() is not None

    def _hear(self, message: dict[str, Any]) -> None:
        match message:
            case {"ready": facts}:
                self.facts = {"namespaces": True, **facts}
            case {"refused": reason}:
                raise Refused(str(reason))
            case {"outside": entrance}:
                self._on_outside(str(entrance))
            case {"place": place, "code": code}:
                if self.commands[place].returncode is None:
                    self.commands[place].returncode = code
            case {"place": place, "error": text, "errno": number}:
                self.commands[place].error = OSError(number, text)

    def _ended(self) -> None:
        """The first process is gone, and with it whatever ran."""
        if self._channel is not None:
            self._channel.close()
        for command in self.commands:
            if command.returncode is None:
                command.returncode = -signal.SIGKILL


def closed_to_others(path: Path) -> Path | None:
    """Return the first directory on the way to ``path`` that not every user may enter.

    Links are followed as the system does, so that of an interpreter counts where it really is.
    """
    for found in (Path(os.path.abspath(path)), path.resolve()):  # noqa: PTH100  (keeps links)
        for parent in [*reversed(found.parents), found]:
            try:
                mode = parent.stat().st_mode
            except OSError:
                continue
            if not mode & 0o001:
                return parent
    return None
