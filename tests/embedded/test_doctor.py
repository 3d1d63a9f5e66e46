import http.server
import json
import os
import socket
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from aiplatform.embedded import doctor
from aiplatform.embedded.doctor import (
    Check,
    Outcome,
    check_gpu,
    check_hub,
    check_isolation,
    check_scripts,
    check_traces,
    examine,
)
from aiplatform.embedded.home import Home
from tests.embedded.conftest import Platform

NOWHERE = {"AIPLATFORM_HUB_ENDPOINT": "http://127.0.0.1:9"}


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


@pytest.fixture
def home(new_platform: Callable[..., Platform]) -> Home:
    return new_platform().home


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Return a function that puts a program on the PATH."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    def make(name: str, script: str) -> None:
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)

    return make


def test_doctor_finds_no_failure_on_a_fit_machine(home: Home) -> None:
    checks = by_name(examine(home, "127.0.0.1", 0, NOWHERE))
    failed = [check for check in checks.values() if check.outcome is Outcome.FAIL]
    assert failed == []
    assert checks["hub"].outcome is Outcome.WARN
    assert "hf-mirror" in checks["hub"].remedy
    assert not home.root.exists()  # the checks change nothing


def test_doctor_names_a_remedy_for_each_problem(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "RECOMMENDED_DISK_BYTES", 1 << 60)
    monkeypatch.setattr(doctor, "RECOMMENDED_MEMORY_BYTES", 1 << 60)
    monkeypatch.setattr(doctor, "missing_packages", lambda extra: [f"part-of-{extra}"])
    data = home.postgres / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("12\n")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        environ = {
            **NOWHERE,
            "AIPLATFORM_POSTGRES_BIN": "/nowhere",
            "AIPLATFORM_VALKEY_BIN": "/nowhere",
        }
        checks = by_name(examine(home, "127.0.0.1", other.getsockname()[1], environ))
    for name in ("extra server", "postgresql", "valkey", "database", "port"):
        assert checks[name].outcome is Outcome.FAIL, name
    for name in ("extra llm", "disk", "memory", "hub"):
        assert checks[name].outcome is Outcome.WARN, name
    for check in checks.values():
        assert check.remedy or check.outcome is Outcome.OK, check


ISOLATED = {
    "isolated": True,
    "reason": None,
    "groups": {"memory": 2, "pids": 2, "kill": 2},
    "closed": None,
}
ORDINARY = {**ISOLATED, "isolated": False, "reason": "it runs as an ordinary user", "groups": {}}
WITHOUT = {"AIPLATFORM_SCRIPTS_WITHOUT_ISOLATION": "true"}
ELSEWHERE = {"AIPLATFORM_SCRIPT_ENVIRONMENTS": "default=/opt/envs/scripts"}


@pytest.mark.parametrize(
    ("found", "environ", "outcome", "message", "remedy"),
    [
        (ISOLATED, {}, Outcome.OK, "memory by cgroup v2, processes by cgroup v2", ""),
        (
            {**ISOLATED, "groups": {"kill": 2}},
            {},
            Outcome.WARN,
            "without cgroups for memory and processes",
            "Delegate=yes",
        ),
        (
            ORDINARY,
            {},
            Outcome.WARN,
            "can't isolate them: it runs as an ordinary user; a worker like this refuses them",
            "Run the worker as root on Linux",
        ),
        (
            ORDINARY,
            WITHOUT,
            Outcome.WARN,
            "they run anyway, and can read each other's files",
            "Unset AIPLATFORM_SCRIPTS_WITHOUT_ISOLATION",
        ),
        (
            {**ISOLATED, "closed": "/root"},
            {},
            Outcome.WARN,
            "/root is closed to other users",
            "default=/opt/envs/scripts",
        ),
        ({**ISOLATED, "closed": "/root"}, ELSEWHERE, Outcome.OK, "isolated: own user", ""),
    ],
)
def test_judge_isolation_reports_the_result_with_a_remedy(
    found: dict[str, object],
    environ: dict[str, str],
    outcome: Outcome,
    message: str,
    remedy: str,
) -> None:
    check = check_isolation(found, environ, allowed=True)
    assert check.outcome is outcome
    assert check.message.startswith("on; ")
    assert message in check.message
    assert remedy in check.remedy
    assert bool(check.remedy) is (outcome is not Outcome.OK)
    off = check_isolation(found, environ, allowed=False)
    assert (off.outcome, off.message) == (Outcome.OK, check.message.replace("on; ", "off; ", 1))


def test_check_scripts_tries_the_isolation_on_this_machine() -> None:
    check = check_scripts({"AIPLATFORM_SCRIPTS": "true"})
    if os.geteuid() == 0:
        assert "isolate" in check.message
    else:
        assert "can't isolate them: it runs as an ordinary user" in check.message


def test_check_gpu_reports_gpus_and_broken_drivers(
    tools: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    tools("nvidia-smi", "echo 'NVIDIA H100, 81559 MiB'")
    monkeypatch.setattr(doctor, "_version", lambda name: "2.9.0+cu128")
    assert check_gpu().outcome is Outcome.OK
    assert "H100" in check_gpu().message
    monkeypatch.setattr(doctor, "_version", lambda name: "2.9.0+cpu")
    assert check_gpu().outcome is Outcome.WARN
    tools("nvidia-smi", "echo 'Driver/library version mismatch'; exit 18")
    assert check_gpu().outcome is Outcome.WARN
    assert "driver" in check_gpu().remedy


def test_check_traces_reports_missing_collectors_and_packages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert check_traces({}).message == "off"
    with socket.socket() as collector:
        collector.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{collector.getsockname()[1]}"
        on = {"AIPLATFORM_TRACES": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": address}
        assert check_traces(on).outcome is Outcome.WARN  # it does not listen yet
        collector.listen()
        found = check_traces(on)
        assert (found.outcome, found.message) == (Outcome.OK, f"on, to {address}")
    monkeypatch.setattr(doctor, "missing_packages", lambda extra: [f"part-of-{extra}"])
    found = check_traces(on)
    assert found.outcome is Outcome.FAIL
    assert "aiplatform[otel]" in found.remedy


def test_check_hub_accepts_a_hub_that_answers() -> None:
    class Hub(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}"
        assert check_hub({"HF_ENDPOINT": address}).outcome is Outcome.OK
        server.shutdown()


@pytest.mark.parametrize("address", ["nonsense", "http://[", "ftp://x", "http://\x00"])
def test_check_hub_warns_of_an_invalid_address(address: str) -> None:
    assert check_hub({"HF_ENDPOINT": address}).outcome is Outcome.WARN


def test_doctor_does_not_wait_for_a_silent_hub(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "HUB_SECONDS", 0.1)
    monkeypatch.setattr(doctor, "check_hub", lambda environ: time.sleep(30))
    began = time.monotonic()
    assert by_name(examine(home, "127.0.0.1", 0, {}))["hub"].outcome is Outcome.WARN
    assert time.monotonic() - began < 10


def test_doctor_command_prints_json_and_remedies(platform: Platform) -> None:
    state = platform.up()
    done = platform.command("doctor", "--json", "--port", str(state.port), env=NOWHERE)
    assert done.returncode == 0, done.stderr
    checks = {check["name"]: check for check in json.loads(done.stdout)}
    assert "healthy" in checks["platform"]["message"]
    assert checks["port"]["outcome"] == "ok"
    done = platform.command("doctor", env={**NOWHERE, "AIPLATFORM_VALKEY_BIN": "/nowhere"})
    assert done.returncode == 1
    assert "/nowhere" in done.stdout
    assert "AIPLATFORM_VALKEY_BIN" in done.stdout
