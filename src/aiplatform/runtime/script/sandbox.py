"""The sandbox of a script: its own user, processes, file system and shared memory.

All processes in a sandbox descend from its first process, which runs :mod:`init`. A command in a
sandbox can be polled and waited for like a :class:`subprocess.Popen`.
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
"""Seconds that starting a sandbox may take on a busy machine."""


class SandboxRefused(JobError):
    """The system does not allow a sandbox; the text says what is not allowed."""


class Command(Protocol):
    """A started command, in a sandbox or not."""

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for a signal; None while the command is running."""

    def poll(self) -> int | None:
        """Return the exit code, or None while the command is running."""

    def wait(self) -> int:
        """Wait until the command exits and return its exit code."""


@dataclass(frozen=True, slots=True)
class Start:
    """A command to start, with its environment and file descriptors."""

    command: list[str]
    environment: dict[str, str]
    report: int
    stdout: int | None = None
    stderr: int | None = None


class SandboxedCommand:
    """A command in a sandbox; ``error`` is set if it could not be started."""

    def __init__(self, sandbox: "Sandbox") -> None:
        self._sandbox = sandbox
        self.returncode: int | None = None
        self.error: OSError | None = None

    def poll(self) -> int | None:
        """Return the exit code, or None while the command is running."""
        self._sandbox.listen(0)
        return self.returncode

    def wait(self) -> int:
        """Wait until the command exits and return its exit code."""
        while self.poll() is None:
            self._sandbox.listen(1.0)
        assert self.returncode is not None
        return self.returncode


class Sandbox:
    """The sandbox of one script. When it is closed, all of the script's processes are killed.

    Args:
        root: Directory that contains the script's directories; see :mod:`directories`.
        uid: User id of the commands.
        directory: Working directory of the commands.
        limits: Pairs of a ``resource.RLIMIT_*`` and a value, for each process.
        join_files: Files through which commands join their control groups.
        on_join_failure: Called with each of ``join_files`` through which a command could not join.
        visible_paths: Paths that stay visible even if the script's own directories would hide them.
        shared_memory_mb: MiB of shared memory.
    """

    def __init__(
        self,
        root: Path,
        uid: int,
        directory: Path,
        *,
        limits: Sequence[tuple[int, int]],
        join_files: Sequence[str] = (),
        on_join_failure: Callable[[str], None] = lambda _: None,
        visible_paths: Sequence[Path] = (),
        shared_memory_mb: int = 64,
    ) -> None:
        self._plan: dict[str, Any] = {
            "root": str(root),
            "uid": uid,
            "directory": str(directory),
            "limits": list(limits),
            "join_files": list(join_files),
            "visible_paths": [str(path) for path in visible_paths],
            "binds": [
                [str(root / "tmp"), "/tmp"],  # noqa: S108
                [str(root / "var-tmp"), "/var/tmp"],  # noqa: S108
                [str(root / "var-tmp"), "/run/lock"],
            ],
            "shared_memory_mb": shared_memory_mb,
        }
        self._on_join_failure = on_join_failure
        self.facts: dict[str, bool] = {}
        """Kernel features that the sandbox uses, by name; empty until it is ready."""
        self.commands: list[SandboxedCommand] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._rest = b""

    def start(self, starts: Sequence[Start]) -> list[SandboxedCommand]:
        """Create the sandbox and start the commands in it.

        Raises:
            SandboxRefused: The system does not allow the sandbox.
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
        self.commands = [SandboxedCommand(self) for _ in starts]
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
                raise SandboxRefused("the sandbox did not start")
            self.listen(1.0)

    def stop(self) -> None:
        """Ask all commands to stop, by sending SIGTERM to their process groups."""
        if self._channel is not None and self._channel.fileno() >= 0:
            try:
                self._channel.sendall(b"s")
            except OSError:
                return

    def listen(self, seconds: float) -> None:
        """Wait up to ``seconds`` for messages from the first process and handle them.

        Raises:
            SandboxRefused: The system did not allow the sandbox.
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
            self._mark_ended()
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._handle_message(json.loads(line))

    def close(self) -> None:
        """Kill all processes in the sandbox, without waiting for them."""
        if self._channel is not None:
            self._channel.close()
        self._mark_ended()

    @property
    def has_ended(self) -> bool:
        """True if all processes in the sandbox have exited."""
        return self._process is None or self._process.poll() is not None

    def _handle_message(self, message: dict[str, Any]) -> None:
        match message:
            case {"ready": facts}:
                self.facts = {"namespaces": True, **facts}
            case {"refused": reason}:
                raise SandboxRefused(str(reason))
            case {"not_joined": join_file}:
                self._on_join_failure(str(join_file))
            case {"command": index, "code": code}:
                if self.commands[index].returncode is None:
                    self.commands[index].returncode = code
            case {"command": index, "error": text, "errno": number}:
                self.commands[index].error = OSError(number, text)

    def _mark_ended(self) -> None:
        """Record that the first process has exited, and with it all commands."""
        if self._channel is not None:
            self._channel.close()
        for command in self.commands:
            if command.returncode is None:
                command.returncode = -signal.SIGKILL


def first_closed_directory(path: Path) -> Path | None:
    """Return the first part of ``path`` that not every user may enter, or None.

    If ``path`` contains links, the directories above their targets are checked as well.
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
