"""The home: the directory that holds all files of one embedded platform, and its lock.

Only the process that has locked the lock file may use the home. The kernel releases the lock when
that process dies, so a lock can't be stale.
"""

import fcntl
import hashlib
import os
import shlex
import shutil
import stat
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aiplatform.embedded.errors import HomeUnusableError, disk_full, from_os_error
from aiplatform.language import tr
from aiplatform.protocol.platform_home import STATE_FILE, home_directory

MINIMUM_FREE_BYTES = 200 * 1024 * 1024
"""Free disk space, in bytes, below which ``up`` does not start.

A new database takes 40 MiB, and its write-ahead log soon takes as much again.
"""

LOCK_SECONDS = 1.0
"""Seconds to wait for the lock, because a supervisor that was just killed may still hold it."""

MAX_SOCKET_PATH = 103
"""Length in bytes of the longest unix socket path, without the final NUL; Linux allows 4 more."""


@dataclass(frozen=True)
class Home:
    """A home directory, with the paths of everything in it."""

    root: Path

    @classmethod
    def resolve(cls, given: Path | None = None, environ: Mapping[str, str] = os.environ) -> "Home":
        """Return the home ``given``, or else ``AIPLATFORM_HOME``, or else the user's default.

        Raises:
            HomeUnusableError: If the path can't be resolved.
        """
        root = home_directory(given, environ)
        try:
            return cls(root.resolve())
        except OSError as error:
            raise from_os_error(error, root) from error
        except RuntimeError as error:  # raised by pathlib for a loop of symbolic links
            raise HomeUnusableError(tr("{root} is a loop of symbolic links.", root=root)) from error

    @property
    def postgres(self) -> Path:
        """The directory for PostgreSQL's files; its subdirectory ``data`` is the data directory."""
        return self.root / "postgres"

    @property
    def valkey(self) -> Path:
        """The directory for Valkey's append-only files."""
        return self.root / "valkey"

    @property
    def blobs(self) -> Path:
        """The directory for blobs: files named by the hash of their content."""
        return self.root / "blobs"

    @property
    def logs(self) -> Path:
        """The directory for logs, one per process."""
        return self.root / "logs"

    @property
    def run(self) -> Path:
        """The directory for files about the running platform: lock and state."""
        return self.root / "run"

    @property
    def lock_file(self) -> Path:
        """The file that the supervisor keeps locked while it is alive."""
        return self.run / "lock"

    @property
    def state_file(self) -> Path:
        """The file with the supervisor's state; see :mod:`aiplatform.embedded.state`."""
        return self.root / STATE_FILE

    def command(self, name: str) -> str:
        """Return the command ``aiplatform NAME``, with ``--home`` if this home needs it."""
        if home_directory().resolve() == self.root:
            return f"aiplatform {name}"
        return f"aiplatform {name} --home {shlex.quote(str(self.root))}"

    def prepare(self) -> None:
        """Create the directories, and check that they can be written to.

        Raises:
            HomeUnusableError: If the home is read-only, full, not a directory, or someone else's.
        """
        try:
            if not self.root.exists():
                self.root.mkdir(parents=True, mode=0o700)
            for name in ("postgres", "valkey", "blobs", "logs", "run", "spool", "work"):
                (self.root / name).mkdir(exist_ok=True, mode=0o700)
            if os.geteuid() == 0:
                # PostgreSQL then runs as another user, who must be able to enter these directories,
                # but need not list them.
                for directory in (self.root, self.postgres):
                    directory.chmod(directory.stat().st_mode | 0o011)
            probe = self.run / f".probe-{os.getpid()}"
            probe.write_bytes(b"\0" * 4096)
            probe.unlink()
            free = shutil.disk_usage(self.root).free
        except OSError as error:
            raise from_os_error(error, self.root) from error
        if free < MINIMUM_FREE_BYTES:
            raise disk_full(self.root)

    def lock(self) -> int | None:
        """Lock the home and return a file descriptor; None if another process holds the lock.

        The lock lasts until the descriptor is closed.

        Raises:
            HomeUnusableError: If the lock file can't be opened or locked.
        """
        deadline = time.monotonic() + LOCK_SECONDS
        try:
            # On NFS, an exclusive lock needs a descriptor that is open for writing.
            descriptor = os.open(self.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        os.close(descriptor)
                        return None
                    time.sleep(0.05)
                else:
                    return descriptor
        except OSError as error:
            raise from_os_error(error, self.root) from error


def socket_directory(home: Home) -> Path:
    """Create a private directory for this home's sockets, with a short path, and return it.

    Its name is derived from the user and the home, so a second start gets the same directory. If
    someone else owns a directory with that name, another name is chosen.

    Raises:
        HomeUnusableError: If no such directory can be created.
    """
    digest = hashlib.sha256(f"{os.geteuid()}:{home.root}".encode()).hexdigest()[:16]
    base = Path(tempfile.gettempdir())
    # The longest path below the directory is that of the lock beside PostgreSQL's socket.
    if len(os.fsencode(base / f"aiplatform-{digest}-123456" / "postgres/.s.PGSQL.5432.lock")) > (
        MAX_SOCKET_PATH
    ):
        base = Path("/tmp")  # noqa: S108  (the directory is made exclusively and checked below)
    try:
        for attempt in range(100):
            path = base / (f"aiplatform-{digest}" + (f"-{attempt}" if attempt else ""))
            path.mkdir(mode=0o711, exist_ok=True)
            found = path.lstat()
            if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid():
                path.chmod(0o711)
                return path
    except OSError as error:
        raise from_os_error(error, base) from error
    raise HomeUnusableError(
        tr("No directory for sockets could be created in {base}.", base=base),
        tr("Set TMPDIR to a directory that you can write and whose path is short."),
    )
