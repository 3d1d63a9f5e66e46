"""Where a script runs: its code, its inputs, where it writes, and as whom.

As root, a script gets a user id that no other process has, and a place that only this user and root
can enter; what it leaves is copied out afterwards, without following a link. Otherwise it runs as
the worker's user, in the attempt's directory.
"""

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

import psutil

from aiplatform.data.bundles import BundleError, unpack
from aiplatform.protocol.messages import SCRIPT_USER_FILE, Job
from aiplatform.runtime.channel import JobError
from aiplatform.runtime.script.cgroups import Group

FIRST_UID = 2_000_000_000
"""Far above what people and services have; the process id that is added makes it unique here."""

PROCESS_IDS = 1 << 22
"""More than Linux ever gives out at one time."""

GENERATIONS = 64
"""How many user ids there are for each process id, should others still be in use."""

PREFIX = "aiplatform-script-"
LOCK = ".lock"

MAX_KEPT_FILES = 10_000
COPIED_AT_ONCE = 1 << 20


@dataclass(frozen=True, slots=True)
class Place:
    """Paths as the script sees them. ``uid`` is None where it has the worker's."""

    root: Path
    home: Path
    code: Path
    inputs: Path
    output: Path
    checkpoints: Path
    resume: Path | None
    uid: int | None

    @property
    def scratch(self) -> set[Path]:
        """The directories that it finds as ``/tmp`` and ``/var/tmp``, where those are its own."""
        return {self.root / "tmp", self.root / "var-tmp"} if self.uid is not None else set()

    def take(self, source: Path, target: Path, limit: int | None = None) -> None:
        """Copy what the script has written, or leave it where the runner looks for it.

        Raises:
            JobError: for what is no regular file of its own, or more than ``limit`` bytes.
        """
        if self.uid is not None:
            copy_own(source, target, self.uid, limit)

    def take_again(self, source: Path, target: Path, limit: int | None = None) -> None:
        """Do the same as :meth:`take`, but replace a target that is already there.

        The target appears only when it is complete, and a failure leaves the earlier one in place.

        Raises:
            JobError: for what is no regular file of its own, or more than ``limit`` bytes.
            OSError: the system refuses, for example because a name is too long.
        """
        if self.uid is None:
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        # Its name is short, whatever the length of the target's.
        working = Path(tempfile.mkdtemp(prefix=".", dir=target.parent))
        new, old = working / "new", working / "old"
        try:
            copy_own(source, new, self.uid, limit)
            if os.path.lexists(target):
                target.rename(old)
            try:
                new.rename(target)
            except OSError:
                if os.path.lexists(old):
                    old.rename(target)
                raise
        finally:
            remove(working)


@contextmanager
def place_of(job: Job, directory: Path) -> Iterator[Place]:
    """Lay a job's code and inputs out; everything of it is gone afterwards.

    Raises:
        JobError: when the bundle can't be unpacked.
    """
    if os.geteuid() != 0:
        yield _lay_out(job, directory / "script", None)
        return
    remove_leftovers()
    # Not below the platform's home, which other users can't enter.
    root = Path(tempfile.mkdtemp(prefix=PREFIX, dir="/var/tmp"))
    uid = free_uid()
    try:
        os.chown(root, 0, uid)
        root.chmod(0o710)
        (directory / SCRIPT_USER_FILE).write_text(str(uid))
        with (root / f"{LOCK}.new").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # Under its name it is never seen unlocked, so nobody takes this place for a leftover.
            (root / f"{LOCK}.new").rename(root / LOCK)
            yield _lay_out(job, root, uid)
    finally:
        remove(root)


def free_uid() -> int:
    """Return a user id that no process on this machine has, nor gets from another runtime.

    Raises:
        JobError: when processes of earlier scripts hold all of them.
    """
    used: set[int] = set()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            used.update(process.uids())
    for generation in range(GENERATIONS):
        uid = FIRST_UID + generation * PROCESS_IDS + os.getpid()
        if uid not in used:
            return uid
    raise JobError("Processes of earlier scripts can't be ended. Restart the worker's machine.")


def remove_leftovers() -> None:
    """Remove the places of scripts whose process was killed: nobody holds their locks any more.

    What is left of their processes is ended.
    """
    for path in Path("/var/tmp").glob(f"{PREFIX}*"):  # noqa: S108
        # One that is just being made or removed has no lock to be had, and is left alone.
        with contextlib.suppress(OSError):
            if path.lstat().st_uid != 0 or path.is_symlink():
                continue
            with (path / LOCK).open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                group = Group.existing(path.name)
                group.kill()
                group.remove()
                remove(path)


def remove(root: Path) -> None:
    """Remove a place that nobody uses any more, whatever depth its directories were given.

    Raises:
        OSError: when the system refuses.
    """
    while directories := [path for path in root.iterdir() if is_directory(path)]:
        for directory in directories:
            for path in directory.iterdir():
                if is_directory(path):
                    # Up, so that no path grows too long and nothing is held open for what is below.
                    path.rename(root / uuid4().hex)
                else:
                    path.unlink()
            directory.rmdir()
    for path in root.iterdir():
        path.unlink()
    root.rmdir()


def _lay_out(job: Job, root: Path, uid: int | None) -> Place:
    code, inputs = root / "code", root / "inputs"
    own = uid is not None
    place = Place(
        root=root,
        home=root / "home",
        code=code,
        inputs=inputs,
        output=root / "output" if own else Path(job.output_dir),
        checkpoints=root / "checkpoints" if own else Path(job.checkpoint_dir),
        resume=None if job.resume_from is None else root / "resume",
        uid=uid,
    )
    try:
        unpack(Path(job.inputs["code"]), code)
    except BundleError as error:
        raise JobError(f"The code bundle can't be used: {error}.") from error
    inputs.mkdir()
    for role, path in job.inputs.items():
        if role != "code":
            lay(Path(path), inputs / role)
    if place.resume is not None and job.resume_from is not None:
        lay(Path(job.resume_from), place.resume)
    for directory in (place.home, place.output, place.checkpoints):
        directory.mkdir(exist_ok=True)
    if uid is not None:
        for directory in (place.home, place.output, place.checkpoints, code):
            os.chown(directory, uid, uid)
            directory.chmod(0o700)
        give(code, uid)
        for directory in place.scratch:
            directory.mkdir()
            directory.chmod(0o1777)
        for tree in (inputs, place.resume):
            open_directories(tree, uid)
    return place


def is_directory(path: Path) -> bool:
    """Whether it is one itself, and no link to one."""
    return path.is_dir() and not path.is_symlink()


def open_directories(tree: Path | None, gid: int) -> None:
    """Let one group, and nobody else, read the directories of a tree that root owns."""
    if tree is not None:
        for directory in (tree, *(path for path in tree.rglob("*") if path.is_dir())):
            os.chown(directory, 0, gid)
            directory.chmod(0o750)


def give(directory: Path, uid: int) -> None:
    """Make ``uid`` the owner of a tree that nobody else has touched yet."""
    os.chown(directory, uid, uid)
    for path in directory.rglob("*"):
        os.chown(path, uid, uid, follow_symlinks=False)


def lay(source: Path, target: Path) -> None:
    """Make ``target`` the same file or tree, readable by everybody and writable by nobody else."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        target.mkdir()
        for path in source.iterdir():
            lay(path, target / path.name)
        return
    if source.suffix == ".parquet" and not target.suffix:
        target = target.with_suffix(source.suffix)
    if source.stat().st_mode & stat.S_IROTH:
        with contextlib.suppress(OSError):  # another file system
            os.link(source, target)
            return
    shutil.copyfile(source, target)
    target.chmod(0o444)


def copy_own(source: Path, target: Path, uid: int, limit: int | None = None) -> None:
    """Copy a tree that ``uid`` can still change: nothing is followed, only its own files count.

    A file counts with all its bytes, holes included, before the first of them is read; one that
    grows meanwhile is not read further.

    Raises:
        JobError: for a link, a device, a file of somebody else, or more than ``limit`` bytes.
    """
    left = Allowance(limit)
    for directory, _, names, descriptor in os.fwalk(source, follow_symlinks=False):
        inside = target / Path(directory).relative_to(source)
        inside.mkdir(parents=True, exist_ok=True)
        for name in names:
            shown = ascii(f"{Path(directory).relative_to(source.parent)}/{name}")
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
            try:
                opened = os.open(name, flags, dir_fd=descriptor)
            except OSError as error:
                raise JobError(f"{shown} can't be kept: {error.strerror}.") from error
            with os.fdopen(opened, "rb") as content:
                found = os.fstat(opened)
                if not stat.S_ISREG(found.st_mode) or found.st_uid != uid:
                    raise JobError(f"{shown} can't be kept: it is no file of its own.")
                left.take(found.st_size, shown)
                with (inside / name).open("xb") as output:
                    copy_bytes(content, output, found.st_size)


class Allowance:
    """What may still be copied: files, and bytes where there is a limit."""

    def __init__(self, limit: int | None) -> None:
        self.limit = self.left = limit
        self.files = 0

    def take(self, size: int, name: str) -> None:
        """Count one more file.

        Raises:
            JobError: when it is one too many, or larger than what is left.
        """
        self.files += 1
        if self.files > MAX_KEPT_FILES:
            raise JobError(
                f"The script has left more than {MAX_KEPT_FILES} files. Put them into an archive."
            )
        if self.left is None or self.limit is None:
            return
        if size > self.left:
            raise JobError(
                f"{name} has {size} bytes, holes included: with it the script has written more "
                f"than it may write, {self.limit >> 20} MiB; max_disk_mb allows more."
            )
        self.left -= size


def copy_bytes(content: BinaryIO, output: BinaryIO, size: int) -> None:
    """Copy ``size`` bytes or what there is of them, and leave holes where there are only zeros."""
    while size > 0 and (data := content.read(min(size, COPIED_AT_ONCE))):
        size -= len(data)
        if data.count(0) == len(data):
            output.seek(len(data), os.SEEK_CUR)
        else:
            output.write(data)
    output.truncate()
