"""Starting, recognising and ending processes.

A pid alone says little: it is given to someone else once its process is gone. Everything that is
remembered across a restart is therefore a pid together with the moment its process started.
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
except ImportError:  # the bare install has no server extra; doctor must run all the same
    HAS_PSUTIL = False

PR_SET_PDEATHSIG = 1
ON_LINUX = sys.platform.startswith("linux")
_libc = ctypes.CDLL(None, use_errno=True) if ON_LINUX else None


@dataclass(frozen=True)
class Account:
    """The user a process runs as, when that is not our own."""

    uid: int
    gid: int
    name: str


def user_name(uid: int) -> str:
    """The name of a user, or its number when it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def identity(pid: int) -> str | None:
    """What tells this process from a later one of the same pid; None when there is none.

    On Linux the start in clock ticks since boot and the boot's id, which no clock step changes.
    A zombie counts as gone: it holds nothing and runs nothing.
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
    """Whether ``pid`` is still the process whose identity was remembered."""
    return pid is not None and remembered is not None and identity(pid) == remembered


def _die_with_parent(parent: int, death_signal: int) -> Callable[[], None] | None:
    """What the child runs before exec, so that it doesn't outlive a supervisor that was SIGKILLed.

    Only Linux can do this; elsewhere the next ``up`` ends what was left over.
    """
    if _libc is None:
        return None
    prctl = _libc.prctl

    def ask() -> None:
        prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
        if os.getppid() != parent:  # it died between the fork and the line above
            os.kill(os.getpid(), signal.SIGKILL)

    return ask


def spawn(
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    log: IO[bytes] | int,
    cwd: Path,
    account: Account | None = None,
    death_signal: int = signal.SIGTERM,
) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, output to ``log``, input from nowhere.

    Its own session, because Ctrl-C in a terminal goes to the whole foreground group: the supervisor
    alone decides in which order its children stop. Call it from a thread that lives as long as the
    children should: the death signal comes when that thread ends.

    Raises:
        OSError: when it can't be started.
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
        # Safe here: the hook makes two system calls and takes no lock.
        preexec_fn=_die_with_parent(os.getpid(), death_signal),  # noqa: PLW1509
    )


def signal_group(pid: int, number: int) -> None:
    """Signal the process group that ``pid`` leads; nothing happens when it is gone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether a child has ended; if so, whatever is left of its group is killed and it is reaped.

    A server's own worker processes would otherwise live on and hold its port. The group is killed
    before the leader is reaped, since a zombie keeps its pid from being given away.
    """
    if process.returncode is not None:
        return True
    if hasattr(os, "waitid"):
        try:
            found = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            found = None  # reaped by someone else: let poll() settle it
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
    """Reap children that are not ours by birth, which process 1 of a container inherits."""
    if not hasattr(os, "waitid"):
        return
    known = set(own)
    with contextlib.suppress(ChildProcessError):
        while found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if found.si_pid in known:
                return  # ended() takes it; later orphans come in the next round
            os.waitpid(found.si_pid, 0)


def describe_exit(code: int) -> str:
    """An exit status in words."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"


def end_process(pid: int, remembered: str, steps: Sequence[tuple[int, float]]) -> bool:
    """End a process that is not our child: each signal in turn, with the seconds it is given.

    Returns whether it is gone.
    """
    for number, seconds in steps:
        if not is_same_process(pid, remembered):
            return True
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
        if wait_gone(pid, remembered, seconds):
            return True
    return not is_same_process(pid, remembered)


def wait_gone(pid: int, remembered: str | None, seconds: float) -> bool:
    """Wait until a process that is not our child has ended; whether it did."""
    deadline = time.monotonic() + seconds
    while is_same_process(pid, remembered):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def processes_with(variable: str, value: str) -> list[tuple[int, str]]:
    """Processes, as pid and identity, that were started with this in their environment."""
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
    """Resident memory of a process and its descendants."""
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
