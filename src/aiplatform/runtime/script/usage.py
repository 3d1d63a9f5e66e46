"""Measurement of a script's memory and disk usage, and termination of its processes."""

import os
import stat
import time
from contextlib import suppress
from pathlib import Path

import psutil

from aiplatform.protocol.messages import Job
from aiplatform.protocol.specs import ScriptSpec
from aiplatform.runtime import launcher
from aiplatform.runtime.channel import JobError
from aiplatform.runtime.script.cgroups import Group
from aiplatform.runtime.script.deleted_files import deleted_bytes
from aiplatform.runtime.script.directories import ScriptDirectories
from aiplatform.runtime.script.sandbox import Sandbox

MIB = 1 << 20
END_SECONDS = 30.0
"""Seconds to wait for killed processes, which need CPU time to exit."""

INTERVAL_SECONDS = 1.0
"""Seconds between two measurements of memory."""

DISK_PAUSE_FACTOR = 20
"""Pause after a disk measurement, as a multiple of the time that it took."""

MORE_MEMORY = "Ask for more in resources.memory_mb."

ENTRY_BYTES = 4096
"""Minimum number of bytes that a file counts as, because the number of files is limited, too."""

MAX_DEPTH = 100
"""Largest directory depth; each level is kept open while it is counted."""

OPEN_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


class Processes:
    """A script's processes, including orphans, whose parent process has exited.

    If the script has its own user, these are all processes of that user. Otherwise they are the
    descendants of this process, and orphans, which the launcher adopts. Create the object before
    the script starts, because children that already exist at that time don't count.
    """

    def __init__(self, uid: int | None) -> None:
        self.uid = uid
        self._before = {os.getpid(), *(child.pid for child in children())}

    def memory_mb(self, limit: int) -> int:
        """Return the resident memory in MiB.

        Shared pages are counted once per process. If the sum exceeds ``limit``, it is computed
        again with proportional shares, which takes longer.
        """
        members = self.members()
        resident = sum(map(resident_bytes, members)) // MIB
        if resident <= limit:
            return resident
        return sum(map(proportional_bytes, members)) // MIB

    def end(self, group: Group, sandbox: Sandbox | None) -> None:
        """Kill all processes, including those that they start in the meantime.

        The control group and the sandbox kill their processes in one step. All other processes are
        killed one by one.

        Raises:
            JobError: Some are still running after a while, for instance because they wait for a
                disk.
        """
        deadline = time.monotonic() + END_SECONDS
        if sandbox is not None:
            sandbox.close()
        while True:
            group.kill()
            alive = [member for member in self.members() if is_alive(member)]
            if not alive and not group.members() and (sandbox is None or sandbox.has_ended):
                return
            if time.monotonic() > deadline:
                left = sorted({member.pid for member in alive} | group.members())
                raise JobError(
                    f"Processes of the script can't be ended: {', '.join(map(str, left))}. "
                    "They may wait for a disk or a network file system that does not answer."
                )
            for member in alive:
                with suppress(psutil.Error):
                    member.kill()
            time.sleep(0.005)

    def members(self) -> list[psutil.Process]:
        """Return the current processes, including zombies."""
        if self.uid is not None:
            return [process for process in psutil.process_iter() if self._owns(process)]
        found = []
        for child in children():
            if child.pid not in self._before:
                with suppress(psutil.Error):
                    found += [child, *child.children(recursive=True)]
        return found

    def _owns(self, process: psutil.Process) -> bool:
        with suppress(psutil.Error):
            return process.uids().real == self.uid
        return False


def children() -> list[psutil.Process]:
    """Return the children of this process and of its launcher."""
    found = psutil.Process().children()
    if launcher.subreaper_pid is not None:
        with suppress(psutil.Error):  # the launcher is gone, so its guardian kills this process
            found += psutil.Process(launcher.subreaper_pid).children()
    return found


def resident_bytes(process: psutil.Process) -> int:
    """Return a process's resident memory in bytes, including all shared pages."""
    with suppress(psutil.Error):
        return int(process.memory_info().rss)
    return 0


def proportional_bytes(process: psutil.Process) -> int:
    """Return a process's memory in bytes, with shared pages divided among processes if possible."""
    with suppress(psutil.Error):
        return int(process.memory_full_info().pss)
    return resident_bytes(process)


def is_alive(process: psutil.Process) -> bool:
    """Return True if a process is still running; a zombie is not."""
    with suppress(psutil.Error):
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    return False


class Usage:
    """The memory and disk usage of a script. Create the object before the script starts."""

    def __init__(
        self, spec: ScriptSpec, job: Job, directories: ScriptDirectories, group: Group
    ) -> None:
        self.processes = Processes(directories.uid)
        self.group = group
        self.memory_limit = spec.resources.memory_mb
        self.disk_limit = spec.max_disk_mb
        # Announced checkpoints are copied, so the copies count, too.
        self.copied = {directories.output, directories.checkpoints, Path(job.checkpoint_dir)}
        self.other_directories = {directories.home, directories.code} | directories.temporary
        self._devices = {path.stat().st_dev for path in self.copied | self.other_directories}
        self._owner = os.geteuid() if directories.uid is None else directories.uid
        self._initial_bytes = self._written()
        self._memory_checked_at = self._disk_checked_at = time.monotonic()
        self._pause = INTERVAL_SECONDS

    def check(self) -> None:
        """Measure memory and disk, unless they were measured only a moment ago.

        Raises:
            JobError: The script exceeds its memory or disk limit.
        """
        now = time.monotonic()
        if now - self._memory_checked_at >= INTERVAL_SECONDS:
            self._memory_checked_at = now
            self.require_memory()
        if now - self._disk_checked_at >= self._pause:
            self.require_disk()
            self._disk_checked_at = time.monotonic()
            self._pause = max(INTERVAL_SECONDS, DISK_PAUSE_FACTOR * (self._disk_checked_at - now))

    def require_memory(self) -> None:
        """Raise an error if the script uses, or has used, more memory than it requested.

        Raises:
            JobError: The script exceeds its memory limit.
        """
        if not self.memory_limit:
            return
        if self.group.limits_memory:
            if self.group.ran_out_of_memory():
                raise JobError(
                    f"The script ran out of memory: it had asked for {self.memory_limit} MiB and "
                    f"needs more. {MORE_MEMORY}"
                )
            return
        used = self.processes.memory_mb(self.memory_limit)
        if used > self.memory_limit:
            raise JobError(
                f"The script ran out of memory: it had asked for {self.memory_limit} MiB and "
                f"used {used}. {MORE_MEMORY}"
            )

    def require_disk(self) -> None:
        """Raise an error if the script has written more bytes than its limit.

        Deleted files count while its processes have them open or mapped.

        Raises:
            JobError: The script has written more than ``max_disk_mb``.
        """
        if self.disk_limit is None:
            return
        pids = [member.pid for member in self.processes.members()]
        deleted = deleted_bytes(pids, self._devices, self._owner)
        used = (self._written() + deleted - self._initial_bytes) // MIB
        if used > self.disk_limit:
            raise JobError(
                f"The script has written {used} MiB to its directories and may write "
                f"{self.disk_limit}; max_disk_mb allows more."
            )

    def _written(self) -> int:
        return written_bytes(copied=self.copied, others=self.other_directories)


def written_bytes(*, copied: set[Path], others: set[Path]) -> int:
    """Return the number of bytes of all files in the directories.

    A file with several names counts once. In ``copied``, holes in files count, because copies of
    the files may have no holes.

    Raises:
        JobError: Directories are nested too deeply.
    """
    count = ByteCount()
    for holes, directories in ((True, copied), (False, others)):
        count.holes = holes
        for directory in directories:
            with suppress(OSError):  # the script may have removed it
                count.add_directory(os.open(directory, OPEN_FLAGS), MAX_DEPTH)
    return count.total


class ByteCount:
    """A counter of bytes in directories. If ``holes`` is True, holes in files count, too."""

    def __init__(self) -> None:
        self.holes = False
        self.total = 0
        self._seen: set[tuple[int, int]] = set()

    def add_directory(self, directory: int, depth: int) -> None:
        """Count the entries of an open directory and close it. Links are not followed."""
        try:
            with os.scandir(directory) as entries:
                for entry in entries:
                    with suppress(OSError):  # it is gone, or was replaced
                        self._add_entry(entry, directory, depth)
        finally:
            os.close(directory)

    def _add_entry(self, entry: os.DirEntry[str], directory: int, depth: int) -> None:
        found = entry.stat(follow_symlinks=False)
        taken = max(found.st_blocks * 512, ENTRY_BYTES)
        if stat.S_ISDIR(found.st_mode):
            if depth == 0:
                raise JobError(
                    f"The script has made more than {MAX_DEPTH} directories below each other."
                )
            self.total += taken
            self.add_directory(os.open(entry.name, OPEN_FLAGS, dir_fd=directory), depth - 1)
            return
        if found.st_nlink > 1:
            key = (found.st_dev, found.st_ino)
            if key in self._seen:
                return
            self._seen.add(key)
        if self.holes and stat.S_ISREG(found.st_mode):
            taken = max(taken, found.st_size)
        self.total += taken
