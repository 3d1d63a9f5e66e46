"""The private PostgreSQL: our launcher around somebody's binaries.

It listens on a unix socket in a directory that only we can enter, and nowhere else; that is why
``trust`` is enough there. Migrations run as ``aiplatform``, who owns the database and is no
superuser; the running platform connects as ``aiplatform_runtime``, who owns nothing.
"""

import os
import shutil
import signal
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from aiplatform.embedded.binaries import (
    POSTGRES_SETTING,
    PostgresBinaries,
    find_postgres,
    runnable_by,
)
from aiplatform.embedded.datadir import check_reachable, check_version, server_account
from aiplatform.embedded.errors import (
    EmbeddedError,
    HomeUnusableError,
    StartFailedError,
    WrongDataVersionError,
    disk_full,
    from_os_error,
)
from aiplatform.embedded.home import Home
from aiplatform.embedded.process import Account, end_process, identity
from aiplatform.embedded.service import Service, StopSteps
from aiplatform.language import tr

OWNER = "aiplatform"
RUNTIME = "aiplatform_runtime"
DATABASE = "ai_platform"
PORT = 5432
"""PostgreSQL names its socket after a port, though it doesn't listen on one here."""

FAST_STOP: StopSteps = (
    (signal.SIGINT, 30.0),  # "fast": sessions are ended, everything is written
    (signal.SIGQUIT, 5.0),  # "immediate": recovers from the log at the next start
    (signal.SIGKILL, 5.0),
)

BUSY = (
    "pre-existing shared memory block",
    "is already in use",
    "the database system is shutting down",
)
"""What a start says while the processes of a killed predecessor are still ending."""

TUNING = """
# Added by AI Platform when it made this directory. Edit freely: it is not written again.
max_connections = 200
jit = off                        # many short statements
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %q%u@%d '
max_wal_size = '512MB'
"""


@dataclass(frozen=True)
class Postgres:
    """How one home's PostgreSQL is made, started and reached."""

    home: Home
    binaries: PostgresBinaries
    account: Account | None
    sockets: Path

    @classmethod
    def locate(cls, home: Home, sockets: Path, environ: Mapping[str, str]) -> "Postgres":
        """Find the binaries and the user, and make what the server needs around its data.

        Raises:
            EmbeddedError: with a remedy, whatever is missing or in the way.
        """
        data = home.postgres / "data"
        account = server_account(data)
        found = find_postgres(environ)
        check_version(data, found)
        if account is not None:
            check_reachable(home.postgres, account)
        binaries = runnable_by(found, account, home.postgres / "dist")
        self = cls(home, binaries, account, sockets)
        try:
            self._lay_out()
        except OSError as error:
            raise from_os_error(error, home.postgres) from error
        return self

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.home.postgres / "data"

    @property
    def socket_dir(self) -> Path:
        """A directory that only the server's user (and root) can enter."""
        return self.sockets / "postgres"

    @property
    def url(self) -> str:
        """The database, for whoever runs the platform."""
        return self._url(RUNTIME)

    @property
    def owner_url(self) -> str:
        """The database, for whoever migrates the platform."""
        return self._url(OWNER)

    def _url(self, role: str) -> str:
        host = quote(str(self.socket_dir), safe="/")
        return f"postgresql://{role}@/{DATABASE}?host={host}&port={PORT}"

    @property
    def is_fresh(self) -> bool:
        """Whether there is no data directory yet."""
        return not (self.data / "PG_VERSION").exists()

    def initdb(self, env: Mapping[str, str]) -> Service:
        """What makes the data directory, under another name until it is complete."""
        command = [
            str(self.binaries.initdb),
            f"--pgdata={self._unfinished}",
            "--username=postgres",
            "--auth-local=trust",
            "--auth-host=reject",
            "--encoding=UTF8",
            "--locale=C",
        ]
        if self.binaries.major >= 17:
            # Knows upper and lower case of every script, sorts alike on every system.
            command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        return Service(
            name="initdb",
            command=tuple(command),
            cwd=self.home.postgres,
            env=env,
            account=self.account,
            death_signal=signal.SIGKILL,
            before_start=self._clear_unfinished,
            diagnose=self._diagnose,
        )

    def adopt(self) -> None:
        """Give the finished data directory its name.

        Raises:
            HomeUnusableError: when the disk is full or something is in the way.
        """
        try:
            with (self._unfinished / "postgresql.conf").open("a", encoding="utf-8") as config:
                config.write(TUNING)
                config.flush()
                os.fsync(config.fileno())
            self._unfinished.rename(self.data)
        except OSError as error:
            raise from_os_error(error, self.data) from error

    def service(self, env: Mapping[str, str]) -> Service:
        """The server as something to supervise."""
        options = {
            "listen_addresses": "",
            "unix_socket_directories": '"' + str(self.socket_dir).replace('"', '""') + '"',
            "unix_socket_permissions": "0700",
            "logging_collector": "off",
            "log_destination": "stderr",
        }
        # A colon can't be escaped there; the migrations make the function themselves then.
        if self.binaries.major >= 18 and ":" not in str(self._share):
            options["extension_control_path"] = f"$system:{self._share}"
        arguments = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        return Service(
            name="postgres",
            command=(
                str(self.binaries.postgres),
                "-D",
                str(self.data),
                "-p",
                str(PORT),
                *arguments,
            ),
            cwd=self.home.postgres,
            env=env,
            account=self.account,
            stop_steps=FAST_STOP,
            death_signal=signal.SIGINT,
            before_start=self._clear,
            is_ready=self.is_ready,
            diagnose=self._diagnose,
            transient=BUSY,
        )

    def is_ready(self) -> bool:
        """Whether a connection works; a server that recovers has a socket before it has that."""
        try:
            self._connect("postgres").close()
        except psycopg.Error:
            return False
        return True

    def ensure_database(self) -> None:
        """Make roles and database where they are missing; homes of before had one role.

        Raises:
            StartFailedError: when the server refuses.
        """
        try:
            with self._connect("postgres") as connection:
                for role in (OWNER, RUNTIME):
                    known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role])
                    if known.fetchone() is None:
                        connection.execute(
                            sql.SQL("CREATE ROLE {} LOGIN NOSUPERUSER").format(sql.Identifier(role))
                        )
                known = connection.execute(
                    "SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]
                )
                if known.fetchone() is None:
                    connection.execute(
                        sql.SQL("CREATE DATABASE {} OWNER {}").format(
                            sql.Identifier(DATABASE), sql.Identifier(OWNER)
                        )
                    )
        except psycopg.Error as error:
            if isinstance(error, psycopg.errors.DiskFull):
                raise disk_full(self.home.root) from error
            raise StartFailedError(
                tr("The database could not be made: {error}", error=error).rstrip(),
                tr("See {log}.", log=self.home.logs / "postgres.log"),
            ) from error

    def revision(self) -> str | None:
        """The migration that the database is at, in Alembic's own table; None without one."""
        try:
            with self._connect(DATABASE) as connection:
                row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        except psycopg.Error:
            return None
        return str(row[0]) if row else None

    def _connect(self, database: str) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(
            host=str(self.socket_dir),
            port=PORT,
            user="postgres",
            dbname=database,
            connect_timeout=5,
            autocommit=True,
            application_name="aiplatform up",
        )

    @property
    def _unfinished(self) -> Path:
        return self.home.postgres / "data.new"

    @property
    def _share(self) -> Path:
        return self.home.postgres / "share"

    def _lay_out(self) -> None:
        """Everything around the data: the socket's directory and the extensions."""
        self._give(self.socket_dir)
        # The package itself may lie where the server's user can't read.
        target = self._share / "extension"
        target.mkdir(parents=True, exist_ok=True)
        for directory in (self._share, target):
            directory.chmod(0o755)
        for source in (
            resources.files("aiplatform.embedded").joinpath("extensions/extension").iterdir()
        ):
            text = source.read_text("utf-8")
            copied = target / source.name
            if not copied.exists() or copied.read_text("utf-8") != text:
                copied.write_text(text, "utf-8")
            copied.chmod(0o644)
        if not self.is_fresh:
            # A restored backup often comes back as root's, or open to all; PostgreSQL refuses both.
            found = self.data.stat()
            if self.account is not None and found.st_uid != self.account.uid:
                for path in [self.data, *self.data.rglob("*")]:
                    os.chown(path, self.account.uid, self.account.gid, follow_symlinks=False)
            if stat.S_IMODE(found.st_mode) & 0o027:
                self.data.chmod(0o700)

    def _give(self, directory: Path) -> None:
        directory.mkdir(exist_ok=True, mode=0o700)
        if self.account is not None:
            os.chown(directory, self.account.uid, self.account.gid)
        directory.chmod(0o700)

    def _clear_unfinished(self) -> None:
        shutil.rmtree(self._unfinished, ignore_errors=True)
        if self.data.exists():
            # Not PostgreSQL's without a PG_VERSION, and not ours to delete.
            try:
                self.data.rmdir()
            except OSError as error:
                raise HomeUnusableError(
                    tr(
                        "{data} holds files but no PG_VERSION: it is no data directory.",
                        data=self.data,
                    ),
                    tr(
                        "Restore it from a backup, or move it away to start with an empty database."
                    ),
                ) from error
        self._give(self._unfinished)

    def _clear(self) -> None:
        """Deal with what a killed predecessor left: a process, its pid file, its sockets."""
        pid_file = self.data / "postmaster.pid"
        try:
            lines = pid_file.read_text("utf-8", "replace").splitlines()
        except FileNotFoundError:
            lines = []
        pid = int(lines[0]) if lines and lines[0].strip().isdigit() else None
        known = identity(pid) if pid is not None and self._is_postmaster(pid) else None
        if pid is not None and known is not None and not end_process(pid, known, FAST_STOP):
            raise StartFailedError(
                tr(
                    "Another PostgreSQL (process {pid}) runs on {data} and doesn't end.",
                    pid=pid,
                    data=self.data,
                ),
                tr("End process {pid}, then run `aiplatform up` again.", pid=pid),
            )
        # The pid of a dead server may meanwhile be anybody's, which PostgreSQL takes for a rival.
        # The home is locked and no server runs on it, so the file is stale.
        pid_file.unlink(missing_ok=True)
        for path in self.socket_dir.glob(".s.PGSQL.*"):
            path.unlink(missing_ok=True)

    def _is_postmaster(self, pid: int) -> bool:
        """Whether ``pid`` is a server on our data directory, not just a pid used again."""
        if not Path("/proc/self/cwd").exists():
            return True  # without /proc: the safe answer, PostgreSQL's own
        try:
            return Path(f"/proc/{pid}/cwd").samefile(self.data)
        except OSError:
            return False

    def _diagnose(self, log: str) -> EmbeddedError | None:
        if "shared memory" in log and "No space left on device" in log:
            return StartFailedError(
                tr("The system has no room for PostgreSQL's shared memory."),
                tr("Raise the limit (kernel.shmall, kernel.shmmni, or --shm-size of a container)."),
            )
        if "No space left on device" in log:
            return disk_full(self.home.root)
        if "database files are incompatible with server" in log:
            return WrongDataVersionError(
                tr("{data} was made by a PostgreSQL that was built differently.", data=self.data),
                tr(
                    "Name the one that made it in {setting}.",
                    setting=POSTGRES_SETTING,
                ),
            )
        return None
