"""Tests of recovery after processes are killed: no committed data is lost."""

import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from aiplatform.embedded.process import is_same_process, wait_until_gone
from tests.embedded.conftest import Platform, all_gone, ended

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", ["postgres", "valkey", "api", "worker"])
def test_killed_process_is_restarted(platform: Platform, name: str) -> None:
    platform.up()
    row = platform.write_row()
    before = platform.pid(name)
    platform.kill(name)
    platform.wait(lambda: platform.pid(name) != before and platform.healthy())
    assert platform.service(name).restarts >= 1
    assert platform.service(name).last_exit == "signal SIGKILL"
    assert row in platform.rows()
    assert platform.write_row() > row


def test_platform_recovers_after_all_children_were_killed(platform: Platform) -> None:
    platform.up()
    row = platform.write_row()
    old = platform.kill("postgres", "valkey", "api", "worker")
    assert all(wait_until_gone(pid, known, 5) for pid, known in old)
    platform.wait(platform.healthy)
    assert row in platform.rows()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs the kernel's death signal")
def test_children_end_with_a_killed_supervisor(platform: Platform) -> None:
    platform.up()
    state = platform.kill_supervisor()
    platform.wait(lambda: all_gone(state), 10)


def test_up_recovers_after_the_supervisor_was_killed(platform: Platform) -> None:
    platform.up()
    rows = [platform.write_row() for _ in range(3)]
    platform.kill_supervisor()
    platform.up()
    assert platform.rows() == rows
    assert platform.healthy()


def test_up_recovers_after_everything_was_killed(platform: Platform) -> None:
    state = platform.up()
    row = platform.write_row()
    assert platform.broker("SET wake-up now") == "+OK\r\n"
    time.sleep(1.2)  # Valkey syncs to disk once a second
    # Suspend the supervisor, so that it restarts nothing while the other processes are killed.
    os.kill(state.pid, signal.SIGSTOP)
    for name in ("postgres", "valkey", "api", "worker"):
        os.kill(platform.pid(name), signal.SIGKILL)
    os.kill(state.pid, signal.SIGKILL)
    platform.up()
    assert platform.rows() == [row]
    assert "now" in platform.broker("GET wake-up")


def test_up_ends_children_that_outlived_the_supervisor(platform: Platform) -> None:
    """Simulate child processes that do not get, or do not handle, their death signal."""
    state = platform.up(env={"FAULT_WORKER_SLOW_STOP": "60"})
    for record in state.services:
        assert record.pid is not None
        os.kill(record.pid, signal.SIGSTOP)  # so it can't react to its death signal
    platform.kill_supervisor()
    postgres, valkey = platform.pid("postgres"), platform.pid("valkey")
    for pid in (postgres, valkey):
        os.kill(pid, signal.SIGCONT)
    platform.up()
    assert platform.healthy()
    assert all_gone(state)


def test_killed_api_leaves_no_process_with_its_port(platform: Platform) -> None:
    """Use a fake server whose second process shares the listening socket, like real servers."""
    state = platform.up()
    second = psutil.Process(platform.pid("api")).children()
    assert second
    platform.kill("api")
    platform.wait(lambda: platform.service("api").restarts == 1 and platform.healthy())
    assert all(ended(child) for child in second)
    assert platform.state.port == state.port


def test_up_ends_descendants_of_a_killed_api_by_their_environment(platform: Platform) -> None:
    state = platform.up()
    second = psutil.Process(platform.pid("api")).children()
    assert second
    os.kill(state.pid, signal.SIGSTOP)
    os.kill(platform.pid("api"), signal.SIGKILL)
    os.kill(state.pid, signal.SIGKILL)
    done = platform.command("up", "--detach", "--port", str(state.port))
    assert done.returncode == 0, done.stderr
    assert all(ended(child) for child in second)


def test_up_ignores_a_stale_pid_file_with_a_reused_pid(platform: Platform) -> None:
    """Simulate a reboot, after which another process has the pid in PostgreSQL's pid file."""
    platform.up()
    row = platform.write_row()
    platform.kill_supervisor()
    platform.wait(lambda: all_gone(platform.state))
    stale = platform.home.postgres / "data" / "postmaster.pid"
    stale.write_text(f"{os.getpid()}\n{stale.parent}\n1\n5432\n/tmp\n\n  1 1\n")
    socket_lock = Path(platform.state.socket_dir) / "postgres" / ".s.PGSQL.5432.lock"
    socket_lock.write_text(f"{os.getpid()}\n")
    platform.up()
    assert platform.rows() == [row]


def test_up_leaves_processes_with_reused_pids_alone(platform: Platform) -> None:
    import subprocess

    platform.up()
    platform.down()
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        from aiplatform.embedded.state import ServiceRecord, State, write_state

        write_state(
            platform.home,
            State(
                run_id="gone",
                pid=bystander.pid,
                identity="another boot:1",
                home=str(platform.home.root),
                host="127.0.0.1",
                port=1,
                url="",
                database_url="",
                broker_url="",
                storage_url="",
                socket_dir="",
                started_at="2026-01-01T00:00:00+00:00",
                services=[
                    ServiceRecord("worker", pid=bystander.pid, identity="another boot:1"),
                    ServiceRecord("postgres", pid=bystander.pid, identity="another boot:1"),
                ],
            ),
        )
        platform.up()
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_up_ignores_an_unreadable_state_file(platform: Platform) -> None:
    platform.up()
    row = platform.write_row()
    platform.kill_supervisor()
    platform.home.state_file.write_bytes(b'{"run_id": "cut o')
    platform.up()
    assert platform.rows() == [row]


def test_up_starts_again_after_an_interrupted_initdb(platform: Platform) -> None:
    unfinished = platform.home.postgres / "data.new"
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18\n")
    platform.up()
    assert platform.write_row() == 1
    assert not unfinished.exists()


def test_damaged_queue_is_set_aside_and_replaced(platform: Platform) -> None:
    platform.up()
    platform.broker("SET a b")
    platform.down()
    (increment,) = (platform.home.valkey / "appendonlydir").glob("*.incr.aof")
    increment.write_bytes(b"*1\r\n$4\r\nPING\r\n" + b"\xff" * 64 + b"\r\n*1\r\n$4\r\nPING\r\n")
    platform.up()
    assert platform.healthy()
    assert list(platform.home.valkey.glob("appendonlydir.damaged-*"))


def test_down_ends_processes_of_a_killed_run(platform: Platform) -> None:
    platform.up()
    state = platform.state
    worker = platform.service("worker")
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGSTOP)
    platform.kill_supervisor()
    done = platform.down()
    assert done.returncode == 0, done.stderr
    platform.wait(lambda: all_gone(state))
    assert not is_same_process(worker.pid, worker.identity)
    assert not platform.home.state_file.exists()
