"""The private PostgreSQL of a home: its data directory, service, roles and database.

It listens only on a unix socket, in a directory that only its user can enter. This is why the
authentication method ``trust`` is safe here. Migrations run as the role ``aiplatform``, which owns
the database and is not a superuser. The running platform connects as ``aiplatform_runtime``, which
owns nothing.
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
from aiplatform.embedded.data_directory import check_reachable, check_version, server_account
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
"""Port number in the name of the unix socket; PostgreSQL does not listen on a port here."""

FAST_STOP: StopSteps = (
    (signal.SIGINT, 30.0),  # "fast": sessions are ended, everything is written
    (signal.SIGQUIT, 5.0),  # "immediate": recovers from the log at the next start
    (signal.SIGKILL, 5.0),
)

STILL_ENDING_MESSAGES = (
    "pre-existing shared memory block",
    "is already in use",
    "the database system is shutting down",
)
"""Messages of a start that failed because a killed server's processes have not exited yet."""

DEFAULT_CONFIGURATION = """
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
    """The PostgreSQL of one home.

    ``account`` is the user that it runs as, or None for the user of this process. ``sockets`` is
    the directory in which its socket directory is created.
    """

    home: Home
    binaries: PostgresBinaries
    account: Account | None
    sockets: Path

    @classmethod
    def locate(cls, home: Home, sockets: Path, environ: Mapping[str, str]) -> "Postgres":
        """Find the binaries and the user, and create the directories that the server needs.

        Raises:
            EmbeddedError: If a part is missing, or the data directory can't be used.
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
            self._prepare_directories()
        except OSError as error:
            raise from_os_error(error, home.postgres) from error
        return self

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.home.postgres / "data"

    @property
    def socket_dir(self) -> Path:
        """The directory of the unix socket, which only the server's user (and root) can enter."""
        return self.sockets / "postgres"

    @property
    def url(self) -> str:
        """The database URL of the running platform."""
        return self._url(RUNTIME)

    @property
    def owner_url(self) -> str:
        """The database URL for migrations."""
        return self._url(OWNER)

    def _url(self, role: str) -> str:
        host = quote(str(self.socket_dir), safe="/")
        return f"postgresql://{role}@/{DATABASE}?host={host}&port={PORT}"

    @property
    def is_fresh(self) -> bool:
        """True if the data directory has not been created yet."""
        return not (self.data / "PG_VERSION").exists()

    def initdb(self, env: Mapping[str, str]) -> Service:
        """Return the service that creates the data directory, under a temporary name.

        :meth:`finish_data_directory` renames it when it is complete.
        """
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
            # Handles upper and lower case in all languages, and sorts in the same way on all
            # systems.
            command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        return Service(
            name="initdb",
            command=tuple(command),
            cwd=self.home.postgres,
            env=env,
            account=self.account,
            death_signal=signal.SIGKILL,
            before_start=self._remove_unfinished,
            diagnose=self._diagnose,
        )

    def finish_data_directory(self) -> None:
        """Write the settings into the finished data directory, and give it its final name.

        Raises:
            HomeUnusableError: If the disk is full, or a file has the directory's name.
        """
        try:
            with (self._unfinished / "postgresql.conf").open("a", encoding="utf-8") as config:
                config.write(DEFAULT_CONFIGURATION)
                config.flush()
                os.fsync(config.fileno())
            self._unfinished.rename(self.data)
        except OSError as error:
            raise from_os_error(error, self.data) from error

    def service(self, env: Mapping[str, str]) -> Service:
        """Return the server as a service to supervise, with ``env`` as its environment."""
        options = {
            "listen_addresses": "",
            "unix_socket_directories": '"' + str(self.socket_dir).replace('"', '""') + '"',
            "unix_socket_permissions": "0700",
            "logging_collector": "off",
            "log_destination": "stderr",
        }
        # A colon in the path can't be escaped. In that case, the migrations create the functions of
        # the extensions themselves.
        if self.binaries.major >= 18 and ":" not in str(self._extensions):
            options["extension_control_path"] = f"$system:{self._extensions}"
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
            before_start=self._remove_stale_files,
            is_ready=self.is_ready,
            diagnose=self._diagnose,
            transient_messages=STILL_ENDING_MESSAGES,
        )

    def is_ready(self) -> bool:
        """Return True if the server accepts connections.

        The existence of its socket is not enough: it is created before recovery ends.
        """
        try:
            self._connect("postgres").close()
        except psycopg.Error:
            return False
        return True

    def ensure_database(self) -> None:
        """Create the roles and the database if they are missing.

        Homes from earlier releases have the database but only one of the roles.

        Raises:
            StartFailedError: If the server rejects a statement.
            HomeUnusableError: If the disk is full.
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
                tr("The database could not be created: {error}", error=error).rstrip(),
                tr("See {log}.", log=self.home.logs / "postgres.log"),
            ) from error

    def revision(self) -> str | None:
        """Return the database's revision from Alembic's table; None if there is none."""
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
    def _extensions(self) -> Path:
        return self.home.postgres / "share"

    def _prepare_directories(self) -> None:
        """Create the socket's directory, copy the extensions, and correct the data's owner."""
        self._create_private(self.socket_dir)
        # The extensions are copied, because the server's user might be unable to read the package.
        target = self._extensions / "extension"
        target.mkdir(parents=True, exist_ok=True)
        for directory in (self._extensions, target):
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
            # A restored backup often belongs to root or is open to everyone; PostgreSQL refuses
            # both.
            found = self.data.stat()
            if self.account is not None and found.st_uid != self.account.uid:
                for path in [self.data, *self.data.rglob("*")]:
                    os.chown(path, self.account.uid, self.account.gid, follow_symlinks=False)
            if stat.S_IMODE(found.st_mode) & 0o027:
                self.data.chmod(0o700)

    def _create_private(self, directory: Path) -> None:
        directory.mkdir(exist_ok=True, mode=0o700)
        if self.account is not None:
            os.chown(directory, self.account.uid, self.account.gid)
        directory.chmod(0o700)

    def _remove_unfinished(self) -> None:
        shutil.rmtree(self._unfinished, ignore_errors=True)
        if self.data.exists():
            # Without PG_VERSION it is not a data directory, so its files must not be deleted.
            try:
                self.data.rmdir()
            except OSError as error:
                raise HomeUnusableError(
                    tr(
                        "{data} holds files but no PG_VERSION: it is not a data directory.",
                        data=self.data,
                    ),
                    tr(
                        "Restore it from a backup, or move it away to start with an empty database."
                    ),
                ) from error
        self._create_private(self._unfinished)

    def _remove_stale_files(self) -> None:
        """Remove the leftovers of a killed server: its process, pid file and sockets."""
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
        # If another process has since been given the pid of the dead server, PostgreSQL would take
        # it for a running server. The home is locked and no server is running in it, so the file is
        # stale.
        pid_file.unlink(missing_ok=True)
        for path in self.socket_dir.glob(".s.PGSQL.*"):
            path.unlink(missing_ok=True)

    def _is_postmaster(self, pid: int) -> bool:
        """Return True if ``pid`` is a server with this data directory, and not a reused pid."""
        if not Path("/proc/self/cwd").exists():
            return True  # can't be checked without /proc; PostgreSQL assumes the same
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
