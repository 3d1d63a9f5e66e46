"""Scenes of commands that run the platform or read its database, in their own processes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import httpx

from tests.e2e.conftest import free_port
from tests.surface.stage import Stage, scene


def run_until(stage: Stage, command: str, ready: Callable[[], bool], **variables: str) -> None:
    """Run ``aiplatform server`` or ``worker`` until it is ready, then stop it with SIGTERM."""
    state = stage.platform.status()["platform"]
    process = subprocess.Popen(
        [sys.executable, "-m", "aiplatform", command],
        env={
            **os.environ,
            "AIPLATFORM_HOME": str(stage.platform.home),
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
    stage.recorder.note(command)


@scene("db check", "db rotate-keys", "db upgrade", "doctor", "status", "tasks top")
def looking_at_the_platform(stage: Stage) -> None:
    services = json.loads(stage.process("status", "--json"))["platform"]["services"]
    assert {"postgres", "api", "worker"} <= {service["name"] for service in services}
    assert stage.process("doctor")
    checked = json.loads(stage.process("db", "check", "--json"))
    assert (checked["ok"], checked["restricted"]) == (True, True)
    assert json.loads(stage.process("db", "upgrade", "--json"))["after"] == checked["current"]
    assert json.loads(stage.process("db", "rotate-keys", "--json"))
    assert stage.told("tasks", "top")


@scene("audit archive", "audit keygen", "audit prune", "audit seal", "audit verify")
def sealing_the_audit_trail(stage: Stage) -> None:
    key = stage.tmp / "seal.key"
    stage.process("audit", "keygen", str(key))
    sealed = json.loads(stage.process("audit", "seal", "--key", str(key), "--json"))
    assert sealed["signed"]
    archived = json.loads(stage.process("audit", "archive", "--days", "0", "--json"))["archived"]
    assert archived > 0
    assert json.loads(stage.process("audit", "prune", "--days", "0", "--json"))["pruned"] > 0
    told = stage.process(
        "audit", "verify", "--public-key", f"{key}.pub", "--head", sealed["head"], "--json"
    )
    verdict = json.loads(told)
    assert verdict["intact"]
    assert verdict["archived"] >= archived


@scene("server", "worker")
def programs_of_production(stage: Stage) -> None:
    port = free_port()

    def answers() -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/api/v1/health").status_code == 200
        except httpx.TransportError:
            return False

    run_until(stage, "server", answers, AIPLATFORM_PORT=str(port))
    assert not answers()
    name = stage.name("second")

    def works() -> bool:
        return any(worker.name == name for worker in stage.client.workers.list())

    run_until(stage, "worker", works, AIPLATFORM_WORKER_NAME=name,
              AIPLATFORM_WORKER_QUEUES="unused")  # fmt: skip


@scene("down", "up", last=True)
def stopping_and_starting_the_platform(stage: Stage) -> None:
    stage.process("down")
    assert stage.platform.status()["platform"] is None
    stage.process("up", "--detach", "--port", str(stage.platform.port))
    assert stage.client.health()
