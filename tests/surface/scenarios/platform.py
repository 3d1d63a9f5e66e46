"""Scenarios for commands that run the platform or read its database, in their own processes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import httpx

from tests.e2e.conftest import free_port
from tests.surface.live_platform import LivePlatform, scenario


def run_until(
    live: LivePlatform, command: str, ready: Callable[[], bool], **variables: str
) -> None:
    """Run ``aiplatform server`` or ``worker`` until it is ready, then stop it with SIGTERM."""
    state = live.platform.status()["platform"]
    process = subprocess.Popen(
        [sys.executable, "-m", "aiplatform", command],
        env={
            **os.environ,
            "AIPLATFORM_HOME": str(live.platform.home),
            "AIPLATFORM_DATABASE_URL": state["database_url"],
            "AIPLATFORM_BROKER_URL": state["broker_url"],
            "AIPLATFORM_STORAGE_URL": state["storage_url"],
            **variables,
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 180
        while not ready():
            assert process.poll() is None, f"aiplatform {command} has ended"
            assert time.monotonic() < deadline, f"aiplatform {command} is not ready"
            time.sleep(0.2)
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(60)
    assert code in {0, -signal.SIGTERM}, code
    live.recorder.note(command)


@scenario("db check", "db rotate-keys", "db upgrade", "doctor", "status", "tasks top")
def looking_at_the_platform(live: LivePlatform) -> None:
    services = json.loads(live.process("status", "--json"))["platform"]["services"]
    assert {"postgres", "api", "worker"} <= {service["name"] for service in services}
    assert live.process("doctor")
    checked = json.loads(live.process("db", "check", "--json"))
    assert (checked["ok"], checked["restricted"]) == (True, True)
    assert json.loads(live.process("db", "upgrade", "--json"))["after"] == checked["current"]
    assert json.loads(live.process("db", "rotate-keys", "--json"))
    assert live.cli_json("tasks", "top")


@scenario("audit archive", "audit keygen", "audit prune", "audit seal", "audit verify")
def sealing_the_audit_trail(live: LivePlatform) -> None:
    key = live.tmp / "seal.key"
    live.process("audit", "keygen", str(key))
    sealed = json.loads(live.process("audit", "seal", "--key", str(key), "--json"))
    assert sealed["signed"]
    archived = json.loads(live.process("audit", "archive", "--days", "0", "--json"))["archived"]
    assert archived > 0
    assert json.loads(live.process("audit", "prune", "--days", "0", "--json"))["pruned"] > 0
    printed = live.process(
        "audit", "verify", "--public-key", f"{key}.pub", "--head", sealed["head"], "--json"
    )
    verdict = json.loads(printed)
    assert verdict["intact"]
    assert verdict["archived"] >= archived


@scenario("server", "worker")
def programs_of_production(live: LivePlatform) -> None:
    port = free_port()

    def answers() -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/api/v1/health").status_code == 200
        except httpx.TransportError:
            return False

    run_until(live, "server", answers, AIPLATFORM_PORT=str(port))
    assert not answers()
    name = live.name("second")

    def works() -> bool:
        return any(worker.name == name for worker in live.client.workers.list())

    run_until(live, "worker", works, AIPLATFORM_WORKER_NAME=name,
              AIPLATFORM_WORKER_QUEUES="unused")  # fmt: skip


@scenario("down", "up", last=True)
def stopping_and_starting_the_platform(live: LivePlatform) -> None:
    live.process("down")
    assert live.platform.status()["platform"] is None
    live.process("up", "--detach", "--port", str(live.platform.port))
    assert live.client.health()
