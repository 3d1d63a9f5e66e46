"""What keeps a platform from starting is named, with its remedy; nothing is touched."""

import json
import os
import socket

import pytest

from tests.embedded.conftest import Platform, said


@pytest.mark.slow
@pytest.mark.parametrize("detach", [(), ("--detach",)])
@pytest.mark.parametrize("name", ["db", "server", "worker"])
def test_a_program_that_fails_is_named_with_its_reason(
    platform: Platform, name: str, detach: tuple[str, ...]
) -> None:
    done = platform.command("up", *detach, "--port", "0", env={f"FAULT_{name.upper()}": "exit"})
    assert done.returncode == 1
    assert "this is the reason" in said(done)
    assert ".log" in done.stderr
    assert not platform.home.state_file.exists()
    platform.up()


def test_port_in_use(platform: Platform) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        for extra in ((), ("--detach",)):
            done = platform.command("up", *extra, "--port", str(port))
            assert done.returncode == 5
            assert f"Port {port}" in said(done)
            assert str(os.getpid()) in done.stderr
    assert not (platform.home.postgres / "data").exists()


def test_errors_as_json(platform: Platform) -> None:
    done = platform.command("up", "--json", "--host", "192.0.2.7")
    assert done.returncode == 5
    problem = json.loads(done.stderr)["error"]
    assert problem["exit_code"] == 5
    assert "192.0.2.7" in problem["message"]
    assert "--host" in problem["hint"]


def test_wrong_usage(platform: Platform) -> None:
    assert platform.command("up", "--port", "99999").returncode == 2


def test_data_of_another_version_is_refused_untouched(platform: Platform) -> None:
    data = platform.home.postgres / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("13\n")
    done = platform.command("up", "--port", "0")
    assert done.returncode == 7
    assert "PostgreSQL 13" in said(done)
    assert "pg_dump" in done.stderr
    assert [path.name for path in data.iterdir()] == ["PG_VERSION"]


def test_a_directory_that_is_no_data_directory_is_left_alone(platform: Platform) -> None:
    data = platform.home.postgres / "data"
    data.mkdir(parents=True)
    (data / "precious").write_text("yes")
    done = platform.command("up", "--port", "0")
    assert done.returncode == 6
    assert "PG_VERSION" in said(done)
    assert (data / "precious").read_text() == "yes"


def test_home_is_a_file(platform: Platform) -> None:
    platform.home.root.write_text("")
    for extra in ((), ("--detach",)):
        done = platform.command("up", *extra, "--port", "0")
        assert done.returncode == 6
        assert "in the way" in said(done)
    platform.home.root.unlink()


def test_unknown_postgres_setting(platform: Platform) -> None:
    done = platform.command("up", "--port", "0", env={"AIPLATFORM_POSTGRES_BIN": "/nowhere"})
    assert done.returncode == 1
    assert "/nowhere" in said(done)
    assert "AIPLATFORM_POSTGRES_BIN" in done.stderr


def test_settings_of_another_platform_are_ignored_and_named(platform: Platform) -> None:
    elsewhere = {"AIPLATFORM_DATABASE_URL": "postgresql://elsewhere/x"}
    libpq = {"PGPORT": "1", "PGHOST": "192.0.2.7", "PGUSER": "x", "PGDATABASE": "y"}
    state = platform.up(env=elsewhere | libpq)
    assert "AIPLATFORM_DATABASE_URL" in state.warnings[0]
    assert platform.write_row() == 1
