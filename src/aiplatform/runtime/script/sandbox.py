"""The sandbox of a script: a user, processes, a file system and shared memory of its own.

A sandbox is a tree of processes below a first process, see :mod:`init`. This module starts it. Its
commands can be used like a :class:`subprocess.Popen`.
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
"""Seconds that the start of a sandbox may take on a busy machine."""


class Refused(JobError):
    """The system does not allow a sandbox; the text says what it refuses."""


class Command(Protocol):
    """A started command, in a sandbox or not."""

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for a signal; None while the command runs."""

    def poll(self) -> int | None:
        """Return the exit code; None while the command runs."""

    def wait(self) -> int:
        """Wait until the command ends, and return the exit code."""


@dataclass(frozen=True, slots=True)
class Start:
    """A command to start, with its environment and file descriptors."""

    command: list[str]
    environment: dict[str, str]
    report: int
    stdout: int | None = None
    stderr: int | None = None


class Boxed:
    """A command in a sandbox; ``error`` is set if it could not be started."""

    def __init__(self, sandbox: "Sandbox") -> None:
        self._sandbox = sandbox
        self.returncode: int | None = None
        self.error: OSError | None = None

    def poll(self) -> int | None:
        """Return the exit code; None while the command runs."""
        self._sandbox.listen(0)
        return self.returncode

    def wait(self) -> int:
        """Wait until the command ends, and return the exit code."""
        while self.poll() is None:
            self._sandbox.listen(1.0)
        assert self.returncode is not None
        return self.returncode


class Sandbox:
    """The sandbox of one script, whose processes all end when it is closed.

    Args:
        root: Directory of the script, see :mod:`place`.
        uid: User of the commands.
        directory: Working directory of the commands.
        limits: Pairs of a ``resource.RLIMIT_*`` and a value, for each process.
        entrances: Files by which commands join their control groups.
        on_outside: Called with each entrance by which a command could not join.
        kept: Paths that stay visible even if the script's own directories would hide them.
        shared_memory_mb: MiB of shared memory.
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
        """Features of the kernel that the sandbox has, by name; empty until it is ready."""
        self.commands: list[Boxed] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._rest = b""

    def start(self, starts: Sequence[Start]) -> list[Boxed]:
        """Create the sandbox and start the commands in it.

        Raises:
            Refused: If the system does not allow it.
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
        """Ask all commands to end: send SIGTERM to the process group of each."""
        if self._channel is not None and self._channel.fileno() >= 0:
            try:
                self._channel.sendall(b"s")
            except OSError:
                return

    def listen(self, seconds: float) -> None:
        """Wait for messages of the first process, at most ``seconds``, and handle them.

        Raises:
            Refused: If the system did not allow the sandbox.
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
        """End all processes of the sandbox, without waiting for them."""
        if self._channel is not None:
            self._channel.close()
        self._ended()

    @property
    def gone(self) -> bool:
        """True if all processes of the sandbox have ended."""
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
        """Record that the first process has ended, and with it all commands."""
        if self._channel is not None:
            self._channel.close()
        for command in self.commands:
            if command.returncode is None:
                command.returncode = -signal.SIGKILL


def closed_to_others(path: Path) -> Path | None:
    """Return the first directory on the way to ``path`` that not all users may enter, or None.

    Links are followed: for a link to an interpreter, the directories of its target count as well.
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
