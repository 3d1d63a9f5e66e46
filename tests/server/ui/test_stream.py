"""Tests of the web interface's event stream: topics, permissions, continuation and end."""

import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import delete, update
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import DeploymentStatus, TaskStatus
from aiplatform.server.core.events import get_notifier
from aiplatform.server.core.session_cookie import NAME
from aiplatform.server.inference.models import Deployment
from aiplatform.server.projects.models import Project, ProjectPermission
from aiplatform.server.queue.models import Task
from aiplatform.server.queue.service.queue import add_event
from tests.conftest import Api
from tests.factories import (
    make_deployment,
    make_member,
    make_project,
    make_task,
    make_token,
    make_user,
)
from tests.openapi_checks import CheckedClient
from tests.server.notifications.stream_client import call, tell
from tests.server.ui.conftest import Browser
from tests.server.ui.stream_client import StreamClient

Open = Callable[..., StreamClient]


@pytest.fixture
def project(session: Session) -> Project:
    return make_project(session)


@pytest.fixture
def token(session: Session, project: Project) -> str:
    return make_token(session, make_member(session, project, "developer"))


@pytest.fixture
def watch(server_url: str) -> Iterator[Open]:
    opened: list[StreamClient] = []

    def open_one(token: str, topics: str, **options: Any) -> StreamClient:
        headers = {"Authorization": f"Bearer {token}", **options.pop("headers", {})}
        params = {name: str(value) for name, value in options.items()}
        stream = StreamClient(server_url, headers, topics=topics, **params)
        opened.append(stream)
        stream.until(lambda s: s.opened.is_set())
        return stream

    yield open_one
    for stream in opened:
        stream.close()


def progress(session: Session, task: Task, value: float) -> None:
    """Change a task's progress as its attempt does, and notify its watchers."""
    session.execute(update(Task).where(Task.id == task.id).values(progress=value))
    session.commit()
    get_notifier().notify(f"task:{task.uuid}")


class TestTopics:
    def test_topics_come_in_one_stream(
        self, session: Session, project: Project, watch: Open
    ) -> None:
        user = make_member(session, project, "developer")
        task = make_task(session, project, status=TaskStatus.RUNNING)
        deployment = make_deployment(session, project)
        topics = f"notifications,tasks,deployments,task:{task.uuid},logs:{task.uuid}"
        stream = watch(make_token(session, user), topics, project=project.uuid)
        stream.until(lambda s: len(s.of("ready")) == 3 and len(s.of("status")) == 2)
        time.sleep(1.2)  # the first state of the deployments is read
        tell(session, user, "mine")
        add_event(session, task, "note", text="hello")
        progress(session, task, 0.5)
        session.execute(
            update(Deployment)
            .where(Deployment.id == deployment.id)
            .values(status=DeploymentStatus.STARTING)
        )
        session.commit()
        stream.until(
            lambda s: (
                s.of("notification")
                and s.of("event", f"task:{task.uuid}")
                and s.of("tasks")
                and s.of("deployments")
            )
        )
        assert stream.of("tasks")[-1]["items"] == [
            {
                "uuid": str(task.uuid),
                "name": task.name,
                "type": "data_quality",
                "status": "running",
                "progress": 0.5,
                "priority": 5,
                "error": None,
            }
        ]
        changed = stream.of("deployments")[0]["items"]
        assert [(one["uuid"], one["status"]) for one in changed] == [
            (str(deployment.uuid), "starting")
        ]

    def test_submitted_task_makes_lists_read_again(
        self, session: Session, project: Project, watch: Open, client: CheckedClient, token: str
    ) -> None:
        stream = watch(token, "tasks", project=project.uuid)
        stream.until(lambda s: s.of("ready"))
        path = f"projects/{project.uuid}/runs"
        assert Api(client, token).post(path, json={"name": "elsewhere"}).is_success
        stream.until(lambda s: s.of("resync") or s.of("tasks"))

    def test_changes_are_sent_together(
        self, session: Session, project: Project, watch: Open, token: str
    ) -> None:
        task = make_task(session, project, status=TaskStatus.RUNNING)
        stream = watch(token, f"tasks,task:{task.uuid},logs:{task.uuid}", project=project.uuid)
        stream.until(lambda s: s.of("ready") and len(s.of("status")) == 2)
        before, began = stream.sends, time.monotonic()
        while time.monotonic() - began < 3:
            progress(session, task, (time.monotonic() - began) / 4)
            time.sleep(0.02)
        sends = stream.sends - before
        assert sends <= 3 / 0.25 + 2
        stream.until(lambda s: s.of("progress")[-1]["value"] > 0.7)


class TestPermissions:
    @pytest.fixture
    def api(self, client: CheckedClient, token: str) -> Api:
        return Api(client, token)

    def test_foreign_topics_do_not_exist(self, session: Session, api: Api) -> None:
        foreign = make_project(session)
        task = make_task(session, foreign)
        for topics in (f"task:{task.uuid}", f"logs:{task.uuid}", f"task:{uuid4()}", "task:x"):
            assert api.get("stream", params={"topics": topics}).status_code == 404, topics
        for topics in ("tasks", "deployments", "notifications,tasks"):
            params = {"topics": topics, "project": str(foreign.uuid)}
            assert api.get("stream", params=params).status_code == 404, topics

    def test_missing_permission_is_refused_and_recorded(
        self, session: Session, client: CheckedClient, project: Project
    ) -> None:
        from tests.factories import make_role
        from tests.server.identity.conftest import actions

        member = make_member(session, project, make_role(session, "datasets:read"))
        answer = Api(client, make_token(session, member)).get(
            "stream", params={"topics": "tasks", "project": str(project.uuid)}
        )
        assert (answer.status_code, answer.json()["permission"]) == (403, "tasks:read")
        assert actions(session, member) == ["access:denied"]

    @pytest.mark.parametrize("topics", ["tasks", "nothing", "task:"])
    def test_unknown_topic_is_refused(self, api: Api, topics: str) -> None:
        answer = api.get("stream", params={"topics": topics})
        assert (answer.status_code, answer.json()["code"]) == (422, "stream.unknown_topic")

    def test_too_many_topics_are_refused(self, api: Api) -> None:
        topics = ",".join(f"task:{uuid4()}" for _ in range(21))
        answer = api.get("stream", params={"topics": topics})
        assert answer.json()["code"] == "stream.too_many_topics"

    def test_lost_membership_ends_the_topics_of_the_project(
        self, session: Session, project: Project, watch: Open
    ) -> None:
        user = make_member(session, project, "developer")
        task = make_task(session, project, status=TaskStatus.RUNNING)
        topics = f"notifications,tasks,task:{task.uuid}"
        stream = watch(make_token(session, user), topics, project=project.uuid)
        stream.until(lambda s: len(s.of("ready")) == 2 and s.of("status"))
        session.execute(delete(ProjectPermission).where(ProjectPermission.user_id == user.id))
        session.commit()
        stream.until(lambda s: len(s.of("error")) == 2)
        assert {one["status"] for one in stream.of("error")} == {404}
        tell(session, user, "still here")
        stream.until(lambda s: s.of("notification"))


class TestContinuation:
    def test_stream_continues_after_its_last_id(
        self, session: Session, project: Project, watch: Open
    ) -> None:
        user = make_member(session, project, "developer")
        token = make_token(session, user)
        task = make_task(session, project, status=TaskStatus.RUNNING)
        topics = f"notifications,tasks,task:{task.uuid}"
        stream = watch(token, topics, project=project.uuid)
        stream.until(lambda s: len(s.of("ready")) == 2 and s.of("status"))
        add_event(session, task, "note", number=1)
        session.commit()
        tell(session, user, "first")
        stream.until(lambda s: s.of("event") and s.of("notification"))
        time.sleep(0.5)
        stream.close()
        add_event(session, task, "note", number=2)
        session.commit()
        tell(session, user, "second")
        for how in ({"headers": {"Last-Event-ID": stream.last_id}}, {"after": stream.last_id}):
            later = watch(token, topics, project=project.uuid, **how)
            later.until(lambda s: s.of("event") and s.of("notification") and s.of("resync"))
            assert [one["data"]["number"] for one in later.of("event")] == [2]
            assert [one["data"]["name"] for one in later.of("notification")] == ["second"]
            later.close()

    def test_new_stream_repeats_no_history(
        self, session: Session, project: Project, watch: Open, token: str
    ) -> None:
        task = make_task(session, project, status=TaskStatus.RUNNING)
        add_event(session, task, "note", number=1)
        session.commit()
        stream = watch(token, f"task:{task.uuid}")
        stream.until(lambda s: s.of("status"))
        add_event(session, task, "note", number=2)
        session.commit()
        stream.until(lambda s: s.of("event"))
        assert [one["data"]["number"] for one in stream.of("event")] == [2]

    def test_ended_task_ends_its_topic(
        self, session: Session, project: Project, watch: Open, token: str
    ) -> None:
        task = make_task(session, project, status=TaskStatus.COMPLETED)
        stream = watch(token, f"task:{task.uuid}")
        assert stream.ended.wait(10)
        assert stream.of("end") == [{"status": "completed", "error": None}]


class TestEnd:
    def test_stream_of_a_browser_ends_at_once_after_its_session(
        self, session: Session, client: CheckedClient, server_url: str, watch: Open
    ) -> None:
        user = make_user(session)
        browser = Browser(client)
        browser.sign_in(user.username)
        stream = StreamClient(
            server_url, {"Cookie": f"{NAME}={browser.cookie}"}, topics="notifications"
        )
        stream.until(lambda s: s.of("ready"))
        began = time.monotonic()
        assert call(server_url, make_token(session, user), "DELETE", "users/me/sessions") == 200
        assert stream.ended.wait(5)
        assert time.monotonic() - began < 2
        assert [one["code"] for one in stream.of("error")] == ["auth.unauthenticated"]
        assert stream.events[-1]["topic"] is None
