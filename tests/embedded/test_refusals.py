"""Tests of failed starts: the cause and a remedy are shown, and nothing is changed."""

import json
import os
import socket

import pytest

from tests.embedded.conftest import Platform, output_of


@pytest.mark.slow
@pytest.mark.parametrize("detach", [(), ("--detach",)])
@pytest.mark.parametrize("name", ["db", "server", "worker"])
def test_up_names_the_failed_program_and_its_reason(
    platform: Platform, name: str, detach: tuple[str, ...]
) -> None:
    done = platform.command("up", *detach, "--port", "0", env={f"FAULT_{name.upper()}": "exit"})
    assert done.returncode == 1
    assert "this is the reason" in output_of(done)
    assert ".log" in done.stderr
    assert not platform.home.state_file.exists()
    platform.up()


def test_up_on_a_used_port_is_refused(platform: Platform) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        for extra in ((), ("--detach",)):
            done = platform.command("up", *extra, "--port", str(port))
            assert done.returncode == 5
            assert f"Port {port}" in output_of(done)
            assert str(os.getpid()) in done.stderr
    assert not (platform.home.postgres / "data").exists()


def test_up_with_json_prints_errors_as_json(platform: Platform) -> None:
    done = platform.command("up", "--json", "--host", "192.0.2.7")
    assert done.returncode == 5
    problem = json.loads(done.stderr)["error"]
    assert problem["exit_code"] == 5
    assert "192.0.2.7" in problem["message"]
    assert "--host" in problem["hint"]


def test_up_with_an_invalid_port_is_a_usage_error(platform: Platform) -> None:
    assert platform.command("up", "--port", "99999").returncode == 2


def test_up_on_data_of_another_version_is_refused(platform: Platform) -> None:
    data = platform.home.postgres / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("13\n")
    done = platform.command("up", "--port", "0")
    assert done.returncode == 7
    assert "PostgreSQL 13" in output_of(done)
    assert "pg_dump" in done.stderr
    assert [path.name for path in data.iterdir()] == ["PG_VERSION"]


def test_up_on_foreign_files_in_the_data_directory_is_refused(platform: Platform) -> None:
    data = platform.home.postgres / "data"
    data.mkdir(parents=True)
    (data / "precious").write_text("yes")
    done = platform.command("up", "--port", "0")
    assert done.returncode == 6
    assert "PG_VERSION" in output_of(done)
    assert (data / "precious").read_text() == "yes"


def test_up_with_a_file_as_home_is_refused(platform: Platform) -> None:
    platform.home.root.write_text("")
    for extra in ((), ("--detach",)):
        done = platform.command("up", *extra, "--port", "0")
        assert done.returncode == 6
        assert "is not a directory" in output_of(done)
    platform.home.root.unlink()


def test_up_with_a_wrong_postgres_setting_is_refused(platform: Platform) -> None:
    done = platform.command("up", "--port", "0", env={"AIPLATFORM_POSTGRES_BIN": "/nowhere"})
    assert done.returncode == 1
    assert "/nowhere" in output_of(done)
    assert "AIPLATFORM_POSTGRES_BIN" in done.stderr


def test_up_ignores_settings_of_another_platform_with_a_warning(platform: Platform) -> None:
    elsewhere = {"AIPLATFORM_DATABASE_URL": "postgresql://elsewhere/x"}
    libpq = {"PGPORT": "1", "PGHOST": "192.0.2.7", "PGUSER": "x", "PGDATABASE": "y"}
    state = platform.up(env=elsewhere | libpq)
    assert "AIPLATFORM_DATABASE_URL" in state.warnings[0]
    assert platform.write_row() == 1
