"""What a script uses, all its processes together: memory, and room on the worker's disk."""

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
from aiplatform.runtime.script.place import Place
from aiplatform.runtime.script.sandbox import Sandbox
from aiplatform.runtime.script.unlinked import unlinked_bytes

MIB = 1 << 20
END_SECONDS = 30.0
"""Time for killed processes to be gone; each needs a turn on a CPU, which may be busy, for that."""

LOOK_SECONDS = 1.0
PAUSE = 20
"""How many times as long as a look at the disk took nobody looks again."""

MORE_MEMORY = "Ask for more in resources.memory_mb."

ENTRY_BYTES = 4096
"""What even an empty file counts: a disk has room for so many files and no more."""

DEEPEST = 100
"""Directories below each other; each is held open while it is counted."""

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


class Processes:
    """The processes of a script, also those that turned away from the one that started them.

    Where it has a user of its own they are that user's. Else they are this process's descendants
    and the orphans among them, which the launcher adopts. To be made before the script starts:
    the children that both have then are none of it.
    """

    def __init__(self, uid: int | None) -> None:
        self.uid = uid
        self._before = {os.getpid(), *(child.pid for child in children())}

    def memory_mb(self, limit: int) -> int:
        """Resident memory in MiB; if that is above ``limit``, with shared pages counted once."""
        members = self.members()
        resident = sum(map(resident_bytes, members)) // MIB
        if resident <= limit:
            return resident
        return sum(map(proportional_bytes, members)) // MIB

    def end(self, group: Group, sandbox: Sandbox | None) -> None:
        """Kill all of them, and what they start meanwhile.

        The control group and the sandbox each end all at once; what is left is killed one by one.

        Raises:
            JobError: when some are still there after a while, such as those that wait for a disk.
        """
        deadline = time.monotonic() + END_SECONDS
        if sandbox is not None:
            sandbox.close()
        while True:
            group.kill()
            alive = [member for member in self.members() if is_alive(member)]
            if not alive and not group.members() and (sandbox is None or sandbox.gone):
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
        """Those that there are now, zombies included."""
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
    """The children of this process and of its launcher."""
    found = psutil.Process().children()
    if launcher.adopter is not None:
        with suppress(psutil.Error):  # it is gone, and ends us
            found += psutil.Process(launcher.adopter).children()
    return found


def resident_bytes(process: psutil.Process) -> int:
    """What of a process is in memory, with all that it shares."""
    with suppress(psutil.Error):
        return int(process.memory_info().rss)
    return 0


def proportional_bytes(process: psutil.Process) -> int:
    """The same with its share of what it shares, where the system tells that."""
    with suppress(psutil.Error):
        return int(process.memory_full_info().pss)
    return resident_bytes(process)


def is_alive(process: psutil.Process) -> bool:
    """Whether it still runs; a zombie does not."""
    with suppress(psutil.Error):
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    return False


class Usage:
    """A script's use of what its task shares with others. To be made before the script starts."""

    def __init__(self, spec: ScriptSpec, job: Job, place: Place, group: Group) -> None:
        self.processes = Processes(place.uid)
        self.group = group
        self.memory_limit = spec.resources.memory_mb
        self.disk_limit = spec.max_disk_mb
        # Checkpoints that it has announced are copied, so they count where the copies are, too.
        self.copied = {place.output, place.checkpoints, Path(job.checkpoint_dir)}
        self.directories = {place.home, place.code} | place.scratch
        self._devices = {path.stat().st_dev for path in self.copied | self.directories}
        self._owner = os.geteuid() if place.uid is None else place.uid
        self._laid_out = self._written()
        self._weighed = self._measured = time.monotonic()
        self._pause = LOOK_SECONDS

    def look(self) -> None:
        """Look at both, each once in a while.

        Raises:
            JobError: when it uses more than it may.
        """
        now = time.monotonic()
        if now - self._weighed >= LOOK_SECONDS:
            self._weighed = now
            self.require_memory()
        if now - self._measured >= self._pause:
            self.require_disk()
            self._measured = time.monotonic()
            self._pause = max(LOOK_SECONDS, PAUSE * (self._measured - now))

    def require_memory(self) -> None:
        """See that it has not more memory than it asked for.

        Raises:
            JobError: when it has.
        """
        if not self.memory_limit:
            return
        if self.group.bounds_memory:
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
        """Raise an error if the script has written more than it may.

        Files without a name count as long as its processes hold them open or mapped.

        Raises:
            JobError: it has written more than ``max_disk_mb``.
        """
        if self.disk_limit is None:
            return
        pids = [member.pid for member in self.processes.members()]
        unlinked = unlinked_bytes(pids, self._devices, self._owner)
        used = (self._written() + unlinked - self._laid_out) // MIB
        if used > self.disk_limit:
            raise JobError(
                f"The script has written {used} MiB to its directories and may write "
                f"{self.disk_limit}; max_disk_mb allows more."
            )

    def _written(self) -> int:
        return written_bytes(copied=self.copied, others=self.directories)


def written_bytes(*, copied: set[Path], others: set[Path]) -> int:
    """Return what the files below take up on the disk. A file with several names counts once.

    Below ``copied`` a file counts with all its bytes, holes included, as a copy may take them up.

    Raises:
        JobError: for directories below each other that are more than can be counted.
    """
    count = Count()
    for holes, directories in ((True, copied), (False, others)):
        count.holes = holes
        for directory in directories:
            with suppress(OSError):  # a script may have removed it
                count.below(os.open(directory, DIRECTORY), DEEPEST)
    return count.total


class Count:
    """A count of bytes below directories. ``holes``: a file counts with its holes."""

    def __init__(self) -> None:
        self.holes = False
        self.total = 0
        self._seen: set[tuple[int, int]] = set()

    def below(self, directory: int, depth: int) -> None:
        """Count what is in an open directory, and close it; links are counted, not followed."""
        try:
            with os.scandir(directory) as entries:
                for entry in entries:
                    with suppress(OSError):  # it is gone, or became something else
                        self._entry(entry, directory, depth)
        finally:
            os.close(directory)

    def _entry(self, entry: os.DirEntry[str], directory: int, depth: int) -> None:
        found = entry.stat(follow_symlinks=False)
        taken = max(found.st_blocks * 512, ENTRY_BYTES)
        if stat.S_ISDIR(found.st_mode):
            if depth == 0:
                raise JobError(
                    f"The script has made more than {DEEPEST} directories below each other."
                )
            self.total += taken
            self.below(os.open(entry.name, DIRECTORY, dir_fd=directory), depth - 1)
            return
        if found.st_nlink > 1:
            key = (found.st_dev, found.st_ino)
            if key in self._seen:
                return
            self._seen.add(key)
        if self.holes and stat.S_ISREG(found.st_mode):
            taken = max(taken, found.st_size)
        self.total += taken
