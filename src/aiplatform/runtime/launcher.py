"""The launcher: a small process around the child that runs the job, and its life insurance.

The interpreter that the runner starts *is* the launcher. Before importing anything heavy it forks
twice. The first child leads a session of its own, says ``hello`` and runs the job. The launcher
stays behind with nothing but the standard library and ends the child when it must:

- the lease passes without a renewal (the runner is frozen or cut off): SIGKILL at once;
- the control pipe closes (the runner is gone): SIGKILL at once;
- a cancellation comes: SIGTERM, and SIGKILL after the grace period.

A server that was replaced is told to complete its answers and end: SIGUSR1, to the child alone.

Signals go to the child's whole process group, so what it started dies with it; on Linux, what left
the group is found too, because orphans are handed to the launcher (PR_SET_CHILD_SUBREAPER).

The second child, the guardian, covers the launcher itself: it does nothing but wait for a pipe that
only the launcher holds open, and kills the group when that pipe closes, which the kernel does even
if the launcher is SIGKILLed. It works the same on Linux and macOS, a computation that holds the
child's interpreter cannot block it, and unlike PR_SET_PDEATHSIG it reaches grandchildren.

A spare is started before its job is known. Its child imports what most jobs with a model need and
waits; the job comes down the control pipe as ``begin`` and is passed on. All of the above holds for
it from its first moment.

Standard library only, and little of it: this module's imports are on the way to ``hello``.
"""

import contextlib
import fcntl
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import NamedTuple, NoReturn

INITIAL_LEASE_SECONDS = 45.0
TERMINATION_GRACE_SECONDS = 30.0
"""Grace when the launcher itself gets a SIGTERM, as from a shutting down machine."""

MAX_CONTROL_LINE = 64 * 1024
adopter: int | None = None
"""In the child: the process id of its launcher, if orphans are handed to that."""

USAGE = (
    "usage: python -m aiplatform.runtime (--job JOB.json | --spare) --messages-fd N --control-fd M"
)


class Arguments(NamedTuple):
    """The command line. ``job`` is None for a spare."""

    job: str | None
    messages_fd: int
    control_fd: int


def parse_arguments(argv: list[str]) -> Arguments:
    """Read the command line by hand: argparse alone would cost a third of the time to ``hello``."""
    match argv:
        case ["--job", job, "--messages-fd", messages, "--control-fd", control] if (
            messages.isdigit() and control.isdigit()
        ):
            return Arguments(job, int(messages), int(control))
        case ["--spare", "--messages-fd", messages, "--control-fd", control] if (
            messages.isdigit() and control.isdigit()
        ):
            return Arguments(None, int(messages), int(control))
    sys.stderr.write(f"{USAGE}\n")
    raise SystemExit(2)


def launch(arguments: Arguments) -> int:
    """Run the job in a child and return its exit code, 128 + signal if one ended it."""
    # Inherited once, by us. Whatever the job starts must hold neither descriptor, or a stray
    # grandchild would keep the pipes open and the runner waiting.
    os.set_inheritable(arguments.messages_fd, False)
    os.set_inheritable(arguments.control_fd, False)
    lifeline, held_open = os.pipe()
    starting_line, starter = os.pipe()

    child = os.fork()
    if child == 0:
        _close(arguments.control_fd, lifeline, held_open, starter)
        _become_the_job(arguments, starting_line)

    guardian = os.fork()
    if guardian == 0:
        _close(arguments.control_fd, arguments.messages_fd, held_open, starting_line, starter)
        _guard(child, lifeline)

    _close(arguments.messages_fd, lifeline, starting_line)
    try:
        watch = Watch(child, guardian, arguments.control_fd, starter)
        with contextlib.suppress(BrokenPipeError):  # the child ended before it began
            os.write(starter, b"!")
        return watch.run()
    finally:
        _dismiss(guardian)


def _close(*fds: int) -> None:
    for fd in fds:
        os.close(fd)


def _become_the_job(arguments: Arguments, starting_line: int) -> NoReturn:
    """The child: a session of its own, hello, then the job. Never returns into the launcher."""
    global adopter  # noqa: PLW0603  (of this process, which is the child's from here on)
    os.setsid()
    adopter = os.getppid() if sys.platform.startswith("linux") else None
    code = 1
    try:
        if arguments.job is None:
            code = _wait_for_a_job(arguments, starting_line)
        else:
            _say_hello(arguments)
            from aiplatform.runtime.child import run_job

            # The job may start processes, so the guardian and the adoption of orphans must be in
            # place. At the end of the pipe, not the byte, the launcher died before they were.
            if os.read(starting_line, 1):
                os.close(starting_line)
                code = run_job(arguments.job, arguments.messages_fd)
    except SystemExit as exit_:
        code = exit_.code if isinstance(exit_.code, int) else 1
    except BrokenPipeError:
        pass  # the runner is gone, and the launcher is about to end us
    finally:
        _flush_and_exit(code)


def _say_hello(arguments: Arguments) -> None:
    # A literal, kept equal to protocol.messages by a test: importing pydantic would take longer.
    hello = f'{{"type":"hello","protocol":1,"pid":{os.getpid()}}}\n'
    os.write(arguments.messages_fd, hello.encode())


def _wait_for_a_job(arguments: Arguments, starting_line: int) -> int:
    """The child of a spare: get ready, then run what comes down the line. 0 when nothing does."""
    if not os.read(starting_line, 1):
        return 1
    from aiplatform.runtime import child, spare

    job = spare.wait_for_job(arguments.messages_fd, starting_line)
    os.close(starting_line)
    if job is None:
        return 0
    _say_hello(arguments)
    return child.run_job(job, arguments.messages_fd)


def _flush_and_exit(code: int) -> NoReturn:
    """Leave without the interpreter's teardown: threads of torch and tokenizers may still run."""
    if (exception := sys.exc_info()[1]) is not None and not isinstance(exception, SystemExit):
        import traceback

        traceback.print_exc()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # nobody reads the log any more
            stream.flush()
    os._exit(code)


def _guard(child: int, lifeline: int) -> NoReturn:
    """The guardian: when the launcher is gone, end what it would have ended."""
    os.setsid()  # whoever kills the launcher's group must not kill its guardian with it
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.read(lifeline, 1)
    signal_group(child, signal.SIGKILL)
    os._exit(0)


def _dismiss(guardian: int) -> None:
    """End the guardian before our own end would wake it: the group's id may soon be another's."""
    try:
        os.kill(guardian, signal.SIGKILL)
        os.waitpid(guardian, 0)
    except (ProcessLookupError, ChildProcessError):
        pass  # someone else ended it, and it has been reaped


def signal_group(child: int, number: int) -> None:
    """Signal the child's process group, or the child alone in the moment before it has one."""
    try:
        os.killpg(child, number)
    except ProcessLookupError:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, number)
    except PermissionError:
        pass  # macOS answers so for a group of zombies


class Watch:
    """The launcher's loop: renewals and cancellations in, the child's exit code out."""

    def __init__(self, child: int, guardian: int, control_fd: int, starter: int) -> None:
        self.child = child
        self.guardian = guardian
        self.control_fd = control_fd
        self.starter: int | None = starter
        self.deadline = time.monotonic() + INITIAL_LEASE_SECONDS
        self.kill_at: float | None = None
        self.status: int | None = None
        self._buffer = b""
        self._wakeup, wakeup = os.pipe()
        # The starter too: no child, whatever state it is in, may hold up the one who watches it.
        for end in (self._wakeup, wakeup, control_fd, starter):
            flags = fcntl.fcntl(end, fcntl.F_GETFL)
            fcntl.fcntl(end, fcntl.F_SETFL, flags | os.O_NONBLOCK)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # only to be woken from select
        signal.signal(signal.SIGTERM, self._on_terminate)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the runner's to judge
        self._adopt_orphans = _become_subreaper()

    def run(self) -> int:
        """Watch until the child is gone and nothing that it started is left."""
        control_open = True
        while not self._reap():
            # The deadline goes first: renewals that were already in the pipe when the whole machine
            # froze must not count from the moment that it thaws.
            now = time.monotonic()
            limit = self.deadline if self.kill_at is None else min(self.deadline, self.kill_at)
            if now >= limit or not control_open:
                self._kill("no renewal came in time" if now >= self.deadline else None)
                break
            readable, _, _ = select.select([self.control_fd, self._wakeup], [], [], limit - now)
            if self._wakeup in readable:
                os.read(self._wakeup, 4096)
            if self.control_fd in readable and time.monotonic() < self.deadline:
                control_open = self._read_control()
        while self.status is None:
            select.select([self._wakeup], [], [], 1.0)
            self._reap()
        self._end_leftovers()
        return _exit_code(self.status)

    def _reap(self) -> bool:
        """Collect whoever ended; true once the child did."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return self.status is not None
            if pid == 0:
                return self.status is not None
            if pid == self.child:
                self.status = status

    def _kill(self, why: str | None) -> None:
        if why is not None:
            sys.stderr.write(f"launcher: {why}, ending the task's processes\n")
            sys.stderr.flush()
        signal_group(self.child, signal.SIGKILL)

    def _read_control(self) -> bool:
        """Obey what the runner says; false at the end of the pipe."""
        try:
            data = os.read(self.control_fd, 65536)
        except BlockingIOError:
            return True
        if not data:
            return False
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        if len(self._buffer) > MAX_CONTROL_LINE:
            self._buffer = b""
        for line in lines:
            self._obey(line)
        return True

    def _obey(self, line: bytes) -> None:
        """A line that makes no sense renews nothing; the deadline then does its work."""
        import json

        try:
            message = json.loads(line)
            match message["type"]:
                case "renew":
                    self.deadline = time.monotonic() + float(message["seconds"])
                case "cancel":
                    self._cancel(float(message["grace_seconds"]))
                case "drain":
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(self.child, signal.SIGUSR1)
                case "begin":
                    self._pass_on(line + b"\n")
        except (ValueError, TypeError, KeyError):
            sys.stderr.write(f"launcher: not a control message: {line[:200]!r}\n")
            sys.stderr.flush()

    def _pass_on(self, line: bytes) -> None:
        """Give a spare its job, once. It gets the whole line or is of no use any more."""
        if self.starter is None:
            return
        try:
            whole = os.write(self.starter, line) == len(line)
        except OSError:  # it is gone, or takes nothing
            whole = False
        os.close(self.starter)
        self.starter = None
        if not whole:
            self._kill("the spare did not take its job")

    def _cancel(self, grace_seconds: float) -> None:
        """SIGTERM once; a second cancellation can only shorten the grace."""
        kill_at = time.monotonic() + grace_seconds
        if self.kill_at is None:
            signal_group(self.child, signal.SIGTERM)
            self.kill_at = kill_at
        self.kill_at = min(self.kill_at, kill_at)

    def _on_terminate(self, *_: object) -> None:
        self._cancel(TERMINATION_GRACE_SECONDS)

    def _end_leftovers(self) -> None:
        """End what the child left running, in its group or out of it."""
        signal_group(self.child, signal.SIGKILL)
        if not self._adopt_orphans:
            return
        # Ending one orphan hands us its children, hence the rounds.
        for _ in range(100):
            orphans = children_of(os.getpid()) - {self.guardian}
            if not orphans:
                return
            for pid in orphans:
                signal_group(pid, signal.SIGKILL)
            time.sleep(0.005)
            self._reap()


def _exit_code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code


def _become_subreaper() -> bool:
    """Have orphaned descendants handed to us; false where the system has no such thing."""
    if not sys.platform.startswith("linux"):
        return False
    import ctypes

    pr_set_child_subreaper = 36
    return ctypes.CDLL(None, use_errno=True).prctl(pr_set_child_subreaper, 1, 0, 0, 0) == 0


def children_of(parent: int) -> set[int]:
    """Process ids whose parent is ``parent``, from /proc; unreaped zombies are left out."""
    children = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_bytes()
        except OSError:
            continue  # it ended meanwhile
        # The command's name may hold spaces and brackets: only what follows the last one is safe.
        state, ppid = stat.rpartition(b")")[2].split()[:2]
        if int(ppid) == parent and state != b"Z":
            children.add(int(entry.name))
    return children
