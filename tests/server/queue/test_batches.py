"""Tests of submitting many tasks in one request."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from aiplatform.server.core.audit import AuditLog
from aiplatform.server.core.errors import NotFound
from aiplatform.server.projects.models import Project
from aiplatform.server.queue.models import Task, TaskEvent, TaskInput
from aiplatform.server.queue.service.kinds import InputRef, Prepared
from tests.conftest import Api
from tests.factories import make_member
from tests.server.queue.conftest import ScriptedKind, claim

NOWHERE = "00000000-0000-0000-0000-000000000000"
NO_SUCH = "11111111-1111-1111-1111-111111111111"


def prepare(self: ScriptedKind, session: Session, context: object, spec: Any) -> Prepared:
    if spec.dataset.dataset == UUID(NO_SUCH):
        raise NotFound(resource="dataset")
    return Prepared(spec, inputs=[InputRef("dataset", f"seed {spec.max_length}")])


@pytest.fixture
def send(
    kind: ScriptedKind, monkeypatch: pytest.MonkeyPatch, owner: Api, project: Project
) -> Callable[..., Any]:
    monkeypatch.setattr(ScriptedKind, "prepare", prepare)

    def send(*tasks: dict[str, Any], by: Api = owner) -> Any:
        return by.post(f"projects/{project.uuid}/tasks/batch", json={"tasks": tasks})

    return send


def one(number: int, dataset: str = NOWHERE, **more: Any) -> dict[str, Any]:
    spec = {"type": "data_quality", "dataset": {"dataset": dataset, "version": "v1"}}
    return {"name": f"task {number}", "spec": {**spec, "max_length": 100 + number}, **more}


def names(session: Session) -> list[str]:
    session.rollback()
    return list(session.scalars(select(Task.name).order_by(Task.id)))


def test_batch_queues_each_task_like_a_single_submission(
    session: Session, send: Callable[..., Any], project: Project, owner: Api,
    make_worker: Callable[..., int],
) -> None:  # fmt: skip
    worker = make_worker(cpus=64)
    first = owner.post(f"projects/{project.uuid}/tasks", json=one(0)).json()
    answer = send(one(1), one(2, priority=9), one(3, after=[{"task": first["uuid"]}]))
    assert answer.status_code == 202, answer.text
    items = answer.json()["items"]
    assert [item["name"] for item in items] == ["task 1", "task 2", "task 3"]
    assert answer.json()["replayed"] == 0
    alike = {"uuid", "name", "created_at", "config", "priority"}
    for item in items:
        assert {k: v for k, v in item.items() if k not in alike} == {
            k: v for k, v in first.items() if k not in alike
        }
    for number, item in enumerate([first, *items]):
        read = owner.get(f"tasks/{item['uuid']}").json()
        assert read["config"] == item["config"]
        assert read["config"]["max_length"] == 100 + number
        task = session.scalars(select(Task).where(Task.uuid == item["uuid"])).one()
        inputs = session.scalars(select(TaskInput.label).where(TaskInput.task_id == task.id))
        assert inputs.all() == [f"seed {100 + number}"]
        event = session.scalars(select(TaskEvent).where(TaskEvent.task_id == task.id)).one()
        assert (event.kind, event.data["priority"]) == ("submitted", item["priority"])
        logged = session.scalars(select(AuditLog).where(AuditLog.resource_id == item["uuid"])).one()
        assert (logged.action, logged.user_id) == ("task:submitted", project.owner_id)
        assert logged.details["inputs"] == [f"seed {100 + number}"]
    order = [claim(session, worker) for _ in range(3)]
    started = [session.get_one(Task, claimed.task_id).name for claimed in order]
    # By priority, then in the order of the request.
    assert started == ["task 2", "task 0", "task 1"]
    assert claim(session, worker) is None  # the last task waits for the first


def test_batch_with_one_refused_task_is_refused_whole(
    session: Session, send: Callable[..., Any]
) -> None:
    submitted = select(func.count()).where(AuditLog.action == "task:submitted")
    before = session.scalar(submitted)
    assert send(one(1), one(2, NO_SUCH)).status_code == 404
    assert send(one(1), {**one(2), "spec": {"type": "training"}}).status_code == 422
    assert send().status_code == 422
    assert send(*[one(n) for n in range(501)]).status_code == 422
    assert names(session) == []
    assert session.scalar(submitted) == before


def test_repeated_batch_queues_only_the_missing_tasks(
    session: Session, send: Callable[..., Any]
) -> None:
    def keyed(*numbers: int) -> list[dict[str, Any]]:
        return [one(n, idempotency_key=f"k{n}") for n in numbers]

    first = send(*keyed(1, 2)).json()
    again = send(*keyed(3, 2, 1)).json()
    assert again["replayed"] == 2
    assert [item["uuid"] for item in again["items"][1:]] == [
        first["items"][1]["uuid"],
        first["items"][0]["uuid"],
    ]
    assert send(*keyed(1, 2, 3)).json()["replayed"] == 3
    assert names(session) == ["task 1", "task 2", "task 3"]
    other = send(one(4, idempotency_key="k4"), one(5, idempotency_key="k1"))
    assert (other.status_code, other.json()["code"]) == (409, "request.idempotency_key_reused")
    assert send(one(4, idempotency_key="k4"), one(5)).status_code == 422
    assert send(*keyed(6, 6)).status_code == 422
    assert len(names(session)) == 3


def test_idempotency_key_means_the_same_alone_and_in_a_batch(
    session: Session, send: Callable[..., Any], owner: Api, project: Project
) -> None:
    alone = owner.post(
        f"projects/{project.uuid}/tasks", json=one(1), headers={"Idempotency-Key": "k"}
    )
    batch = send(one(1, idempotency_key="k")).json()
    assert (batch["replayed"], batch["items"][0]) == (1, alone.json())
    assert len(names(session)) == 1


def test_batch_by_a_viewer_is_refused(
    session: Session, send: Callable[..., Any], project: Project, api: Callable[..., Api]
) -> None:
    assert send(one(1), by=api(make_member(session, project, "viewer"))).status_code == 403
    assert names(session) == []
