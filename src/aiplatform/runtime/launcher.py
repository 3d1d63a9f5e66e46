"""The launcher: a small process that watches over the child process that runs the job.

The runner (the part of the worker that handles one attempt) starts a Python interpreter, which is
the launcher. Before it imports anything large, it forks twice. The first child becomes the leader
of its own session, sends ``hello`` and runs the job. The launcher itself only uses the standard
library, and stops the child in these cases:

- The lease expires without a renewal (the runner is frozen or cut off): immediate SIGKILL.
- The control pipe closes (the runner is gone): immediate SIGKILL.
- A cancellation arrives: SIGTERM, and SIGKILL after the grace period.

A model server that was replaced gets SIGUSR1, finishes the responses in progress and exits.

All signals except SIGUSR1 go to the child's process group, so that they reach the processes that
the job started. On Linux, processes that left the group are found as well, because the launcher
adopts orphans (PR_SET_CHILD_SUBREAPER).

The second child, the guardian, kills the job if the launcher dies. It waits until a pipe that only
the launcher holds open is closed, and then kills the job's process group. The kernel closes the
pipe even if the launcher gets a SIGKILL. The guardian works on Linux and macOS, can't be blocked by
a computation in the child and, unlike PR_SET_PDEATHSIG, reaches grandchildren.

A spare is a launcher with a child, both started before there is a job for them. The child imports
the modules that most jobs with a model need, and waits. The job arrives as the message ``begin`` on
the control pipe, and the launcher passes it on. From the start, the launcher watches the child of a
spare in the same way as any other child.

This module imports only a few modules of the standard library, because they delay ``hello``.
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
"""Grace period if the launcher itself receives a SIGTERM, for instance at shutdown."""

MAX_CONTROL_LINE = 64 * 1024
subreaper_pid: int | None = None
"""Process id of the launcher if it adopts orphans, otherwise None; set only in the child."""

USAGE = (
    "usage: python -m aiplatform.runtime (--job JOB.json | --spare) --messages-fd N --control-fd M"
)


class Arguments(NamedTuple):
    """The command line arguments; ``job`` is None for a spare, which gets its job later."""

    job: str | None
    messages_fd: int
    control_fd: int


def parse_arguments(argv: list[str]) -> Arguments:
    """Parse the command line without argparse, whose import would delay ``hello`` by half."""
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
    """Run the job in a child; return its exit code, or 128 + n if signal n killed it."""
    # Processes that the job starts must not inherit these descriptors. Otherwise a process that
    # outlives the job would keep the pipes open, and the runner would wait for it.
    os.set_inheritable(arguments.messages_fd, False)
    os.set_inheritable(arguments.control_fd, False)
    lifeline_reader, lifeline_writer = os.pipe()
    start_reader, start_writer = os.pipe()

    child = os.fork()
    if child == 0:
        _close(arguments.control_fd, lifeline_reader, lifeline_writer, start_writer)
        _run_child(arguments, start_reader)

    guardian = os.fork()
    if guardian == 0:
        _close(
            arguments.control_fd, arguments.messages_fd, lifeline_writer, start_reader, start_writer
        )
        _run_guardian(child, lifeline_reader)

    _close(arguments.messages_fd, lifeline_reader, start_reader)
    try:
        watch = ChildWatcher(child, guardian, arguments.control_fd, start_writer)
        with contextlib.suppress(BrokenPipeError):  # the child has exited already
            os.write(start_writer, b"!")
        return watch.run()
    finally:
        _end_guardian(guardian)


def _close(*fds: int) -> None:
    for fd in fds:
        os.close(fd)


def _run_child(arguments: Arguments, start_reader: int) -> NoReturn:
    """Turn this process into the child: start a session, send ``hello`` and run the job."""
    global subreaper_pid  # noqa: PLW0603  (set only in the child's process)
    os.setsid()
    subreaper_pid = os.getppid() if sys.platform.startswith("linux") else None
    code = 1
    try:
        if arguments.job is None:
            code = _run_spare(arguments, start_reader)
        else:
            _send_hello(arguments)
            from aiplatform.runtime.child import run_job

            # The job may start processes, so it must wait until there is a guardian and the
            # launcher adopts orphans. If the pipe ends without a byte, the launcher has already
            # died.
            if os.read(start_reader, 1):
                os.close(start_reader)
                code = run_job(arguments.job, arguments.messages_fd)
    except SystemExit as exit_:
        code = exit_.code if isinstance(exit_.code, int) else 1
    except BrokenPipeError:
        pass  # the runner is gone, so the launcher will kill this process
    finally:
        _flush_and_exit(code)


def _send_hello(arguments: Arguments) -> None:
    # A literal, because importing pydantic takes long. A test compares it with protocol.messages.
    hello = f'{{"type":"hello","protocol":1,"pid":{os.getpid()}}}\n'
    os.write(arguments.messages_fd, hello.encode())


def _run_spare(arguments: Arguments, start_reader: int) -> int:
    """Import modules, wait for a job and run it; return its exit code, or 0 if no job comes."""
    if not os.read(start_reader, 1):
        return 1
    from aiplatform.runtime import child, spare

    job = spare.wait_for_job(arguments.messages_fd, start_reader)
    os.close(start_reader)
    if job is None:
        return 0
    _send_hello(arguments)
    return child.run_job(job, arguments.messages_fd)


def _flush_and_exit(code: int) -> NoReturn:
    """Exit without the interpreter's shutdown, because threads of torch may still be running."""
    if (exception := sys.exc_info()[1]) is not None and not isinstance(exception, SystemExit):
        import traceback

        traceback.print_exc()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # the reader of the log is gone
            stream.flush()
    os._exit(code)


def _run_guardian(child: int, lifeline_reader: int) -> NoReturn:
    """Run the guardian: wait until the launcher is gone, then kill the child's process group."""
    os.setsid()  # a signal to the launcher's process group must not reach the guardian
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.read(lifeline_reader, 1)
    signal_group(child, signal.SIGKILL)
    os._exit(0)


def _end_guardian(guardian: int) -> None:
    """Kill the guardian before the launcher exits.

    Otherwise the guardian would kill the child's process group, whose id may have been reused.
    """
    try:
        os.kill(guardian, signal.SIGKILL)
        os.waitpid(guardian, 0)
    except (ProcessLookupError, ChildProcessError):
        pass  # another process killed it, and it has been reaped


def signal_group(child: int, number: int) -> None:
    """Send a signal to the child's process group, or only to the child if it has no group yet."""
    try:
        os.killpg(child, number)
    except ProcessLookupError:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, number)
    except PermissionError:
        pass  # macOS raises this for a group of zombies


class ChildWatcher:
    """The launcher's main loop, which handles control messages until the child has exited."""

    def __init__(self, child: int, guardian: int, control_fd: int, start_writer: int) -> None:
        self.child = child
        self.guardian = guardian
        self.control_fd = control_fd
        self.start_writer: int | None = start_writer
        self.deadline = time.monotonic() + INITIAL_LEASE_SECONDS
        self.kill_at: float | None = None
        self.status: int | None = None
        self._buffer = b""
        self._wakeup, wakeup = os.pipe()
        # This includes the start pipe: writing to a stuck child must not block the launcher.
        for end in (self._wakeup, wakeup, control_fd, start_writer):
            flags = fcntl.fcntl(end, fcntl.F_GETFL)
            fcntl.fcntl(end, fcntl.F_SETFL, flags | os.O_NONBLOCK)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # needed only to wake select()
        signal.signal(signal.SIGTERM, self._on_terminate)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the runner handles Ctrl-C
        self._adopt_orphans = _become_subreaper()

    def run(self) -> int:
        """Watch the child until it and all its descendants have exited; return its exit code."""
        control_open = True
        while not self._reap():
            # The deadline is checked first: after the whole machine was suspended, renewals that
            # were already in the pipe must not extend the lease.
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
        """Reap all processes that have exited; return True once the child has exited."""
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
        """Handle the runner's messages; return False at the end of the pipe."""
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
            self._handle_message(line)
        return True

    def _handle_message(self, line: bytes) -> None:
        """Handle one message. Ignore an invalid one, because the lease expires without renewals."""
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
                    self._forward_job(line + b"\n")
        except (ValueError, TypeError, KeyError):
            sys.stderr.write(f"launcher: not a control message: {line[:200]!r}\n")
            sys.stderr.flush()

    def _forward_job(self, line: bytes) -> None:
        """Pass the first job on to a spare; kill the spare if it doesn't accept the whole line."""
        if self.start_writer is None:
            return
        try:
            whole = os.write(self.start_writer, line) == len(line)
        except OSError:  # the child is gone, or the pipe is full
            whole = False
        os.close(self.start_writer)
        self.start_writer = None
        if not whole:
            self._kill("the spare did not take its job")

    def _cancel(self, grace_seconds: float) -> None:
        """Send SIGTERM on the first cancellation; later ones can only shorten the grace period."""
        kill_at = time.monotonic() + grace_seconds
        if self.kill_at is None:
            signal_group(self.child, signal.SIGTERM)
            self.kill_at = kill_at
        self.kill_at = min(self.kill_at, kill_at)

    def _on_terminate(self, *_: object) -> None:
        self._cancel(TERMINATION_GRACE_SECONDS)

    def _end_leftovers(self) -> None:
        """Kill processes that the child left running, inside or outside its process group."""
        signal_group(self.child, signal.SIGKILL)
        if not self._adopt_orphans:
            return
        # Repeated, because the launcher adopts the children of each orphan that exits.
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
    """Make this process adopt its orphaned descendants; return False unless on Linux."""
    if not sys.platform.startswith("linux"):
        return False
    import ctypes

    pr_set_child_subreaper = 36
    return ctypes.CDLL(None, use_errno=True).prctl(pr_set_child_subreaper, 1, 0, 0, 0) == 0


def children_of(parent: int) -> set[int]:
    """Return the process ids of the children of ``parent``, from /proc, excluding zombies."""
    children = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_bytes()
        except OSError:
            continue  # it has exited in the meantime
        # The command's name may contain spaces and parentheses. The other fields start after
        # the last closing parenthesis.
        state, ppid = stat.rpartition(b")")[2].split()[:2]
        if int(ppid) == parent and state != b"Z":
            children.add(int(entry.name))
    return children
