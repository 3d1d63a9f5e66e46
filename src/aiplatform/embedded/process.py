"""Functions that start, identify and stop processes.

The kernel reuses the pid of a process that has exited. A pid that is kept across a restart is
therefore stored together with the identity of its process, which contains the start time.
"""

import contextlib
import ctypes
import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

try:
    import psutil

    HAS_PSUTIL = True
except ImportError:  # doctor must also run where the extra `server` is not installed
    HAS_PSUTIL = False

PR_SET_PDEATHSIG = 1
ON_LINUX = sys.platform.startswith("linux")
_libc = ctypes.CDLL(None, use_errno=True) if ON_LINUX else None


@dataclass(frozen=True)
class Account:
    """A user account under which a process runs, other than this process's own."""

    uid: int
    gid: int
    name: str


def user_name(uid: int) -> str:
    """Return the name of a user, or the number if there is no name."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def identity(pid: int) -> str | None:
    """Return a string that no later process with the same pid has; None if there is no process.

    On Linux it contains the start time in clock ticks since boot, and the boot's id; setting the
    clock changes neither. A zombie counts as gone, because it runs no code and holds no resources.
    """
    if ON_LINUX:
        try:
            fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
            boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        except OSError:
            return None
        return None if fields[0] in {b"Z", b"X"} else f"{boot}:{int(fields[19])}"
    if not HAS_PSUTIL:
        return None
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return f"{process.create_time():.1f}"
    except psutil.Error:
        return None


def is_same_process(pid: int | None, remembered: str | None) -> bool:
    """Return True if ``pid`` is still the process with the identity ``remembered``."""
    return pid is not None and remembered is not None and identity(pid) == remembered


def _die_with_parent(parent: int, death_signal: int) -> Callable[[], None] | None:
    """Return a function that a child calls before exec, so that it dies with its supervisor.

    Return None on systems other than Linux; there, the next ``up`` ends the processes that a killed
    supervisor left behind.
    """
    if _libc is None:
        return None
    prctl = _libc.prctl

    def set_death_signal() -> None:
        prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
        if os.getppid() != parent:  # the parent died before the line above
            os.kill(os.getpid(), signal.SIGKILL)

    return set_death_signal


def spawn(
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    log: IO[bytes] | int,
    cwd: Path,
    account: Account | None = None,
    death_signal: int = signal.SIGTERM,
) -> subprocess.Popen[bytes]:
    """Start a process in its own session, with its output in ``log`` and without input.

    Ctrl-C in a terminal reaches the whole foreground group. In its own session, the process doesn't
    receive it, and the supervisor decides the order in which its children stop. Call this function
    in a thread that lives as long as the process should: the process gets ``death_signal`` when
    that thread ends.

    Raises:
        OSError: If the process can't be started.
    """
    return subprocess.Popen(
        list(command),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        env=dict(env),
        cwd=cwd,
        start_new_session=True,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
        # This is safe: the function makes two system calls and takes no lock.
        preexec_fn=_die_with_parent(os.getpid(), death_signal),  # noqa: PLW1509
    )


def signal_group(pid: int, number: int) -> None:
    """Send a signal to the process group that ``pid`` leads; do nothing if it is gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def reap_if_ended(process: subprocess.Popen[bytes]) -> bool:
    """Return True if a child has exited. If so, kill the rest of its process group and reap it.

    The group is killed because a server's own child processes could live on and keep its port. This
    happens before its leader is reaped, because the pid of a zombie can't be reused.
    """
    if process.returncode is not None:
        return True
    if hasattr(os, "waitid"):
        try:
            found = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            found = None  # it was reaped elsewhere; poll() below handles that
        else:
            if found is None:
                return False
            signal_group(process.pid, signal.SIGKILL)
        return process.poll() is not None
    if process.poll() is None:
        return False
    signal_group(process.pid, signal.SIGKILL)
    return True


def reap_orphans(own: Iterable[int]) -> None:
    """Reap exited children that this process did not start.

    In a container, process 1 becomes the parent of all orphaned processes.

    Args:
        own: Pids of the children that this process started. :func:`reap_if_ended` reaps them.
    """
    if not hasattr(os, "waitid"):
        return
    known = set(own)
    with contextlib.suppress(ChildProcessError):
        while found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if found.si_pid in known:
                return  # reap_if_ended() reaps it; the next call reaps the orphans after it
            os.waitpid(found.si_pid, 0)


def describe_exit(code: int) -> str:
    """Return a description of an exit status, such as "signal SIGKILL"."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"


def end_process(pid: int, remembered: str, steps: Sequence[tuple[int, float]]) -> bool:
    """Stop a process that is not a child of this one, and return True if it is gone.

    Args:
        pid: The process.
        remembered: Its identity; a process with another identity is not sent a signal.
        steps: Signals to send in turn, each with the seconds to wait after it.
    """
    for number, seconds in steps:
        if not is_same_process(pid, remembered):
            return True
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
        if wait_until_gone(pid, remembered, seconds):
            return True
    return not is_same_process(pid, remembered)


def wait_until_gone(pid: int, remembered: str | None, seconds: float) -> bool:
    """Wait until a process that is not a child has exited; return False if it didn't in time."""
    deadline = time.monotonic() + seconds
    while is_same_process(pid, remembered):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def processes_with_variable(variable: str, value: str) -> list[tuple[int, str]]:
    """Return the pid and identity of each process whose environment has this variable and value."""
    if not HAS_PSUTIL:
        return []
    found = []
    for pid in psutil.pids():
        if pid == os.getpid():
            continue
        try:
            matches = psutil.Process(pid).environ().get(variable) == value
        except (psutil.Error, OSError):
            continue
        if matches and (known := identity(pid)) is not None:
            found.append((pid, known))
    return found


def resident_bytes(pid: int) -> int | None:
    """Return the resident memory in bytes of a process and its descendants; None if unknown."""
    if not HAS_PSUTIL:
        return None
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.Error:
        return None
    total = 0
    for member in family:
        with contextlib.suppress(psutil.Error):
            total += member.memory_info().rss
    return total
