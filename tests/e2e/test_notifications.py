"""Tests of webhooks, e-mails and streams, including a worker killed during a webhook call."""

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from aiplatform import Client
from tests.e2e.conftest import Platform, running_platform
from tests.server.notifications.receiver import Receiver, receiving

pytestmark = pytest.mark.slow


class Inbox:
    """A mail server that keeps all messages it receives."""

    def __init__(self) -> None:
        self.got: list[str] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.got.append(envelope.content.decode())
        return "250 OK"


@pytest.fixture(scope="module")
def inbox() -> Iterator[tuple[Inbox, int]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    inbox = Inbox()
    controller = Controller(inbox, hostname="127.0.0.1", port=port)
    controller.start()
    yield inbox, port
    controller.stop()


@pytest.fixture(scope="module")
def platform(inbox: tuple[Inbox, int]) -> Iterator[Platform]:
    with running_platform(
        AIPLATFORM_OUTGOING_NETWORKS="127.0.0.0/8",
        AIPLATFORM_SMTP_HOST="127.0.0.1",
        AIPLATFORM_SMTP_PORT=str(inbox[1]),
        AIPLATFORM_SMTP_SECURITY="none",
    ) as running:
        yield running


@pytest.fixture(scope="module")
def client(platform: Platform) -> Iterator[Client]:
    with platform.client() as client:
        client.projects.create("e2e")
        client.project = "e2e"
        client.users.create("ann", "ann@example.com", "a quite long password of hers")
        yield client


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as server:
        yield server


def within(seconds: float, ready: Any) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_webhook_commands_create_test_replay_and_remove(
    platform: Platform, client: Client, receiver: Receiver
) -> None:
    platform.environment["AIPLATFORM_TOKEN"] = client.access_token()
    made = json.loads(
        platform.command(
            "webhooks", "create", "cli", receiver.url, "--event", "member:added", "--json",
            "--project", "e2e",
        ).stdout
    )  # fmt: skip
    assert "delivered" in platform.command("webhooks", "test", "cli", "-p", "e2e").stderr
    client.projects.set_member("e2e", "ann", "viewer")
    receiver.until(lambda: len(receiver.got) == 2)
    ping, added = receiver.events(made["secret"])
    assert (ping["type"], added["type"]) == ("webhook:ping", "member:added")
    assert added["data"]["user"] == "ann"
    listed = json.loads(
        platform.command("webhooks", "deliveries", "cli", "-p", "e2e", "--json").stdout
    )
    assert [item["status"] for item in listed] == ["delivered", "delivered"]
    platform.command("webhooks", "replay", "cli", listed[0]["uuid"], "-p", "e2e")
    receiver.until(lambda: len(receiver.got) == 3)
    assert receiver.ids()[2] == receiver.ids()[1]
    platform.command("webhooks", "rm", "cli", "-p", "e2e", "--yes")


def test_webhook_call_is_repeated_after_its_worker_was_killed(
    platform: Platform, client: Client, receiver: Receiver
) -> None:
    client.projects.set_member("e2e", "ann", "viewer")
    hook = client.webhooks.create("killed", receiver.url, events=["member:changed"])
    # Look up the process now, because the call must still be running when it is killed.
    worker = platform.pid("worker")
    receiver.wait = 10.0
    client.projects.set_member("e2e", "ann", "developer")
    receiver.until(lambda: len(receiver.got) == 1)
    os.kill(worker, signal.SIGKILL)
    receiver.wait = 0.0
    # This takes until the killed worker's lease expires and a new worker has started.
    receiver.until(lambda: len(receiver.got) == 2, seconds=240)
    assert len(set(receiver.ids())) == 1
    within(10, lambda: hook.deliveries().first().status == "delivered")  # type: ignore[union-attr]
    calls = client.webhooks.delivery(hook, hook.deliveries().first().uuid).calls  # type: ignore[union-attr]
    assert [call.status_code for call in calls] == [None, 200]
    hook.delete()


def test_notification_arrives_by_mail_and_stream(
    client: Client, platform: Platform, inbox: tuple[Inbox, int]
) -> None:
    ann = Client(platform.url, token="none").login("ann", "a quite long password of hers")
    seen: list[str] = []

    def watch() -> None:
        for notification in ann.notifications.watch():
            seen.append(notification.type)
            return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    time.sleep(1)
    inbox[0].got.clear()
    client.projects.remove_member("e2e", "ann")
    thread.join(10)
    assert seen == ["member:removed"]
    within(20, lambda: any("To: ann@example.com" in mail for mail in inbox[0].got))
