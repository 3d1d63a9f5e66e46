"""Tests of the process manager (restarts, failures, stops), with processes that start quickly."""

import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from aiplatform.embedded import process_manager as process_manager_module
from aiplatform.embedded.errors import HomeUnusableError, StartFailedError
from aiplatform.embedded.process import identity, wait_until_gone
from aiplatform.embedded.process_manager import (
    LONGEST_RESTART_DELAY,
    ProcessManager,
    child_environment,
    restart_delay,
)
from aiplatform.embedded.service import Service
from aiplatform.embedded.signals import Signals, StopRequestedError
from aiplatform.embedded.state import ServiceState


@pytest.fixture
def signals() -> Iterator[Signals]:
    with Signals() as found:
        yield found


@pytest.fixture
def process_manager(signals: Signals, tmp_path: Path) -> Iterator[ProcessManager]:
    process_manager = ProcessManager(signals, tmp_path, lambda: None, lambda: None)
    yield process_manager
    signals.stop_requests += 5
    process_manager.stop(list(process_manager.children))


def shell(script: str, tmp_path: Path, name: str = "one", **options: object) -> Service:
    return Service(
        name=name,
        command=("sh", "-c", script),
        cwd=tmp_path,
        env=child_environment({}),
        **options,  # type: ignore[arg-type]
    )


def python(code: str, tmp_path: Path, name: str = "one", **options: object) -> Service:
    return Service(
        name=name,
        command=(sys.executable, "-c", code),
        cwd=tmp_path,
        env=child_environment({}),
        **options,  # type: ignore[arg-type]
    )


def test_process_manager_restarts_an_ended_process(
    process_manager: ProcessManager, tmp_path: Path
) -> None:
    process_manager.starting = False
    child = process_manager.start(shell("echo x >> starts; sleep 0.1", tmp_path))
    assert process_manager.wait_until(lambda: child.record.restarts >= 2, 10)
    assert (tmp_path / "starts").read_text().count("x") >= 2
    assert child.record.last_exit == "exit code 0"


def test_pause_grows_up_to_a_limit() -> None:
    delays = [restart_delay(failures) for failures in range(1, 12)]
    assert delays == sorted(delays)
    assert delays[0] < 0.5
    assert delays[-1] == LONGEST_RESTART_DELAY
    assert restart_delay(5000) == LONGEST_RESTART_DELAY


def test_process_manager_gives_up_during_the_start_and_quotes_the_log(
    process_manager: ProcessManager, tmp_path: Path
) -> None:
    process_manager.start(shell("echo because of this; exit 7", tmp_path))
    with pytest.raises(StartFailedError, match=r"(?s)one ended 3 times .*exit code 7.*of this"):
        process_manager.wait_until(lambda: False, 10)


def test_process_manager_quotes_only_the_output_of_the_last_start(
    process_manager: ProcessManager, tmp_path: Path
) -> None:
    (tmp_path / "one.log").write_text("yesterday's trouble\n")
    process_manager.start(shell("echo new; exit 1", tmp_path))
    with pytest.raises(StartFailedError) as caught:
        process_manager.wait_until(lambda: False, 10)
    assert "yesterday" not in caught.value.message


def test_diagnosis_ends_further_attempts(process_manager: ProcessManager, tmp_path: Path) -> None:
    def diagnose(log: str) -> HomeUnusableError | None:
        return HomeUnusableError("full") if "No space" in log else None

    child = process_manager.start(shell("echo No space; exit 1", tmp_path, diagnose=diagnose))
    with pytest.raises(HomeUnusableError):
        process_manager.wait_until(lambda: False, 10)
    assert child.record.restarts == 0


def test_transient_failures_are_repeated_until_success(
    process_manager: ProcessManager, tmp_path: Path
) -> None:
    script = (
        "echo x >> starts; if [ $(wc -l < starts) -lt 6 ]; then echo busy; exit 1; fi; sleep 60"
    )
    child = process_manager.start(
        shell(
            script,
            tmp_path,
            transient_messages=("busy",),
            is_ready=lambda: (tmp_path / "starts").read_text().count("x") == 6,
        )
    )
    assert process_manager.wait_until(lambda: child.record.state is ServiceState.RUNNING, 15)


def test_run_returns_when_the_process_has_ended(
    process_manager: ProcessManager, tmp_path: Path
) -> None:
    process_manager.run(shell("echo done > result", tmp_path))
    assert (tmp_path / "result").exists()
    assert process_manager.children == {}
    with pytest.raises(StartFailedError, match="exit code 2"):
        process_manager.run(shell("exit 2", tmp_path))


def test_run_supervises_other_processes_meanwhile(
    process_manager: ProcessManager, tmp_path: Path
) -> None:
    flaky = process_manager.start(
        shell("if [ -e seen ]; then sleep 60; fi; touch seen; exit 1", tmp_path, "flaky")
    )
    process_manager.run(shell("sleep 1.5", tmp_path, "long"))
    assert flaky.record.restarts == 1
    assert flaky.alive


def test_start_of_a_missing_program_is_refused(
    process_manager: ProcessManager, tmp_path: Path
) -> None:
    with pytest.raises(HomeUnusableError, match="nonexistent"):
        process_manager.start(Service("one", ("/nonexistent",), tmp_path))


def test_stop_sends_the_next_signal_after_a_timeout(
    process_manager: ProcessManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = tmp_path / "ready"
    child = process_manager.start(
        python(
            "import pathlib, signal, time; signal.signal(15, signal.SIG_IGN);"
            f"pathlib.Path({str(ready)!r}).touch(); time.sleep(60)",
            tmp_path,
            stop_steps=((signal.SIGTERM, 0.3), (signal.SIGKILL, 5.0)),
        )
    )
    assert process_manager.wait_until(ready.exists, 10)
    process_manager.stop(["one"])
    assert child.record.last_exit == "signal SIGKILL"
    assert child.record.state is ServiceState.STOPPED


def test_stopped_process_is_not_restarted(process_manager: ProcessManager, tmp_path: Path) -> None:
    child = process_manager.start(shell("sleep 60", tmp_path))
    process_manager.stop(["one"])
    process_manager.tick(0.5)
    assert not child.alive
    assert child.record.restarts == 0


def test_stop_cancels_a_pending_restart(process_manager: ProcessManager, tmp_path: Path) -> None:
    process_manager.starting = False
    child = process_manager.start(shell("exit 1", tmp_path))
    process_manager.wait_until(lambda: child.start_at is not None, 5)
    process_manager.stop(["one"])
    process_manager.tick(1.0)
    assert child.record.restarts == 0


def test_stop_request_interrupts_tick(process_manager: ProcessManager, tmp_path: Path) -> None:
    process_manager.start(shell("sleep 60", tmp_path))
    began = time.monotonic()
    signal.raise_signal(signal.SIGTERM)
    with pytest.raises(StopRequestedError):
        process_manager.tick(30)
    assert time.monotonic() - began < 2


def test_stop_kills_the_children_of_the_process(
    process_manager: ProcessManager, tmp_path: Path
) -> None:
    process_manager.start(shell("sleep 60 & echo $! > inner; wait", tmp_path))
    assert process_manager.wait_until((tmp_path / "inner").exists, 5)
    time.sleep(0.1)
    inner = int((tmp_path / "inner").read_text())
    known = identity(inner)
    assert known is not None
    process_manager.stop(["one"])
    assert wait_until_gone(inner, known, 5)


def test_stable_process_is_restarted_quickly(
    process_manager: ProcessManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_manager_module, "STABLE_SECONDS", 0.1)
    process_manager.starting = False
    child = process_manager.start(shell("sleep 0.2; exit 1", tmp_path))
    process_manager.wait_until(lambda: child.record.restarts >= 3, 10)
    assert child.failures == 1


def test_child_environment_leaves_out_libpq_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "elsewhere")
    monkeypatch.setenv("PGpassword_hint", "kept")
    found = child_environment({"AIPLATFORM_HOME": "/x"})
    assert "PGHOST" not in found
    assert found["PGpassword_hint"] == "kept"
    assert found["AIPLATFORM_HOME"] == "/x"
