"""The directories of a script (code, inputs, output and so on), and the user that it runs as.

If the worker runs as root, each script gets a user id that no other process has and a directory
that only this user and root can enter. The script's output is copied from there without following
links. Otherwise the script runs as the worker's user in the attempt's directory.
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
"""Smallest user id for scripts, above those of users and services; a process id is added."""

PROCESS_IDS = 1 << 22
"""Linux's upper limit for process ids."""

GENERATIONS = 64
"""Number of user ids to try for each process id, in case some are still in use."""

PREFIX = "aiplatform-script-"
LOCK = ".lock"

MAX_KEPT_FILES = 10_000
COPY_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class ScriptDirectories:
    """The directories of one script. ``uid`` is None if it runs as the worker's user."""

    root: Path
    home: Path
    code: Path
    inputs: Path
    output: Path
    checkpoints: Path
    resume: Path | None
    uid: int | None

    @property
    def temporary(self) -> set[Path]:
        """The directories that become ``/tmp`` and ``/var/tmp`` for a script with its own user."""
        return {self.root / "tmp", self.root / "var-tmp"} if self.uid is not None else set()

    def copy_output(self, source: Path, target: Path, limit: int | None = None) -> None:
        """Copy files to ``target`` if the script has its own user.

        Scripts without their own user write directly to the final directories.

        Raises:
            JobError: An entry is not a regular file of the script, or there are more than ``limit``
                bytes.
        """
        if self.uid is not None:
            copy_owned_files(source, target, self.uid, limit)

    def replace_output(self, source: Path, target: Path, limit: int | None = None) -> None:
        """Copy files as :meth:`copy_output` does, but replace an existing target.

        The new target appears only once it is complete. A failure leaves the old one in place.

        Raises:
            JobError: An entry is not a regular file of the script, or there are more than ``limit``
                bytes.
            OSError: A file can't be written, for example because its name is too long.
        """
        if self.uid is None:
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        # Use a random name, because one derived from the target's could become too long.
        working = Path(tempfile.mkdtemp(prefix=".", dir=target.parent))
        new, old = working / "new", working / "old"
        try:
            copy_owned_files(source, new, self.uid, limit)
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
def script_directories(job: Job, directory: Path) -> Iterator[ScriptDirectories]:
    """Yield the directories for a job's script, containing its code and inputs.

    If the script has its own user, the directories are removed afterwards.

    Raises:
        JobError: The bundle can't be unpacked.
    """
    if os.geteuid() != 0:
        yield _prepare(job, directory / "script", None)
        return
    remove_leftovers()
    # Other users can't enter the platform's home.
    root = Path(tempfile.mkdtemp(prefix=PREFIX, dir="/var/tmp"))
    uid = free_uid()
    try:
        os.chown(root, 0, uid)
        root.chmod(0o710)
        (directory / SCRIPT_USER_FILE).write_text(str(uid))
        with (root / f"{LOCK}.new").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # Renamed only once it is locked, so that remove_leftovers() never sees it unlocked.
            (root / f"{LOCK}.new").rename(root / LOCK)
            yield _prepare(job, root, uid)
    finally:
        remove(root)


def free_uid() -> int:
    """Return a user id that no process on this machine has and no other script will get.

    Raises:
        JobError: Processes of earlier scripts still use all user ids that were tried.
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
    """Remove the directories of killed script jobs, and kill the processes that are left."""
    for path in Path("/var/tmp").glob(f"{PREFIX}*"):  # noqa: S108
        # A script's directory is in use, or being created or removed, unless its lock is free.
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
    """Remove a script's directories, even very deep ones.

    Raises:
        OSError: A file or directory can't be removed.
    """
    while directories := [path for path in root.iterdir() if is_directory(path)]:
        for directory in directories:
            for path in directory.iterdir():
                if is_directory(path):
                    # Move it up instead of descending into it, so that paths stay short and no
                    # directories have to be kept open.
                    path.rename(root / uuid4().hex)
                else:
                    path.unlink()
            directory.rmdir()
    for path in root.iterdir():
        path.unlink()
    root.rmdir()


def _prepare(job: Job, root: Path, uid: int | None) -> ScriptDirectories:
    code, inputs = root / "code", root / "inputs"
    own = uid is not None
    directories = ScriptDirectories(
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
            link_or_copy(Path(path), inputs / role)
    if directories.resume is not None and job.resume_from is not None:
        link_or_copy(Path(job.resume_from), directories.resume)
    for directory in (directories.home, directories.output, directories.checkpoints):
        directory.mkdir(exist_ok=True)
    if uid is not None:
        for directory in (directories.home, directories.output, directories.checkpoints, code):
            os.chown(directory, uid, uid)
            directory.chmod(0o700)
        change_owner(code, uid)
        for directory in directories.temporary:
            directory.mkdir()
            directory.chmod(0o1777)
        for tree in (inputs, directories.resume):
            allow_group_to_read(tree, uid)
    return directories


def is_directory(path: Path) -> bool:
    """Return True if ``path`` is a directory and not a link to one."""
    return path.is_dir() and not path.is_symlink()


def allow_group_to_read(tree: Path | None, gid: int) -> None:
    """Allow only root and the group ``gid`` to read the directories of a tree."""
    if tree is not None:
        for directory in (tree, *(path for path in tree.rglob("*") if path.is_dir())):
            os.chown(directory, 0, gid)
            directory.chmod(0o750)


def change_owner(directory: Path, uid: int) -> None:
    """Make ``uid`` the owner of a tree that so far only root could change."""
    os.chown(directory, uid, uid)
    for path in directory.rglob("*"):
        os.chown(path, uid, uid, follow_symlinks=False)


def link_or_copy(source: Path, target: Path) -> None:
    """Link or copy a file or tree to ``target``, readable by everyone, writable by its owner only.

    A single Parquet file keeps its suffix if the target has none.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        target.mkdir()
        for path in source.iterdir():
            link_or_copy(path, target / path.name)
        return
    if source.suffix == ".parquet" and not target.suffix:
        target = target.with_suffix(source.suffix)
    if source.stat().st_mode & stat.S_IROTH:
        with contextlib.suppress(OSError):  # it is on another file system
            os.link(source, target)
            return
    shutil.copyfile(source, target)
    target.chmod(0o444)


def copy_owned_files(source: Path, target: Path, uid: int, limit: int | None = None) -> None:
    """Copy a tree that the user ``uid`` may be changing, without following links.

    Each file's size, including holes, is counted before the file is read. If the file grows in the
    meantime, the additional bytes are not copied.

    Raises:
        JobError: The tree contains a link, a device, another user's file, or more than ``limit``
            bytes.
    """
    limits = CopyLimits(limit)
    for directory, _, names, descriptor in os.fwalk(source, follow_symlinks=False):
        inside = target / Path(directory).relative_to(source)
        inside.mkdir(parents=True, exist_ok=True)
        for name in names:
            display_name = ascii(f"{Path(directory).relative_to(source.parent)}/{name}")
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
            try:
                opened = os.open(name, flags, dir_fd=descriptor)
            except OSError as error:
                raise JobError(f"{display_name} can't be kept: {error.strerror}.") from error
            with os.fdopen(opened, "rb") as content:
                found = os.fstat(opened)
                if not stat.S_ISREG(found.st_mode) or found.st_uid != uid:
                    raise JobError(f"{display_name} can't be stored: it is not a regular file.")
                limits.count_file(found.st_size, display_name)
                with (inside / name).open("xb") as output:
                    copy_bytes(content, output, found.st_size)


class CopyLimits:
    """The number of files and bytes that may still be copied."""

    def __init__(self, limit: int | None) -> None:
        self.limit = self.bytes_left = limit
        self.files = 0

    def count_file(self, size: int, name: str) -> None:
        """Count one more file.

        Raises:
            JobError: There are too many files, or the file has more bytes than may still be copied.
        """
        self.files += 1
        if self.files > MAX_KEPT_FILES:
            raise JobError(
                f"The script has left more than {MAX_KEPT_FILES} files. Put them into an archive."
            )
        if self.bytes_left is None or self.limit is None:
            return
        if size > self.bytes_left:
            raise JobError(
                f"{name} has {size} bytes, holes included: with it the script has written more "
                f"than it may write, {self.limit >> 20} MiB; max_disk_mb allows more."
            )
        self.bytes_left -= size


def copy_bytes(content: BinaryIO, output: BinaryIO, size: int) -> None:
    """Copy at most ``size`` bytes; turn blocks of zeros into holes."""
    while size > 0 and (data := content.read(min(size, COPY_CHUNK_BYTES))):
        size -= len(data)
        if data.count(0) == len(data):
            output.seek(len(data), os.SEEK_CUR)
        else:
            output.write(data)
    output.truncate()
