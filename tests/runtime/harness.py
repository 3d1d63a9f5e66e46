"""A stand-in for the worker: it starts the runtime and exchanges messages with it."""

import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiplatform.protocol.messages import Cancel, Job, Message, Renew, encode

SOURCE = Path(__file__).parents[2] / "src"


class Runner:
    """A started runtime, whose processes are stopped at the end of the ``with`` block."""

    def __init__(self, arguments: list[str], environment: dict[str, str] | None = None) -> None:
        messages, messages_child = os.pipe()
        control_child, self.control = os.pipe()
        kept = {
            name: os.environ[name] for name in ("PATH", "OMP_NUM_THREADS") if name in os.environ
        }
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [
                *(sys.executable, *arguments),
                *("--messages-fd", str(messages_child), "--control-fd", str(control_child)),
            ],
            pass_fds=(messages_child, control_child),
            env={**kept, "PYTHONPATH": str(SOURCE), **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        os.close(messages_child)
        os.close(control_child)
        self.messages = os.fdopen(messages, "rb", buffering=0)
        self.received: list[dict[str, Any]] = []
        self.outputs = {"stdout": b"", "stderr": b""}
        self._partial = b""
        self._selector = selectors.DefaultSelector()
        self._selector.register(self.messages, selectors.EVENT_READ, "messages")
        for name in self.outputs:
            self._selector.register(getattr(self.process, name), selectors.EVENT_READ, name)
        self._renewed = 0.0

    @classmethod
    def of_job(cls, job: Job, directory: Path, **environment: str) -> "Runner":
        """Start the real runtime to run ``job``."""
        file = directory / f"job-{job.task}-{job.attempt}.json"
        file.write_bytes(encode(job))
        return cls(["-m", "aiplatform.runtime", "--job", str(file)], environment)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            sys.stderr.write(self.log)
        self.close_control()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for stream in (self.messages, self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()

    @property
    def log(self) -> str:
        return (self.outputs["stdout"] + self.outputs["stderr"]).decode(errors="replace")

    def send(self, message: Message) -> None:
        os.write(self.control, encode(message))

    def renew(self, seconds: float = 45) -> None:
        self.send(Renew(seconds=seconds))

    def cancel(self, grace_seconds: float = 30) -> None:
        self.send(Cancel(grace_seconds=grace_seconds))

    def close_control(self) -> None:
        """Close the control pipe, as if the worker had died."""
        if self.control >= 0:
            os.close(self.control)
            self.control = -1

    def wait_for(self, type_: str, timeout: float = 60, *, renew: bool = True) -> dict[str, Any]:
        """Wait for the next message of this type and return it; renew the lease while waiting."""
        seen = len([message for message in self.received if message["type"] == type_])
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            of_type = [message for message in self.received if message["type"] == type_]
            if len(of_type) > seen:
                return of_type[-1]
            if renew and self.control >= 0 and time.monotonic() - self._renewed > 5:
                self._renewed = time.monotonic()
                self.renew()
            if not self._pump(0.2) and self.process.poll() is not None:
                break
        raise AssertionError(f"no {type_} message; got {self.received[-5:]}\n{self.log[-4000:]}")

    def wait_until(self, condition: Callable[[], bool], timeout: float = 60) -> None:
        """Read messages and output until the condition holds."""
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"it never held; {self.received[-5:]}\n{self.log[-4000:]}")
            self._pump(0.2)

    def finish(self, timeout: float = 60, *, renew: bool = True) -> int:
        """Read messages and output until the launcher has exited; return its exit code."""
        deadline = time.monotonic() + timeout
        while self._pump(0.2) or self._selector.get_map():
            if time.monotonic() > deadline:
                raise AssertionError(f"still running; {self.received[-5:]}\n{self.log[-4000:]}")
            if renew and self.control >= 0 and time.monotonic() - self._renewed > 5:
                self._renewed = time.monotonic()
                try:
                    self.renew()
                except BrokenPipeError:
                    continue
        return self.process.wait(timeout=10)

    def of_type(self, type_: str) -> list[dict[str, Any]]:
        return [message for message in self.received if message["type"] == type_]

    @property
    def outcome(self) -> dict[str, Any]:
        """The message with the job's outcome; an assertion fails unless there is exactly one."""
        kinds = {"result", "failure", "stopped"}
        outcomes = [message for message in self.received if message["type"] in kinds]
        assert len(outcomes) == 1, f"{outcomes}\n{self.log[-4000:]}"
        assert self.received[-1] is outcomes[0], "the outcome is the last word"
        return outcomes[0]

    def _pump(self, timeout: float) -> bool:
        """Read available messages and output; return False if there were none."""
        got = False
        if not self._selector.get_map():
            time.sleep(0.01)
            return False
        for key, _ in self._selector.select(timeout):
            data = os.read(key.fd, 65536)
            got = True
            if not data:
                self._selector.unregister(key.fileobj)
            elif key.data == "messages":
                *lines, self._partial = (self._partial + data).split(b"\n")
                self.received.extend(json.loads(line) for line in lines)
            else:
                self.outputs[key.data] += data
        return got


def is_alive(pid: int) -> bool:
    """Return True if a process is running; a zombie does not count."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def wait_until_dead(pid: int, timeout: float = 5) -> None:
    deadline = time.monotonic() + timeout
    while is_alive(pid):
        assert time.monotonic() < deadline, f"process {pid} is still alive"
        time.sleep(0.01)
