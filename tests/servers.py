"""Private servers for the tests: a real PostgreSQL and a real Valkey, deleted when tests end."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

import psycopg
from psycopg import sql

from aiplatform.embedded.binaries import PostgresBinaries, find_postgres, find_valkey, runnable_by
from aiplatform.embedded.data_directory import server_account
from aiplatform.embedded.process import Account, spawn

TEST_DATABASE_URL = "AIPLATFORM_TEST_DATABASE_URL"
"""Environment variable: the URL of a PostgreSQL whose role may create databases and roles.

If it is not set, a private server is started.
"""

OWNER = "aiplatform"
"""The role that migrates the databases and owns them; it is not a superuser."""

RUNTIME = "aiplatform_runtime"
"""The role that the platform runs as, in tests as in production; it owns nothing."""

EXTENSIONS = Path(__file__).parents[1] / "src/aiplatform/embedded/extensions/extension"

# The data is deleted after the tests, so no statement needs to wait for the disk.
FAST_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "jit": "off",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "timezone": "Asia/Shanghai",  # not UTC, so that code that forgets to ask for UTC fails
}


@dataclass(frozen=True)
class PostgresServer:
    """A running PostgreSQL server, and the roles with which tests use it."""

    url: str
    """URL of the maintenance database for the owning role, which may create databases."""
    superuser_url: str | None = None
    runtime: str = RUNTIME
    """The role that runs the platform, as ``name`` or ``name:password``."""

    def url_of(self, database: str, *, role: str | None = None) -> str:
        """Return the URL of another database on this server, for the owner or another role."""
        parts = urlsplit(self.url)
        netloc = parts.netloc if role is None else f"{role}@" + parts.netloc.rpartition("@")[2]
        # An empty host must keep its slashes: postgresql://role@/name?host=/directory.
        return urlunsplit((parts.scheme, netloc, f"/{database}", parts.query, ""))

    def connect(self, database: str | None = None) -> psycopg.Connection[tuple[Any, ...]]:
        """Open a connection that commits each statement (autocommit)."""
        url = self.url if database is None else self.url_of(database)
        return psycopg.connect(url, autocommit=True, connect_timeout=10)

    def create_database(self, name: str, template: str | None = None) -> str:
        """Create a database, as a copy of ``template`` if given, and return its URL."""
        statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        if template is not None:
            # Copying files is faster than logging each page, because no statement waits for the
            # disk.
            statement += sql.SQL(" TEMPLATE {} STRATEGY FILE_COPY").format(sql.Identifier(template))
        with self.connect() as connection:
            connection.execute(statement)
        return self.url_of(name)

    def protect_table_names(self, name: str) -> None:
        """Keep other schemas from shadowing a database's tables, as ``db upgrade`` does.

        These settings belong to the template database itself, so a copy does not have them.
        """
        from aiplatform.server.core.roles import TABLE_NAME_PROTECTION

        with self.connect() as connection:
            for statement in TABLE_NAME_PROTECTION:
                connection.execute(sql.SQL(statement).format(database=sql.Identifier(name)))

    def drop_database(self, name: str) -> None:
        """Drop a database, closing all connections to it.

        This uses the superuser if possible, because only a superuser may stop its autovacuum.
        """
        url = self.superuser_url or self.url
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Yield the server for the tests: the one named by the environment, or a private one."""
    given = os.environ.get(TEST_DATABASE_URL)
    if given:
        password = secrets.token_hex(8)
        with psycopg.connect(given, autocommit=True) as connection:
            known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [RUNTIME])
            verb = "CREATE" if known.fetchone() is None else "ALTER"
            connection.execute(f"{verb} ROLE {RUNTIME} LOGIN NOSUPERUSER PASSWORD '{password}'")
            connection.execute(f"GRANT {RUNTIME} TO CURRENT_USER")
        yield PostgresServer(given, runtime=f"{RUNTIME}:{password}")
        return
    with private_postgres(find_postgres()) as server:
        yield server


@contextmanager
def private_postgres(
    found: PostgresBinaries, *, extensions: bool = True
) -> Iterator[PostgresServer]:
    """Run a new PostgreSQL server that listens only on a Unix socket."""
    with scratch_directory() as directory:
        data, sockets = directory / "data", directory / "sockets"
        account = server_account(data)
        binaries = runnable_by(found, account, directory / "dist")
        for path in (data, sockets):
            path.mkdir(mode=0o700)
            if account is not None:
                os.chown(path, account.uid, account.gid)
        _run_as(
            account,
            [
                str(binaries.initdb),
                f"--pgdata={data}",
                "--username=postgres",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
            ],
            directory,
        )
        options = {**FAST_SETTINGS, "listen_addresses": "", "unix_socket_directories": str(sockets)}
        if extensions and binaries.major >= 18:
            share = directory / "share"
            shutil.copytree(EXTENSIONS, share / "extension")
            options["extension_control_path"] = f"$system:{share}"
        command = [str(binaries.postgres), "-D", str(data)]
        command += [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        log = directory / "postgres.log"
        with log.open("wb") as output:
            process = spawn(
                command,
                env={"LC_ALL": "C"},
                log=output,
                cwd=directory,
                account=account,
                death_signal=signal.SIGQUIT,
            )
        try:
            query = urlencode({"host": str(sockets), "port": "5432"}, quote_via=quote, safe="/")
            superuser = f"postgresql://postgres@/postgres?{query}"
            _wait_for(process, lambda: psycopg.connect(superuser).close(), psycopg.Error, log)
            with psycopg.connect(superuser, autocommit=True) as connection:
                connection.execute(f"CREATE ROLE {OWNER} LOGIN NOSUPERUSER CREATEDB")
                connection.execute(f"CREATE ROLE {RUNTIME} LOGIN NOSUPERUSER")
                # The owner must be able to end the runtime role's sessions when it drops a
                # database. The runtime role must not get the owner's rights.
                connection.execute(f"GRANT {RUNTIME} TO {OWNER}")
            yield PostgresServer(f"postgresql://{OWNER}@/postgres?{query}", superuser)
        finally:
            stop(process, signal.SIGQUIT)


@contextmanager
def private_valkey() -> Iterator[str]:
    """Run a new Valkey on a Unix socket and yield its URL for Celery."""
    binary = find_valkey()
    with scratch_directory() as directory:
        path, log = directory / "valkey.sock", directory / "valkey.log"
        with log.open("wb") as output:
            process = spawn(
                [str(binary), "--port", "0", "--unixsocket", str(path), "--unixsocketperm", "700",
                 "--dir", str(directory), "--save", "", "--appendonly", "no"],
                env={},
                log=output,
                cwd=directory,
                death_signal=signal.SIGKILL,
            )  # fmt: skip
        try:
            _wait_for(process, lambda: _ping(path), OSError, log)
            yield f"redis+socket://{quote(str(path))}?virtual_host=0"
        finally:
            stop(process, signal.SIGTERM)


@contextmanager
def scratch_directory() -> Iterator[Path]:
    """Create a directory with a short path that other users can enter.

    pytest's own temporary directories can be entered only by the user who runs it.
    """
    directory = Path(tempfile.mkdtemp(prefix="aip-"))
    directory.chmod(0o755)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _ping(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(1)
        connection.connect(str(path))
        connection.sendall(b"PING\r\n")
        if not connection.recv(16).startswith(b"+PONG"):
            raise OSError("not ready")


def _run_as(account: Account | None, command: list[str], cwd: Path) -> None:
    subprocess.run(
        command,
        check=True,
        stdout=subprocess.DEVNULL,
        cwd=cwd,
        env={"LC_ALL": "C"},
        user=None if account is None else account.uid,
        group=None if account is None else account.gid,
        extra_groups=None if account is None else [],
    )


def _wait_for(
    process: "subprocess.Popen[bytes]", attempt: Any, error: type[Exception], log: Path
) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            attempt()
        except error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(log.read_text("utf-8", "replace")) from None
            time.sleep(0.02)
        else:
            return


def stop(process: "subprocess.Popen[bytes]", number: int) -> None:
    """Stop a server with signal ``number``, and kill it if it is still running after 10 seconds."""
    process.send_signal(number)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
