"""Tests of the data directory, extensions and roles of PostgreSQL, without a supervisor."""

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from aiplatform.embedded.binaries import debian_directories, find_postgres
from aiplatform.embedded.data_directory import check_version
from aiplatform.embedded.errors import (
    HomeUnusableError,
    MissingPartError,
    StartFailedError,
    WrongDataVersionError,
)
from aiplatform.embedded.home import Home, socket_directory
from aiplatform.embedded.postgres import Postgres
from aiplatform.embedded.process_manager import ProcessManager, child_environment
from aiplatform.embedded.signals import Signals
from tests.embedded.conftest import Platform


@pytest.fixture
def start(new_platform: Callable[..., Platform]) -> Iterator[Callable[..., Postgres]]:
    """Return a function that starts a server in a new home and creates its database."""
    sockets: list[Path] = []
    with Signals() as signals:
        process_managers: list[ProcessManager] = []

        def begin(environ: dict[str, str] | None = None) -> Postgres:
            home: Home = new_platform().home
            home.prepare()
            sockets.append(socket_directory(home))
            postgres = Postgres.locate(home, sockets[-1], environ or {})
            process_manager = ProcessManager(signals, home.logs, lambda: None, lambda: None)
            process_managers.append(process_manager)
            environment = child_environment({"LC_ALL": "C"})
            assert postgres.is_fresh
            process_manager.run(postgres.initdb(environment))
            postgres.finish_data_directory()
            assert not postgres.is_fresh
            process_manager.start(postgres.service(environment))
            assert process_manager.wait_until(lambda: process_manager.running("postgres"), 30)
            postgres.ensure_database()
            postgres.ensure_database()
            return postgres

        yield begin
        for process_manager in process_managers:
            process_manager.stop(["postgres"])
    for directory in sockets:
        for path in [*directory.rglob("*"), directory]:
            path.rmdir() if path.is_dir() else path.unlink()


def test_extensions_in_sql_replace_the_c_libraries(start: Callable[..., Postgres]) -> None:
    postgres = start()
    if postgres.binaries.major < 18:
        pytest.skip("needs extension_control_path")
    with psycopg.connect(postgres.owner_url) as connection:
        connection.execute('CREATE EXTENSION IF NOT EXISTS "uuid-ossp"')
        connection.execute('CREATE EXTENSION IF NOT EXISTS "pgcrypto"')
        one, two, nil = connection.execute(
            "SELECT uuid_generate_v4(), uuid_generate_v4(), uuid_nil()"
        ).fetchone() or (None, None, None)
        assert one != two
        assert one is not None
        assert one.version == 4
        assert nil is not None
        assert nil.int == 0
        known = {
            "md5": "900150983cd24fb0d6963f7d28e17f72",
            "SHA256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        }
        for algorithm, expected in known.items():
            row = connection.execute(
                "SELECT encode(digest('abc', %s), 'hex'), encode(digest('abc'::bytea, %s), 'hex')",
                [algorithm, algorithm],
            ).fetchone()
            assert row == (expected, expected)
        with pytest.raises(psycopg.errors.InvalidParameterValue, match="crc32"):
            connection.execute("SELECT digest('abc', 'crc32')")


def test_owner_role_is_not_a_superuser(start: Callable[..., Postgres]) -> None:
    with psycopg.connect(start().owner_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE t (x int)")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("CREATE ROLE other")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("ALTER SYSTEM SET fsync = off")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("COPY t FROM PROGRAM 'id'")


def test_runtime_role_owns_nothing(start: Callable[..., Postgres]) -> None:
    postgres = start()
    postgres.ensure_database()  # again, as at each start
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        for forbidden in ("CREATE TABLE t (x int)", "SET ROLE aiplatform", "CREATE ROLE other"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(forbidden)


def test_revision_is_read_from_alembics_table(start: Callable[..., Postgres]) -> None:
    postgres = start()
    assert postgres.revision() is None
    with psycopg.connect(postgres.owner_url) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num varchar(32))")
        connection.execute("INSERT INTO alembic_version VALUES ('0002')")
    assert postgres.revision() == "0002"


def test_database_uses_utf8_and_utc(start: Callable[..., Postgres]) -> None:
    with psycopg.connect(start().url) as connection:
        row = connection.execute(
            "SELECT upper('ä'), length('数据集'), current_setting('timezone'), "
            "current_setting('server_encoding')"
        ).fetchone()
        assert row == ("Ä", 3, "UTC", "UTF8")


def test_data_directory_is_renamed_when_complete(start: Callable[..., Postgres]) -> None:
    postgres = start()
    assert not (postgres.home.postgres / "data.new").exists()
    assert "max_connections = 200" in (postgres.data / "postgresql.conf").read_text()


@pytest.mark.parametrize("directory", debian_directories(), ids=str)
def test_setting_selects_postgres_of_the_system(
    start: Callable[..., Postgres], directory: Path
) -> None:
    postgres = start({"AIPLATFORM_POSTGRES_BIN": str(directory)})
    assert postgres.binaries.directory == directory
    with psycopg.connect(postgres.url) as connection:
        assert connection.info.server_version // 10000 == int(directory.parent.name)


def test_another_user_cannot_enter_the_socket_directory(start: Callable[..., Postgres]) -> None:
    """Check that other users can't reach the socket, where ``trust`` requires no password."""
    if os.geteuid() != 0:
        pytest.skip("needs root to become somebody else")
    import subprocess

    postgres = start()
    done = subprocess.run(
        ["sh", "-c", f"ls {postgres.socket_dir}"],
        user=1,
        group=1,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Permission denied" in done.stderr


def test_check_version_refuses_other_versions(tmp_path: Path) -> None:
    binaries = find_postgres({})
    check_version(tmp_path, binaries)
    (tmp_path / "PG_VERSION").write_text(f"{binaries.major}\n")
    check_version(tmp_path, binaries)
    for other in ("9.6\n", "17\n", "99\n", "", "garbage\xff"):
        (tmp_path / "PG_VERSION").write_bytes(other.encode("latin-1"))
        with pytest.raises(WrongDataVersionError) as caught:
            check_version(tmp_path, binaries)
        assert "AIPLATFORM_POSTGRES_BIN" in caught.value.remedy


def test_find_postgres_with_a_wrong_setting_tries_nothing_else(tmp_path: Path) -> None:
    with pytest.raises(MissingPartError, match=str(tmp_path)):
        find_postgres({"AIPLATFORM_POSTGRES_BIN": str(tmp_path)})


def test_find_postgres_refuses_old_versions(tmp_path: Path) -> None:
    for name in ("postgres", "initdb"):
        program = tmp_path / name
        program.write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 14.9'\n")
        program.chmod(0o755)
    with pytest.raises(MissingPartError, match="too old"):
        find_postgres({"AIPLATFORM_POSTGRES_BIN": str(tmp_path)})


@pytest.mark.parametrize(
    ("log", "error", "words"),
    [
        ('FATAL: could not write "x": No space left on device', HomeUnusableError, "full"),
        (
            "FATAL: could not create shared memory segment: No space left on device",
            StartFailedError,
            "shared memory",
        ),
        ("FATAL: database files are incompatible with server", WrongDataVersionError, "built"),
    ],
)
def test_diagnose_translates_messages_of_the_log(
    tmp_path: Path, log: str, error: type[Exception], words: str
) -> None:
    postgres = Postgres(Home(tmp_path), find_postgres({}), None, Path(tempfile.gettempdir()))
    found = postgres.service({}).diagnose(log)
    assert isinstance(found, error)
    assert words in str(found)
    assert postgres.service({}).diagnose("LOG: nothing special") is None
