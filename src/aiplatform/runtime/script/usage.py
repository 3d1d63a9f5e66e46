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
from aiplatform.runtime.script.place import Place

MIB = 1 << 20
LOOK_SECONDS = 1.0
PAUSE = 20
"""How many times as long as a look at the disk took nobody looks again."""

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

    def end(self) -> None:
        """Kill all of them, and what they start meanwhile."""
        for _ in range(100):
            alive = [member for member in self.members() if is_alive(member)]
            if not alive:
                return
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

    def __init__(self, spec: ScriptSpec, job: Job, place: Place) -> None:
        self.processes = Processes(place.uid)
        self.memory_limit = spec.resources.memory_mb
        self.disk_limit = spec.max_disk_mb
        # Checkpoints that it has announced are copied, so they count where the copies are, too.
        self.directories = {
            place.home, place.code, place.output, place.checkpoints, Path(job.checkpoint_dir),
        }  # fmt: skip
        self._laid_out = written_bytes(self.directories)
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
        used = self.processes.memory_mb(self.memory_limit)
        if used > self.memory_limit:
            raise JobError(
                f"The script used {used} MiB of memory and had asked for {self.memory_limit}. "
                "Ask for more in resources.memory_mb."
            )

    def require_disk(self) -> None:
        """See that what it has written is not more than it may.

        Raises:
            JobError: when it is.
        """
        if self.disk_limit is None:
            return
        used = (written_bytes(self.directories) - self._laid_out) // MIB
        if used > self.disk_limit:
            raise JobError(
                f"The script has written {used} MiB to its directories and may write "
                f"{self.disk_limit}; max_disk_mb allows more."
            )


def written_bytes(directories: set[Path]) -> int:
    """What the files below take up on the disk. A file with several names counts once.

    Raises:
        JobError: for directories below each other that are more than can be counted.
    """
    seen: set[tuple[int, int]] = set()
    total = 0
    for directory in directories:
        with suppress(OSError):  # a script may have removed it
            total += _below(os.open(directory, DIRECTORY), DEEPEST, seen)
    return total


def _below(directory: int, depth: int, seen: set[tuple[int, int]]) -> int:
    """What is in an open directory, which is closed; links are counted and not followed."""
    total = 0
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                with suppress(OSError):  # it is gone, or became something else
                    total += _entry(entry, directory, depth, seen)
    finally:
        os.close(directory)
    return total


def _entry(entry: os.DirEntry[str], directory: int, depth: int, seen: set[tuple[int, int]]) -> int:
    found = entry.stat(follow_symlinks=False)
    taken = max(found.st_blocks * 512, ENTRY_BYTES)
    if stat.S_ISDIR(found.st_mode):
        if depth == 0:
            raise JobError(f"The script has made more than {DEEPEST} directories below each other.")
        inside = os.open(entry.name, DIRECTORY, dir_fd=directory)
        return taken + _below(inside, depth - 1, seen)
    if found.st_nlink > 1:
        key = (found.st_dev, found.st_ino)
        if key in seen:
            return 0
        seen.add(key)
    return taken
