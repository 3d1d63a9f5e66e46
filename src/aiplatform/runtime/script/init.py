"""The first process of a script's sandbox, which sets it up and starts the commands in it.

Root runs this program as ``python -I -S init.py FD``, using only the standard library. ``FD`` is
the descriptor of a stream socket. The process reads the plan from it, as one line of JSON, and
writes lines of JSON:

- ``ready`` once,
- ``code`` or ``error`` for each command,
- ``not_joined`` with the file of each control group that a command could not join,
- ``refused`` if the system does not allow the sandbox.

Any further byte on the socket asks the commands to stop. When the other end of the socket is
closed, this process exits. The kernel then kills all processes in the sandbox, whatever their
session or process group.
"""

import ctypes
import json
import os
import resource
import select
import signal
import socket
import sys
from contextlib import suppress
from typing import Any, NoReturn

CLONE_NEWNS, CLONE_NEWIPC, CLONE_NEWPID = 0x00020000, 0x08000000, 0x20000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 32, 4096, 16384, 1 << 18
PR_SET_NO_NEW_PRIVS = 38
MOUNT_SETATTR, LANDLOCK_CREATE_RULESET, LANDLOCK_RESTRICT_SELF = 442, 444, 446
AT_FDCWD, AT_RECURSIVE, MOUNT_ATTR_RDONLY = -100, 0x8000, 1
LANDLOCK_VERSION, LANDLOCK_SCOPES, LANDLOCK_SCOPE_ABI = 1, 3, 6

NAMESPACES = CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWPID

libc = ctypes.CDLL(None, use_errno=True)


def main(descriptor: int) -> NoReturn:
    """Create the namespaces and wait until their first process exits."""
    channel = socket.socket(fileno=descriptor)
    channel.set_inheritable(False)
    # When the script is stopped, this whole process group receives a signal, and the first process
    # receives a byte through the socket. Only the first process passes the signal on, so that no
    # command gets it twice and a command that starts late doesn't miss it.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with channel.makefile("rb") as lines:
        line = lines.readline()
    if not line:
        os._exit(1)
    plan = json.loads(line)
    try:
        # Opened before the new namespaces exist: a file that is open for writing would keep its
        # mount from becoming read-only.
        join_files = [os.open(path, os.O_WRONLY | os.O_CLOEXEC) for path in plan["join_files"]]
        check(libc.unshare(NAMESPACES), "new namespaces")
    except OSError as error:
        send(channel, refused=str(error))
        os._exit(1)
    first = os.fork()
    if first == 0:
        try:
            run_first_process(channel, plan, join_files)
        except Exception as error:  # noqa: BLE001  (all errors are reported to the waiting process)
            send(channel, refused=str(error) or repr(error))
        finally:
            os._exit(1)
    channel.close()
    os.waitpid(first, 0)
    os._exit(0)


def run_first_process(channel: socket.socket, plan: dict[str, Any], join_files: list[int]) -> None:
    """Set up the file system, start the commands and report their exits until the socket closes."""
    woken, wakeup = os.pipe()
    os.set_blocking(wakeup, False)
    signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
    ready = {"read_only": set_up_mounts(plan)}
    signal.signal(signal.SIGCHLD, lambda *_: None)
    ready["scoped"] = restrict_signals_and_sockets()
    send(channel, ready=ready)
    running = {}
    for index, command in enumerate(plan["commands"]):
        pid = os.fork()
        if pid == 0:
            exec_command(channel, plan, index, command, join_files)
        running[pid] = index
    for join_file in join_files:
        os.close(join_file)
    while True:
        reap(channel, running)
        readable, _, _ = select.select([channel.fileno(), woken], [], [])
        if woken in readable:
            os.read(woken, 4096)
        if channel.fileno() in readable:
            if not channel.recv(1):
                os._exit(0)
            for pid in running:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(pid, signal.SIGTERM)


def reap(channel: socket.socket, running: dict[int, int]) -> None:
    """Reap all exited processes, including orphans, and report the exit codes of commands."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        index = running.pop(pid, None)
        if index is not None:
            send(channel, command=index, code=os.waitstatus_to_exitcode(status))


def set_up_mounts(plan: dict[str, Any]) -> bool:
    """Set up the sandbox's file system; return True if all other directories are read-only.

    In ``plan``, ``binds`` are the script's directories, each with its path in the sandbox. The
    ``visible_paths`` stay visible even if a bind mount would hide them.
    """
    mount(None, "/", None, MS_REC | MS_PRIVATE)
    # Opened now, because the mounts below will hide them.
    visible = [(path, open_directory(path)) for path in plan["visible_paths"]]
    binds = [(open_directory(source), target) for source, target in plan["binds"]]
    root = open_directory(plan["root"])
    attributes = (ctypes.c_uint64 * 4)(MOUNT_ATTR_RDONLY, 0, 0, 0)
    flags = ctypes.c_uint(AT_RECURSIVE)
    read_only = (
        libc.syscall(
            MOUNT_SETATTR, AT_FDCWD, b"/", flags, ctypes.byref(attributes), ctypes.c_size_t(32)
        )
        == 0
    )
    targets = []
    for source, target in binds:
        if not os.path.isdir(target):  # noqa: PTH112  (pathlib would be another import)
            continue
        real = os.path.realpath(target)
        if real not in targets:
            bind_mount(source, real, MS_NOSUID | MS_NODEV)
            targets.append(real)
    hidden = tuple(f"{target}/" for target in targets)
    for path, descriptor in visible:
        if path.startswith(hidden):
            os.makedirs(path, 0o755, exist_ok=True)  # noqa: PTH103
            bind_mount(descriptor, path, MS_NOSUID | MS_NODEV | MS_RDONLY)
    os.makedirs(plan["root"], 0o711, exist_ok=True)  # noqa: PTH103
    bind_mount(root, plan["root"], MS_NOSUID | MS_NODEV)
    for descriptor in (root, *(found for _, found in visible), *(found for found, _ in binds)):
        os.close(descriptor)
    options = f"mode=1777,size={plan['shared_memory_mb']}m"
    if os.path.isdir("/dev/shm"):  # noqa: PTH112, S108
        mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, options)  # noqa: S108
    if os.path.isdir("/dev/mqueue"):  # noqa: PTH112
        mount("mqueue", "/dev/mqueue", "mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, "hidepid=2")
    return read_only


def open_directory(path: str) -> int:
    """Return a descriptor for a directory that stays valid even if a mount hides the directory."""
    return os.open(path, os.O_PATH | os.O_CLOEXEC)


def bind_mount(directory: int, target: str, flags: int) -> None:
    """Bind-mount a directory at ``target``; it is writable unless ``flags`` forbid it."""
    mount(f"/proc/self/fd/{directory}", target, None, MS_BIND | MS_REC)
    mount(None, target, None, MS_REMOUNT | MS_BIND | flags)


def restrict_signals_and_sockets() -> bool:
    """Keep signals and abstract sockets inside the sandbox; return False if the kernel can't."""
    version = libc.syscall(LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), LANDLOCK_VERSION)
    if version < LANDLOCK_SCOPE_ABI:
        return False
    attributes = (ctypes.c_uint64 * 3)(0, 0, LANDLOCK_SCOPES)
    ruleset = libc.syscall(
        LANDLOCK_CREATE_RULESET, ctypes.byref(attributes), ctypes.c_size_t(24), 0
    )
    if ruleset < 0:
        return False
    done = libc.syscall(LANDLOCK_RESTRICT_SELF, ruleset, 0) == 0
    os.close(ruleset)
    return bool(done)


def exec_command(
    channel: socket.socket,
    plan: dict[str, Any],
    index: int,
    command: dict[str, Any],
    join_files: list[int],
) -> NoReturn:
    """Turn this process into one of the commands, without any privileges."""
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD,
                       signal.SIGPIPE, signal.SIGXFSZ):  # fmt: skip
            signal.signal(number, signal.SIG_DFL)
        for join_file, path in zip(join_files, plan["join_files"], strict=True):
            try:
                os.write(join_file, b"0")
            except OSError:  # the end of the process namespace still kills all processes
                send(channel, not_joined=path)
        # Set as root, so that the script can't lower it again to escape the kernel's OOM killer.
        with open("/proc/self/oom_score_adj", "w") as score:  # noqa: PTH123
            score.write("500")
        for descriptor in map(int, os.listdir("/proc/self/fd")):  # noqa: PTH208
            if descriptor > 2:
                with suppress(OSError):  # the descriptor of the listed directory, closed by now
                    os.set_inheritable(descriptor, descriptor == command["report"])
        for source, target in ((command["stdout"], 1), (command["stderr"], 2)):
            if source is not None:
                os.dup2(source, target)
        for kind, wanted in plan["limits"]:
            hard = resource.getrlimit(kind)[1]
            value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            resource.setrlimit(kind, (value, value))
        os.umask(0o077)
        os.setgroups([])
        os.setresgid(plan["uid"], plan["uid"], plan["uid"])
        os.setresuid(plan["uid"], plan["uid"], plan["uid"])
        check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no new privileges")
        os.chdir(plan["directory"])
        os.execvpe(command["command"][0], command["command"], command["environment"])  # noqa: S606
    except OSError as error:
        send(channel, command=index, error=str(error), errno=error.errno)
    finally:
        os._exit(127)


def mount(source: str | None, target: str, kind: str | None, flags: int, options: str = "") -> None:
    """Mount a file system, or change a mount.

    Raises:
        OSError: The mount fails; the text names the target.
    """
    arguments = [None if text is None else text.encode() for text in (source, target, kind)]
    done = libc.mount(*arguments, ctypes.c_ulong(flags), options.encode() or None)
    check(done, f"a private {target}")


def check(done: int, what: str) -> None:
    """Raise an error if a system call has failed.

    Raises:
        OSError: The result ``done`` is not 0.
    """
    if done != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def send(channel: socket.socket, **message: object) -> None:
    """Send a message, unless the other end of the socket is closed."""
    with suppress(OSError):
        channel.sendall(json.dumps(message).encode() + b"\n")


if __name__ == "__main__":
    main(int(sys.argv[1]))
