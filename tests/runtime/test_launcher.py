"""Tests of the launcher: no process of a job outlives its lease, its runner or its launcher."""

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from aiplatform.protocol.messages import PROTOCOL_VERSION, Hello, parse_runtime_message
from tests.runtime.harness import SOURCE, Runner, is_alive, wait_until_dead

# This program runs the launcher with a test job instead of the real one. ``out`` is the descriptor
# for messages.
DRIVER = """
import json, os, signal, subprocess, sys, time
from aiplatform.runtime import child, launcher
launcher.INITIAL_LEASE_SECONDS = float(os.environ.get("TEST_LEASE", "45"))

def say(out, **message):
    os.write(out, json.dumps(message).encode() + b"\\n")

def job(path, out):
{body}

child.run_job = job
sys.exit(launcher.launch(launcher.parse_arguments(["--job", "job.json", *sys.argv[1:]])))
"""

SPAWN_FAMILY = """
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    escaped = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True
    )
    say(out, type="pids", pids=[os.getpid(), sleeper.pid, escaped.pid], launcher=os.getppid())
"""

Start = Callable[..., Runner]


@pytest.fixture
def start() -> Start:
    def start(body: str, **environment: str) -> Runner:
        body = "\n".join(
            f"    {line.strip()}" if "\n" not in body else line for line in body.split("\n")
        )
        return Runner(["-c", DRIVER.replace("{body}", body)], environment)

    return start


def test_hello_is_the_first_message_and_has_the_protocol_version(start: Start) -> None:
    with start("say(out, type='pids', pid=os.getpid()); return 0") as runner:
        assert runner.finish() == 0
    hello = parse_runtime_message(json.dumps(runner.received[0]).encode())
    assert hello == Hello(pid=runner.received[1]["pid"])
    assert runner.received[0]["protocol"] == PROTOCOL_VERSION


def test_hello_arrives_within_its_time_limit(tmp_path: Path) -> None:
    """Check five starts: the fastest takes less than 100 ms, and the median less than 250 ms."""
    times = []
    for _ in range(5):
        with Runner(["-m", "aiplatform.runtime", "--job", str(tmp_path / "none")]) as runner:
            runner.wait_for("hello")
            times.append(time.monotonic() - runner.started)
            runner.finish()
    assert min(times) < 0.1, times
    assert statistics.median(times) < 0.25, times


def test_launcher_imports_only_the_standard_library() -> None:
    listing = "import sys; old = {*sys.modules}; import aiplatform.runtime.launcher; "
    modules = subprocess.run(
        [sys.executable, "-c", f"{listing} print(*sys.modules.keys() - old)"],
        env={"PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    roots = {name.partition(".")[0] for name in modules}
    assert roots <= sys.stdlib_module_names | {"aiplatform"}
    assert "json" not in roots
    assert {name for name in modules if name.startswith("aiplatform")} == {
        "aiplatform",
        "aiplatform.runtime",
        "aiplatform.runtime.launcher",
    }


@pytest.mark.parametrize(
    "arguments",
    [[], ["--job", "x"], ["--job", "x", "--messages-fd", "three", "--control-fd", "4"]],
)
def test_wrong_command_line_prints_the_usage(arguments: list[str]) -> None:
    process = subprocess.run(
        [sys.executable, "-m", "aiplatform.runtime", *arguments],
        env={"PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 2
    assert "usage: python -m aiplatform.runtime (--job" in process.stderr


@pytest.mark.parametrize("code", [0, 1, 7])
def test_launcher_returns_the_exit_code_of_the_child(start: Start, code: int) -> None:
    with start(f"return {code}") as runner:
        assert runner.finish() == code


def test_child_ended_by_a_signal_gives_exit_code_128_plus_signal(start: Start) -> None:
    with start("os.kill(os.getpid(), signal.SIGSEGV); time.sleep(9)") as runner:
        assert runner.finish() == 128 + signal.SIGSEGV


def test_exception_in_the_child_is_logged_and_gives_exit_code_1(start: Start) -> None:
    with start("raise LookupError('no such thing')") as runner:
        assert runner.finish() == 1
    assert "LookupError: no such thing" in runner.outputs["stderr"].decode()


def test_renewals_keep_the_child_alive_after_its_first_lease(start: Start) -> None:
    with start("time.sleep(1.6); return 0", TEST_LEASE="0.8") as runner:
        runner.wait_for("hello", renew=False)
        for _ in range(5):
            runner.renew(0.8)
            time.sleep(0.3)
        assert runner.finish(renew=False) == 0
    assert time.monotonic() - runner.started > 1.6


def test_expired_lease_kills_the_group_and_processes_that_left_it(start: Start) -> None:
    with start(f"{SPAWN_FAMILY}\n    time.sleep(600)", TEST_LEASE="1.0") as runner:
        family = runner.wait_for("pids", renew=False)["pids"]
        assert all(is_alive(pid) for pid in family)
        assert runner.finish(timeout=5, renew=False) == 128 + signal.SIGKILL
        assert time.monotonic() - runner.started < 4
        for pid in family:
            wait_until_dead(pid)
    assert "no renewal came in time" in runner.log


def test_expired_lease_kills_a_suspended_child_that_ignores_sigterm(start: Start) -> None:
    body = "signal.signal(signal.SIGTERM, signal.SIG_IGN); os.kill(os.getpid(), signal.SIGSTOP)"
    with start(body, TEST_LEASE="0.7") as runner:
        assert runner.finish(timeout=5, renew=False) == 128 + signal.SIGKILL


def test_closed_control_pipe_kills_all_processes_at_once(start: Start) -> None:
    with start(f"{SPAWN_FAMILY}\n    time.sleep(600)") as runner:
        family = runner.wait_for("pids")["pids"]
        gone = time.monotonic()
        runner.close_control()
        assert runner.finish(timeout=5) == 128 + signal.SIGKILL
        assert time.monotonic() - gone < 1
        for pid in family:
            wait_until_dead(pid)


def test_killing_the_launcher_kills_the_childs_group(start: Start) -> None:
    with start(f"{SPAWN_FAMILY}\n    time.sleep(600)") as runner:
        message = runner.wait_for("pids")
        child, sleeper, escaped = message["pids"]
        runner.process.kill()
        wait_until_dead(child)
        wait_until_dead(sleeper)
        os.kill(escaped, signal.SIGKILL)  # in another session, so the guardian doesn't reach it
        assert runner.finish() == -signal.SIGKILL


def test_killing_the_launchers_group_kills_the_childs_group(start: Start) -> None:
    driver = DRIVER.replace("{body}", f"{SPAWN_FAMILY}\n    time.sleep(600)")
    # The launcher leads a process group, as if a service manager had started it.
    with Runner(["-c", f"import os; os.setpgid(0, 0)\n{driver}"]) as runner:
        message = runner.wait_for("pids")
        os.killpg(message["launcher"], signal.SIGKILL)
        wait_until_dead(message["pids"][0])
        wait_until_dead(message["pids"][1])
        os.kill(message["pids"][2], signal.SIGKILL)


def test_cancel_sends_sigterm_and_lets_the_child_end(start: Start) -> None:
    body = """
    def obey(*_):
        say(out, type="stopped")
        os._exit(0)
    signal.signal(signal.SIGTERM, obey)
    say(out, type="listening")
    time.sleep(600)
    """
    with start(body) as runner:
        runner.wait_for("listening")
        runner.cancel(30)
        assert runner.finish(timeout=5) == 0
    assert runner.outcome == {"type": "stopped"}


def test_cancel_sends_sigkill_after_the_grace_period(start: Start) -> None:
    body = "signal.signal(signal.SIGTERM, signal.SIG_IGN); say(out, type='up'); time.sleep(600)"
    with start(body) as runner:
        runner.wait_for("up")
        cancelled = time.monotonic()
        runner.cancel(0.7)
        assert runner.finish(timeout=5) == 128 + signal.SIGKILL
        assert 0.6 < time.monotonic() - cancelled < 2


def test_second_cancel_can_only_shorten_the_grace_period(start: Start) -> None:
    body = "signal.signal(signal.SIGTERM, signal.SIG_IGN); say(out, type='up'); time.sleep(600)"
    with start(body) as runner:
        runner.wait_for("up")
        cancelled = time.monotonic()
        runner.cancel(0.7)
        runner.cancel(60)
        assert runner.finish(timeout=5) == 128 + signal.SIGKILL
        assert time.monotonic() - cancelled < 2


def test_cancel_reaches_the_children_of_the_child(start: Start) -> None:
    body = """
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    signal.signal(signal.SIGTERM, lambda *_: None)
    say(out, type="pids", pids=[sleeper.pid])
    say(out, type="ended", code=sleeper.wait())
    return 0
    """
    with start(body) as runner:
        runner.wait_for("pids")
        runner.cancel()
        assert runner.finish(timeout=5) == 0
    assert runner.of_type("ended")[0]["code"] == -signal.SIGTERM


def test_sigterm_to_the_launcher_cancels_the_job(start: Start) -> None:
    body = (
        "signal.signal(signal.SIGTERM, lambda *_: os._exit(0)); say(out, type='up'); time.sleep(99)"
    )
    with start(body) as runner:
        runner.wait_for("up")
        runner.process.terminate()
        assert runner.finish(timeout=5) == 0


def test_end_of_the_child_kills_its_descendants(start: Start) -> None:
    with start(f"{SPAWN_FAMILY}\n    return 0") as runner:
        assert runner.finish(timeout=5) == 0
        for pid in runner.of_type("pids")[0]["pids"]:
            wait_until_dead(pid)


@pytest.mark.parametrize(
    "line", [b"garbage\n", b'{"type":"renew","seconds":"x"}\n', b"[1]\n", b"\xff\n"]
)
def test_invalid_control_line_is_ignored_and_logged(start: Start, line: bytes) -> None:
    with start("say(out, type='up'); time.sleep(0.3); return 3") as runner:
        runner.wait_for("up")
        os.write(runner.control, line)
        assert runner.finish() == 3
    assert "not a control message" in runner.log


def test_control_line_in_pieces_is_understood(start: Start) -> None:
    with start("time.sleep(1.5); return 0", TEST_LEASE="0.8") as runner:
        runner.wait_for("hello", renew=False)
        os.write(runner.control, b'{"type":"renew",')
        time.sleep(0.1)
        os.write(runner.control, b'"seconds":5}\n')
        assert runner.finish(renew=False) == 0


def test_endless_control_line_is_ignored(start: Start) -> None:
    with start("time.sleep(1); return 0") as runner:
        runner.wait_for("hello")
        for _ in range(40):
            os.write(runner.control, b"x" * 65536)
        os.write(runner.control, b"\n")
        assert runner.finish() == 0


def test_printed_text_is_not_taken_for_a_message(start: Start) -> None:
    forged = '{"type":"result","data":{"forged":true}}'
    body = f"""
    print('{forged}', flush=True)
    print('{forged}', file=sys.stderr, flush=True)
    os.write(1, b'{forged}\\n')
    loop = '''for fd in 1 2 3 4 5 6 7 8 9; do echo '{forged}' >&$fd; done'''
    subprocess.run(["bash", "-c", loop], close_fds=False)
    return 0
    """
    with start(body) as runner:
        assert runner.finish() == 0
    assert [message["type"] for message in runner.received] == ["hello"]
    assert b"forged" in runner.outputs["stdout"]
    assert b"forged" in runner.outputs["stderr"]


def test_descendants_inherit_no_pipe_of_the_launcher(start: Start) -> None:
    body = """
    listing = "import os; print(sorted(int(fd) for fd in os.listdir('/proc/self/fd')))"
    said = subprocess.run(
        [sys.executable, "-c", listing], close_fds=False, capture_output=True, text=True
    ).stdout
    say(out, type="fds", fds=json.loads(said), messages=out)
    return 0
    """
    with start(body) as runner:
        assert runner.finish() == 0
    message = runner.of_type("fds")[0]
    # 3 is the descriptor of the listed directory itself.
    assert set(message["fds"]) <= {0, 1, 2, 3}


def test_child_has_no_descriptor_of_the_control_pipe(start: Start) -> None:
    body = """
    fds = {int(fd): os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")
           if os.path.exists(f"/proc/self/fd/{fd}")}
    say(out, type="fds", pipes=[fd for fd, target in fds.items() if target.startswith("pipe:")],
        messages=out)
    return 0
    """
    with start(body) as runner:
        assert runner.finish() == 0
    message = runner.of_type("fds")[0]
    assert set(message["pipes"]) - {0, 1, 2} == {message["messages"]}


def test_child_that_reports_to_a_gone_runner_ends(start: Start) -> None:
    with start("time.sleep(0.5); say(out, type='late'); time.sleep(600)") as runner:
        runner.wait_for("hello")
        runner.messages.close()
        runner._selector = type(runner._selector)()
        assert runner.process.wait(timeout=5) == 1
