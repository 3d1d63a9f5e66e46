"""The home: one directory that holds everything of one embedded platform.

Whoever holds the lock file's lock owns the home; the kernel lets go of it when that process dies,
so a lock can't be stale.
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
from aiplatform.protocol.local import STATE_FILE, home_directory

MINIMUM_FREE_BYTES = 200 * 1024 * 1024
"""A fresh database takes 40 MiB, its write-ahead log soon as much again."""

LOCK_PATIENCE = 1.0
"""Seconds to wait for the lock: a supervisor that was just killed may not be gone yet."""

MAX_SOCKET_PATH = 103
"""macOS allows 103 bytes and the closing NUL for a unix socket's path, Linux four more."""


@dataclass(frozen=True)
class Home:
    """The layout below one home directory."""

    root: Path

    @classmethod
    def resolve(cls, given: Path | None = None, environ: Mapping[str, str] = os.environ) -> "Home":
        """``given``, else ``AIPLATFORM_HOME``, else the user's data directory."""
        root = home_directory(given, environ)
        try:
            return cls(root.resolve())
        except OSError as error:
            raise from_os_error(error, root) from error
        except RuntimeError as error:  # pathlib's word for a loop of symbolic links
            raise HomeUnusableError(tr("{root} is a loop of symbolic links.", root=root)) from error

    @property
    def postgres(self) -> Path:
        """What PostgreSQL needs; its data directory is ``data`` below."""
        return self.root / "postgres"

    @property
    def valkey(self) -> Path:
        """Valkey's append-only files."""
        return self.root / "valkey"

    @property
    def blobs(self) -> Path:
        """Content-addressed files."""
        return self.root / "blobs"

    @property
    def logs(self) -> Path:
        """One log per process."""
        return self.root / "logs"

    @property
    def run(self) -> Path:
        """The state of what is running now."""
        return self.root / "run"

    @property
    def lock_file(self) -> Path:
        """Locked by the supervisor as long as it lives."""
        return self.run / "lock"

    @property
    def state_file(self) -> Path:
        """What the supervisor last said about itself, see :mod:`aiplatform.embedded.state`."""
        return self.root / STATE_FILE

    def command(self, name: str) -> str:
        """Return the command `aiplatform NAME` as it has to be typed for this home."""
        if home_directory().resolve() == self.root:
            return f"aiplatform {name}"
        return f"aiplatform {name} --home {shlex.quote(str(self.root))}"

    def prepare(self) -> None:
        """Make the directories and see that they can be written.

        Raises:
            HomeUnusableError: read-only, full, not a directory, or not ours.
        """
        try:
            if not self.root.exists():
                self.root.mkdir(parents=True, mode=0o700)
            for name in ("postgres", "valkey", "blobs", "logs", "run", "spool", "work"):
                (self.root / name).mkdir(exist_ok=True, mode=0o700)
            if os.geteuid() == 0:
                # PostgreSQL runs as another user then, who must pass through, though not look.
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
        """Lock the home; the lock lasts as long as the returned descriptor is open.

        None when another process holds it.
        """
        deadline = time.monotonic() + LOCK_PATIENCE
        try:
            # Read and write, so that no reader can be mistaken for the owner on NFS.
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
    """A private directory for this home's sockets, with a path short enough for them.

    It hangs on the user and the home, so a second start finds the first one's. It can't be
    squatted: a directory that someone else made is left alone and another name is taken.

    Raises:
        HomeUnusableError: when there is no place for it.
    """
    digest = hashlib.sha256(f"{os.geteuid()}:{home.root}".encode()).hexdigest()[:16]
    base = Path(tempfile.gettempdir())
    # "valkey/valkey.sock" and "postgres/.s.PGSQL.5432" come below it.
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
        tr("No directory for sockets could be made in {base}.", base=base),
        tr("Set TMPDIR to a directory that you can write and whose path is short."),
    )
