import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from aiplatform.embedded.process import (
    describe_exit,
    end_process,
    identity,
    is_same_process,
    processes_with_variable,
    reap_if_ended,
    spawn,
    wait_until_gone,
)

ON_LINUX = sys.platform.startswith("linux")


def wait_ended(process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 10
    while not reap_if_ended(process):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_identity_is_stable_and_differs_between_processes() -> None:
    own = identity(os.getpid())
    assert own is not None
    assert identity(os.getpid()) == own
    assert is_same_process(os.getpid(), own)
    assert not is_same_process(1, own)
    assert not is_same_process(os.getpid(), "another boot:1")
    assert not is_same_process(None, None)


def test_identity_of_a_zombie_is_none() -> None:
    process = subprocess.Popen(["sleep", "60"])
    known = identity(process.pid)
    assert is_same_process(process.pid, known)
    process.kill()
    assert wait_until_gone(process.pid, known, 5)
    assert psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE
    process.wait()
    assert identity(process.pid) is None


def test_identity_works_with_a_misleading_program_name(tmp_path: Path) -> None:
    """Use a name with a parenthesis, because /proc/PID/stat has the name in parentheses."""
    script = tmp_path / ") Z 1 2 3"
    script.symlink_to("/bin/sleep")
    process = subprocess.Popen([script, "60"])
    try:
        assert identity(process.pid) is not None
    finally:
        process.kill()
        process.wait()


def test_spawned_process_leads_its_own_session(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        process = spawn(["sleep", "60"], env={}, log=log, cwd=tmp_path)
    try:
        assert os.getsid(process.pid) == process.pid
    finally:
        process.kill()
        process.wait()


def test_reap_if_ended_kills_the_rest_of_the_process_group(tmp_path: Path) -> None:
    script = f"sleep 60 & echo $! > {tmp_path / 'pid'}; sleep 0.2; exit 3"
    process = spawn(["sh", "-c", script], env=dict(os.environ), log=-3, cwd=tmp_path)
    wait_ended(process)
    assert process.returncode == 3
    left = int((tmp_path / "pid").read_text())
    assert wait_until_gone(left, identity(left), 5)


@pytest.mark.skipif(not ON_LINUX, reason="the kernel's death signal")
def test_children_of_a_killed_parent_get_the_death_signal(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from aiplatform.embedded.process import spawn;"
        "child = spawn(['sleep', '60'], env={}, log=-3, cwd=Path('/'), death_signal=15);"
        "print(child.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    known = identity(child)
    assert known is not None
    parent.kill()
    parent.wait()
    assert wait_until_gone(child, known, 5)


def test_end_process_sends_the_next_signal_if_one_is_ignored(tmp_path: Path) -> None:
    code = "import signal as s, time; s.signal(15, s.SIG_IGN); print(1, flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    known = identity(process.pid)
    assert known is not None
    assert end_process(process.pid, known, [(signal.SIGTERM, 0.3), (signal.SIGKILL, 5)])
    assert process.wait() == -signal.SIGKILL


def test_end_process_does_not_signal_a_reused_pid() -> None:
    process = subprocess.Popen(["sleep", "60"])
    try:
        assert end_process(process.pid, "another boot:1", [(signal.SIGKILL, 1)])
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def test_processes_with_finds_processes_by_environment() -> None:
    process = subprocess.Popen(["sleep", "60"], env={"MARK": f"run-{os.getpid()}"})
    try:
        time.sleep(0.2)
        assert [pid for pid, _ in processes_with_variable("MARK", f"run-{os.getpid()}")] == [
            process.pid
        ]
        assert processes_with_variable("MARK", "run-") == []
    finally:
        process.kill()
        process.wait()


def test_describe_exit_names_codes_and_signals() -> None:
    assert describe_exit(3) == "exit code 3"
    assert describe_exit(-9) == "signal SIGKILL"
    assert describe_exit(-200) == "signal 200"
