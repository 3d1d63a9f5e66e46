"""Tests of schedules over HTTP, and of the runs and tasks that they start."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskStatus
from aiplatform.server.core.audit import AuditLog
from aiplatform.server.core.database import transaction
from aiplatform.server.identity.models import User
from aiplatform.server.notifications.models import Notification
from aiplatform.server.projects.models import Project, ProjectPermission
from aiplatform.server.queue.models import Task
from aiplatform.server.schedules import queries
from aiplatform.server.schedules.jobs import fire_due
from aiplatform.server.schedules.models import Schedule, ScheduleFiring
from tests.conftest import Api
from tests.factories import (
    make_dataset,
    make_experiment,
    make_member,
    make_project,
    make_rows,
    make_version,
)


@pytest.fixture
def project(session: Session) -> Project:
    return make_project(session)


@pytest.fixture
def developer(session: Session, project: Project) -> User:
    return make_member(session, project, "developer")


@pytest.fixture
def mine(api: Callable[[User | None], Api], developer: User) -> Api:
    return api(developer)


@pytest.fixture
def action(session: Session, project: Project, home: Any) -> dict[str, Any]:
    dataset = make_dataset(session, project)
    make_version(session, dataset, file=make_rows(session, home))
    spec = {"type": "data_quality", "dataset": {"dataset": str(dataset.uuid)}}
    return {"kind": "task", "name": "check", "spec": spec}


@pytest.fixture
def create(mine: Api, project: Project, action: dict[str, Any]) -> Callable[..., Any]:
    def make(**changes: Any) -> Any:
        body = {"name": f"s{uuid4().hex[:6]}", "cron": "30 2 * * *", "action": action, **changes}
        return mine.post(f"projects/{project.uuid}/schedules", json=body)

    return make


@pytest.fixture(autouse=True)
def _others_are_off(session: Session) -> None:
    session.execute(delete(Schedule))
    session.commit()


def make_due(session: Session, uuid: str, late: timedelta = timedelta(seconds=1)) -> None:
    session.execute(
        update(Schedule).where(Schedule.uuid == uuid).values(next_at=datetime.now(UTC) - late)
    )
    session.commit()


def last(mine: Api, uuid: str) -> Any:
    return mine.get(f"schedules/{uuid}").json()["last"]


def test_schedule_can_be_created_read_changed_and_deleted(
    session: Session, mine: Api, project: Project, create: Callable[..., Any], developer: User
) -> None:
    made = create(name="nightly", timezone="Asia/Shanghai")
    assert made.status_code == 201, made.text
    body = made.json()
    assert (body["missed"], body["overlap"], body["enabled"]) == ("run_once", "skip", True)
    assert body["owner"]["username"] == developer.username
    assert body["next_at"][11:16] == "18:30"
    assert len(body["upcoming"]) == 5
    assert create(name="nightly").json()["code"] == "resource.name_taken"
    path = f"schedules/{body['uuid']}"
    assert mine.patch(path, json={"enabled": False}).status_code == 428
    off = mine.patch(path, json={"enabled": False}, headers={"If-Match": made.headers["ETag"]})
    assert (off.json()["next_at"], off.json()["upcoming"]) == (None, [])
    on = mine.patch(path, json={"enabled": True, "cron": "0 0 * * *"}, headers={"If-Match": "*"})
    assert on.json()["next_at"][11:16] == "16:00"
    stale = mine.patch(path, json={"enabled": True}, headers={"If-Match": made.headers["ETag"]})
    assert stale.status_code == 412
    listed = mine.get(f"projects/{project.uuid}/schedules", params={"name": "nightly"}).json()
    assert [item["uuid"] for item in listed["items"]] == [body["uuid"]]
    assert mine.delete(path).status_code == 204
    assert mine.get(path).status_code == 404
    actions = session.scalars(
        select(AuditLog.action).where(AuditLog.resource_id == body["uuid"]).order_by(AuditLog.id)
    ).all()
    assert actions == ["schedule:created", "schedule:updated", "schedule:updated",
                       "schedule:deleted"]  # fmt: skip


def test_action_that_could_not_be_submitted_is_refused(
    session: Session, create: Callable[..., Any], project: Project, action: dict[str, Any]
) -> None:
    assert create(cron="0 0 31 2 *").json()["code"] == "schedule.invalid_cron"
    assert create(timezone="Mars/Olympus").json()["code"] == "schedule.invalid_timezone"
    missing = {"type": "data_quality", "dataset": {"dataset": str(uuid4())}}
    assert create(action={**action, "spec": missing}).status_code == 404
    training = {
        "type": "training",
        "base_model": str(uuid4()),
        "dataset": {"dataset": str(uuid4())},
    }
    refused = create(action={**action, "spec": training})
    assert refused.json()["code"] == "task.wrong_type"
    other = make_experiment(session, make_project(session))
    assert create(action={"kind": "run", "experiment": str(other.uuid)}).status_code == 404


def test_priority_above_the_projects_limit_is_refused(
    session: Session, mine: Api, admin: Api, project: Project, action: dict[str, Any],
    create: Callable[..., Any],
) -> None:  # fmt: skip
    path = f"projects/{project.uuid}/quota"
    urgent = create(action={**action, "priority": 9}).json()["uuid"]
    admin.put(path, json={"max_priority": 8})
    answer = create(action={**action, "priority": 9})
    assert (answer.status_code, answer.json()["code"]) == (409, "project.priority_too_high")
    make_due(session, urgent)
    fire_due()
    fired = last(mine, urgent)
    assert fired["outcome"] == "refused"
    assert "at most priority 8" in fired["reason"]


def test_due_schedule_submits_as_its_owner_and_plans_the_next_time(
    session: Session, mine: Api, create: Callable[..., Any], developer: User
) -> None:
    uuid = create().json()["uuid"]
    assert fire_due() == 0
    make_due(session, uuid)
    assert fire_due() == 1
    assert fire_due() == 0
    fired = last(mine, uuid)
    assert fired["outcome"] == "submitted"
    task = session.scalars(select(Task).where(Task.uuid == fired["task"])).one()
    assert (task.name, task.type) == ("check", "data_quality")
    assert task.scheduling.created_by == developer.id
    assert datetime.fromisoformat(mine.get(f"schedules/{uuid}").json()["next_at"]) > datetime.now(
        UTC
    )
    row = session.scalars(
        select(AuditLog).where(AuditLog.resource_id == uuid, AuditLog.action == "schedule:fired")
    ).one()
    assert row.details["task"] == fired["task"]


def test_overlapping_firing_is_skipped_or_submitted(
    session: Session, mine: Api, create: Callable[..., Any]
) -> None:
    skips, allows = create().json()["uuid"], create(overlap="allow").json()["uuid"]
    for expected in (("submitted", "submitted"), ("overlapped", "submitted")):
        for uuid in (skips, allows):
            make_due(session, uuid)
        assert fire_due() == 2
        assert (last(mine, skips)["outcome"], last(mine, allows)["outcome"]) == expected
    session.execute(update(Task).values(status=TaskStatus.COMPLETED.value))
    session.commit()
    make_due(session, skips)
    fire_due()
    assert last(mine, skips)["outcome"] == "submitted"
    outcomes = [f["outcome"] for f in mine.get(f"schedules/{skips}/firings").json()["items"]]
    assert outcomes == ["submitted", "overlapped", "submitted"]


def test_old_firings_are_deleted_except_since_the_last_task(
    session: Session,
    mine: Api,
    create: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(queries, "FIRINGS_KEPT", 3)
    uuid, other = create().json()["uuid"], create().json()["uuid"]
    make_due(session, other)
    fire_due()

    def outcomes(schedule: str = uuid) -> list[str]:
        found = mine.get(f"schedules/{schedule}/firings").json()["items"]
        return [firing["outcome"] for firing in found]

    for _ in range(5):
        make_due(session, uuid)
        fire_due()
    assert outcomes() == ["overlapped"] * 4 + ["submitted"]
    session.execute(update(Task).values(status=TaskStatus.COMPLETED.value))
    session.commit()
    make_due(session, uuid)
    fire_due()
    assert outcomes() == ["submitted", "overlapped", "overlapped"]
    make_due(session, uuid)
    fire_due()
    assert outcomes() == ["overlapped", "submitted", "overlapped"]
    assert outcomes(other) == ["submitted"]


def test_missed_times_fire_once_or_not_at_all(
    session: Session, mine: Api, create: Callable[..., Any]
) -> None:
    once = create(cron="* * * * *").json()["uuid"]
    skips = create(cron="* * * * *", missed="skip").json()["uuid"]
    for uuid in (once, skips):
        make_due(session, uuid, late=timedelta(hours=3))
    assert fire_due() == 2
    assert (last(mine, once)["outcome"], last(mine, skips)["outcome"]) == ("submitted", "missed")
    for uuid in (once, skips):
        assert len(mine.get(f"schedules/{uuid}/firings").json()["items"]) == 1
    assert fire_due() == 0


class TestOwner:
    def test_schedule_of_a_deactivated_owner_is_refused_with_reason(
        self,
        session: Session,
        api: Callable[[User | None], Api],
        project: Project,
        create: Callable[..., Any],
        developer: User,
    ) -> None:
        uuid = create().json()["uuid"]
        developer.is_active = False
        session.commit()
        theirs = api(session.get_one(User, project.owner_id))
        for _ in range(2):
            make_due(session, uuid)
            assert fire_due() == 1
        shown = theirs.get(f"schedules/{uuid}").json()
        assert shown["owner_is_active"] is False
        assert (shown["last"]["outcome"], shown["last"]["code"]) == ("refused", "account.inactive")
        assert developer.username in shown["last"]["reason"]
        assert session.scalar(select(Task.id).where(Task.project_id == project.id)) is None
        told = session.scalars(
            select(Notification).where(
                Notification.user_id == project.owner_id, Notification.type == "schedule:failed"
            )
        ).all()
        assert len(told) == 1  # the second refusal has the same reason

    def test_firing_uses_the_present_permissions_of_the_owner(
        self, session: Session, mine: Api, project: Project, create: Callable[..., Any],
        developer: User, api: Callable[[User | None], Api],
    ) -> None:  # fmt: skip
        uuid = create().json()["uuid"]
        session.execute(delete(ProjectPermission).where(ProjectPermission.user_id == developer.id))
        session.commit()
        make_due(session, uuid)
        fire_due()
        theirs = api(session.get_one(User, project.owner_id))
        assert last(theirs, uuid)["code"] == "resource.not_found"

    def test_user_who_changes_a_schedule_becomes_its_owner(
        self, session: Session, mine: Api, project: Project, create: Callable[..., Any],
        developer: User, api: Callable[[User | None], Api],
    ) -> None:  # fmt: skip
        uuid = create().json()["uuid"]
        owner = session.get_one(User, project.owner_id)
        theirs = api(owner)
        path = f"schedules/{uuid}"
        off = theirs.patch(path, json={"enabled": False}, headers={"If-Match": "*"}).json()
        assert off["owner"]["username"] == developer.username
        on = theirs.patch(path, json={"enabled": True}, headers={"If-Match": "*"}).json()
        assert on["owner"]["username"] == owner.username

    def test_schedule_of_an_archived_project_is_refused(
        self, session: Session, mine: Api, project: Project, create: Callable[..., Any]
    ) -> None:
        uuid = create().json()["uuid"]
        project.status = "archived"
        session.commit()
        make_due(session, uuid)
        fire_due()
        assert last(mine, uuid)["code"] == "project.archived"


def test_concurrent_workers_fire_each_schedule_once(
    session: Session, mine: Api, create: Callable[..., Any]
) -> None:
    uuids = [create().json()["uuid"] for _ in range(6)]
    for uuid in uuids:
        make_due(session, uuid)
    ready = threading.Barrier(3)
    counts: list[int] = []

    def look() -> None:
        ready.wait()
        counts.append(fire_due())

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sum(counts) == len(uuids)
    with transaction() as own:
        assert len(own.scalars(select(ScheduleFiring)).all()) == len(uuids)


def test_run_of_a_deleted_experiment_is_refused(
    session: Session, mine: Api, project: Project, create: Callable[..., Any]
) -> None:
    experiment = make_experiment(session, project)
    uuid = create(action={"kind": "run", "experiment": str(experiment.uuid)}).json()["uuid"]
    session.delete(experiment)
    session.commit()
    make_due(session, uuid)
    fire_due()
    assert (last(mine, uuid)["outcome"], last(mine, uuid)["code"]) == (
        "refused",
        "resource.not_found",
    )
