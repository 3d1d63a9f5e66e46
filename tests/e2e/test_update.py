"""Tests of updating a deployment under load: no request fails, and no stream is cut."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from aiplatform import Client
from aiplatform.client import ApiError, NotReady
from aiplatform.client.deployments import Deployment
from aiplatform.client.models import Model
from tests.e2e.conftest import Platform, running_platform
from tests.tiny_model import make_tiny_model

pytestmark = pytest.mark.slow
WORDS = 60


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    # Without a spare, a model server takes seconds to start, so it can be killed before it is
    # ready.
    with running_platform(AIPLATFORM_WARM_RUNTIME="off") as running:
        yield running


@pytest.fixture(scope="module")
def models(client: Client, tmp_path_factory: pytest.TempPathFactory) -> list[Model]:
    directory = make_tiny_model(tmp_path_factory.mktemp("tiny")) / "weights"
    queued = [client.models.import_path(directory, name=name) for name in ("first", "second")]
    return [model.wait_ready(300) for model in queued]


@pytest.fixture(scope="module")
def deployment(client: Client, models: list[Model]) -> Deployment:
    return client.deployments.create("faq", models[0], max_length=256).wait_ready(300)


class Load:
    """Threads that constantly send chat requests, alternately with and without streaming."""

    def __init__(self, platform: Platform, deployment: Deployment | str, askers: int = 4) -> None:
        self.platform = platform
        self.deployment = deployment
        self.answered = 0
        self.failures: list[str] = []
        self.stopped = threading.Event()
        self.threads = [threading.Thread(target=self._ask, args=(n,)) for n in range(askers)]

    def _ask(self, number: int) -> None:
        with self.platform.client() as client:
            asked = 0
            while not self.stopped.is_set():
                asked += 1
                stream = (number + asked) % 2 == 0
                wanted: dict[str, Any] = {"max_tokens": WORDS}
                try:
                    answer: Any = client.deployments.chat(
                        self.deployment, "Who are you?", stream=stream, **wanted
                    )
                    if stream:
                        for _ in answer:
                            pass
                    if answer.finish_reason not in {"length", "stop"}:
                        self.failures.append(f"it ended by {answer.finish_reason}")
                except ApiError as error:
                    self.failures.append(str(error))
                else:
                    self.answered += 1


@contextmanager
def asked(platform: Platform, deployment: Deployment | str) -> Iterator[Load]:
    load = Load(platform, deployment)
    for thread in load.threads:
        thread.start()
    try:
        until(lambda: load.answered >= 4, 120)
        yield load
        before = load.answered
        until(lambda: load.answered >= before + 8, 120)
    finally:
        load.stopped.set()
        for thread in load.threads:
            thread.join(120)
    assert load.failures == []


def until(condition: Any, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def test_update_under_load_fails_no_request_and_stops_the_old_server(
    platform: Platform, client: Client, models: list[Model], deployment: Deployment
) -> None:
    former = deployment.refresh().task
    with asked(platform, deployment):
        updated = deployment.update(models[1]).wait_updated(300)
        assert updated.model == models[1].uuid
        assert updated.task != former
    until(lambda: client.tasks.get(former).status == "cancelled", 60)
    with asked(platform, deployment):
        assert deployment.update(models[0]).wait_updated(300).model == models[0].uuid


def test_moved_alias_under_load_fails_no_request(
    platform: Platform, client: Client, tmp_path: Path
) -> None:
    directory = make_tiny_model(tmp_path) / "weights"
    first, second = (
        client.models.import_path(directory, name="aliased").wait_ready(300) for _ in range(2)
    )
    alias = first.set_alias("production", reason="The first one.").reference
    follower = client.deployments.create("follower", alias, max_length=256, follow=True)
    follower.wait_ready(300)
    with asked(platform, alias):
        second.set_alias("production", reason="Better.")
        assert follower.wait_updated(300).model == second.uuid
    with asked(platform, alias):
        client.models.undo_alias("aliased", "production")
        assert follower.wait_updated(300).model == first.uuid
    follower.delete()


def test_failed_update_under_load_fails_no_request(
    platform: Platform, client: Client, models: list[Model], deployment: Deployment
) -> None:
    with asked(platform, deployment):
        updating = deployment.update(models[1]).updating
        assert updating is not None
        os.kill(pid_of(client, updating.task), signal.SIGKILL)
        with pytest.raises(NotReady, match="update of faq failed"):
            deployment.wait_updated(300)
        seen = deployment.refresh()
        assert (seen.status, seen.model) == ("ready", models[0].uuid)


def pid_of(client: Client, task: Any) -> int:
    """Wait until a task's runtime has started and return its process id."""
    found: list[int] = []

    def look() -> bool:
        events = client.tasks.timeline(task)
        found[:] = [event.data["pid"] for event in events if event.kind == "started"]
        return bool(found)

    until(look, 120)
    return found[0]


def test_stream_begun_before_an_update_is_not_cut(
    platform: Platform, client: Client, models: list[Model], deployment: Deployment
) -> None:
    """Check that the stream ends normally; it is short and may end before the update does."""
    before = deployment.refresh()
    stream = before.chat("Who are you?", stream=True, max_tokens=200)
    pieces = iter(stream)
    next(pieces)
    after = deployment.update(models[1]).wait_updated(300)
    assert after.task != before.task
    time.sleep(2)
    assert sum(1 for _ in pieces) > 0
    assert stream.finish_reason in {"length", "stop"}


def test_update_command_prints_the_served_model(
    platform: Platform, client: Client, models: list[Model], deployment: Deployment, tmp_path: Path
) -> None:
    platform.environment["AIPLATFORM_TOKEN"] = client.access_token()
    done = platform.command("deploy", "update", "faq", "first", "--project", "e2e")
    assert "faq is ready and serves first@1." in done.stderr
