"""Tests of submissions that are repeated with the same idempotency key."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from aiplatform.server.projects.models import Project
from aiplatform.server.queue.models import Task, TaskScheduling
from aiplatform.server.queue.service.kinds import Prepared
from tests.conftest import Api
from tests.factories import make_member

Submit = Callable[..., Task]
MakeWorker = Callable[..., int]


class TestIdempotency:
    BODY = {
        "name": "once",
        "spec": {
            "type": "data_quality",
            "dataset": {"dataset": "00000000-0000-0000-0000-000000000000", "version": "v1"},
        },
    }

    @pytest.fixture
    def send(self, kind, monkeypatch, owner: Api, project: Project) -> Callable[..., Any]:
        monkeypatch.setattr(
            type(kind), "prepare", lambda self, s, c, spec: Prepared(spec), raising=False
        )

        def send(key: str, by: Api = owner, **changes: Any) -> Any:
            return by.post(
                f"projects/{project.uuid}/tasks",
                json={**self.BODY, **changes},
                headers={"Idempotency-Key": key},
            )

        return send

    def test_repeated_request_gets_the_same_answer(self, session, send):
        first, second = send("a"), send("a")
        assert (first.status_code, second.status_code) == (202, 202)
        assert first.json() == second.json()
        assert second.headers["Idempotency-Replayed"] == "true"
        assert len(session.scalars(select(Task.id)).all()) == 1

    def test_key_with_another_request_is_refused(self, send):
        send("a")
        answer = send("a", name="twice")
        assert (answer.status_code, answer.json()["code"]) == (
            409,
            "request.idempotency_key_reused",
        )

    def test_key_of_another_user_is_a_different_key(self, send, session, project, api):
        other = api(make_member(session, project, "developer"))
        assert send("a").json()["uuid"] != send("a", other).json()["uuid"]

    def test_refused_request_leaves_no_key(self, send):
        assert send("a", priority=11).status_code == 422
        assert send("a").status_code == 202

    def test_simultaneous_requests_with_one_key_queue_one_task(self, session, send):
        answers: list[Any] = []
        threads = [threading.Thread(target=lambda: answers.append(send("race"))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {answer.status_code for answer in answers} == {202}
        assert len({answer.json()["uuid"] for answer in answers}) == 1
        assert len(session.scalars(select(TaskScheduling.task_id)).all()) == 1
