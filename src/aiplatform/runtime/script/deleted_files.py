"""Measurement of deleted files that processes still have open or mapped.

Such a file occupies disk space until the last process closes it, although no directory lists it.
"""

import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

PROCESSES = Path("/proc")


def deleted_bytes(pids: Iterable[int], devices: set[int], owner: int) -> int:
    """Return the bytes on disk of deleted files that processes have open or mapped.

    Files of other users don't count, such as a library that was replaced while in use. A file
    counts only once, even if several processes have it open.

    Args:
        pids: Ids of the processes to check.
        devices: The file systems that count, by device number.
        owner: The user id whose files count.
    """
    found: dict[tuple[int, int], int] = {}
    for pid in pids:
        for path in open_files(pid):
            with suppress(OSError):  # closed in the meantime
                file = path.stat()
                if (
                    file.st_nlink == 0
                    and stat.S_ISREG(file.st_mode)
                    and file.st_dev in devices
                    and file.st_uid == owner
                ):
                    found[file.st_dev, file.st_ino] = file.st_blocks * 512
    return sum(found.values())


def open_files(pid: int) -> Iterator[Path]:
    """Yield links to a process's open files and to the deleted files that it has mapped.

    Each thread may have its own descriptors. Mappings are shared by all threads and are listed for
    each thread that is still running.
    """
    mapped = False
    for thread in entries(PROCESSES / str(pid) / "task"):
        # /proc/TID exists for each thread, although it is not listed. Unlike the directory below
        # `task`, it has `map_files`.
        directory = PROCESSES / thread.name
        yield from entries(directory / "fd")
        if not mapped:
            for mapping in deleted_mappings(directory):
                mapped = True
                yield mapping


def entries(directory: Path) -> list[Path]:
    """Return the entries of a directory; empty if it has disappeared or can't be read."""
    with suppress(OSError):
        return list(directory.iterdir())
    return []


def deleted_mappings(process: Path) -> Iterator[Path]:
    """Yield links to the mapped files that the system lists as deleted."""
    lines: list[bytes] = []
    with suppress(OSError):
        lines = (process / "maps").read_bytes().splitlines()
    for line in lines:
        if line.endswith(b" (deleted)"):
            start, end = (int(address, 16) for address in line.split(b" ", 1)[0].split(b"-"))
            yield process / "map_files" / f"{start:x}-{end:x}"
