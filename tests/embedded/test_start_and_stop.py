"""Tests of ``up``, ``down`` and ``status`` as users see them: order, exit codes and messages."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import psycopg
import pytest

from aiplatform.embedded.process import is_same_process, wait_until_gone
from aiplatform.embedded.state import Phase
from tests.embedded.conftest import COMMAND, Platform, all_gone, output_of


def test_up_in_a_new_home_starts_everything_and_down_stops_it(platform: Platform) -> None:
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
        assert row == ("aiplatform_runtime", "ai_platform", False, "aiplatform")
        listening = connection.execute("SHOW listen_addresses").fetchone()
        assert listening == ("",)
    assert platform.broker("CONFIG GET maxmemory-policy").split()[-1] == "noeviction"
    assert platform.broker("CONFIG GET appendfsync").split()[-1] == "everysec"
    assert psutil.Process(platform.pid("postgres")).uids().effective != 0  # never root
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
    assert (platform.home.run / "worker-finished").exists()  # it was not killed
    assert not platform.home.state_file.exists()
    assert not (platform.home.postgres / "data" / "postmaster.pid").exists()
    assert not Path(state.socket_dir).exists()


def test_status_reports_running_and_stopped_platforms(platform: Platform) -> None:
    done = platform.command("status")
    assert done.returncode == 3
    assert "is not running" in output_of(done)
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
def test_data_survives_a_restart(platform: Platform) -> None:
    platform.up()
    rows = [platform.write_row(), platform.write_row()]
    platform.broker("SET wake-up now")
    platform.down()
    assert not platform.up().fresh
    assert platform.rows() == rows
    assert "now" in platform.broker("GET wake-up")


def test_down_without_a_running_platform_succeeds(platform: Platform) -> None:
    done = platform.down()
    assert done.returncode == 0
    assert "is not running" in done.stdout
    assert not platform.home.root.exists()


def test_up_prints_commands_for_this_platform(platform: Platform, tmp_path: Path) -> None:
    login_file = {"AIPLATFORM_CREDENTIALS": str(tmp_path / "none.json")}
    done = platform.command("up", "--detach", "--port", "0", env=login_file)
    url = platform.state.url
    down = platform.home.command("down")
    assert shlex.split(down)[-1] == str(platform.home.root)
    assert f"`{down}` stops it" in done.stdout
    assert f"Log in: `aiplatform --url {url} login`" in done.stdout
    platform.down()

    own_home = {**login_file, "AIPLATFORM_HOME": str(platform.home.root)}
    done = platform.command("up", "--detach", "--port", "0", env=own_home)
    assert "`aiplatform down` stops it" in done.stdout
    assert "Log in: `aiplatform login`" in done.stdout
    again = platform.command("up", "--port", "0")
    assert f"`{platform.home.command('status')}` shows it, `{down}` stops it" in output_of(again)
    platform.down()
    assert f"Start: `{platform.home.command('up')}`" in output_of(platform.command("status"))


def test_second_up_in_the_same_home_is_refused(platform: Platform) -> None:
    state = platform.up()
    done = platform.command("up", "--port", "0")
    assert done.returncode == 4
    assert str(state.pid) in output_of(done)
    assert state.url in output_of(done)
    assert platform.command("up", "--detach", "--port", "0").returncode == 4
    assert platform.healthy()
    assert platform.state == state


@pytest.mark.slow
def test_platforms_in_two_homes_run_independently(new_platform: Callable[..., Platform]) -> None:
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
    os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to the whole foreground group
    assert process.wait(30) == 0
    assert all_gone(state)
    log = platform.log("supervisor")
    assert log.index("worker: ended") < log.index("postgres: SIGINT")
    assert "worker: ended, exit code 0" in log
    assert "postgres: ended, exit code 0" in log


@pytest.mark.slow
def test_second_ctrl_c_stops_faster(platform: Platform) -> None:
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


def test_ctrl_c_before_ready_stops_everything(platform: Platform) -> None:
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


def test_ctrl_c_while_waiting_stops_the_background_platform(platform: Platform) -> None:
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
    assert wait_until_gone(state.pid, state.identity, 10)
    assert all_gone(state)


def test_down_before_ready_ends_the_waiting_up(platform: Platform) -> None:
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
def test_one_of_several_simultaneous_ups_succeeds(platform: Platform) -> None:
    command = [sys.executable, COMMAND, "up", "-d", "--port", "0", "--home", platform.home.root]
    rivals = [
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(4)
    ]
    assert sorted(rival.wait(60) for rival in rivals) == [0, 4, 4, 4]
    assert platform.healthy()


@pytest.mark.slow
def test_removed_home_ends_its_platform(platform: Platform) -> None:
    """Check that all processes exit, instead of being restarted forever without a home."""
    state = platform.up()
    shutil.rmtree(platform.home.root)
    assert wait_until_gone(state.pid, state.identity, 30)
    assert all_gone(state)
