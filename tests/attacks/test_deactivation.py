"""Attack: a deactivated user keeps using the platform through tasks, sweeps and schedules."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskStatus
from aiplatform.protocol.specs import ScriptSpec
from aiplatform.protocol.sweeps import SweepStatus
from aiplatform.server.core.audit import Actor, AuditLog
from aiplatform.server.core.database import commit, transaction
from aiplatform.server.identity import queries as identity_queries
from aiplatform.server.identity.models import User
from aiplatform.server.identity.service import hooks
from aiplatform.server.projects.errors import OwnerInactive
from aiplatform.server.projects.models import Project
from aiplatform.server.queue.models import Task
from aiplatform.server.queue.service.insertion import enqueue
from aiplatform.server.schedules.models import Schedule
from aiplatform.server.sweeps.models import Sweep
from tests.conftest import Api, environment
from tests.factories import make_experiment, make_member, make_project, make_task, number


@pytest.fixture
def project(session: Session) -> Project:
    return make_project(session)


@pytest.fixture
def author(session: Session, project: Project) -> User:
    return make_member(session, project, "developer")


@pytest.fixture
def stopping(client: Any) -> Iterator[None]:
    with environment(AIPLATFORM_DEACTIVATED_TASKS="stop"):
        yield


class Work:
    """A user's tasks, sweep and schedule in a project."""

    def __init__(self, session: Session, project: Project, user: User) -> None:
        self._session = session
        by = {"created_by": user.id}
        experiment = make_experiment(session, project)
        self.pending = make_task(session, project, scheduling=by)
        self.paused = make_task(session, project, scheduling=by, status=TaskStatus.PAUSED)
        self.running = make_task(session, project, scheduling=by, status=TaskStatus.RUNNING)
        self.done = make_task(session, project, scheduling=by, status=TaskStatus.COMPLETED)
        self.sweep = Sweep(
            project_id=project.id, experiment_id=experiment.id, name=f"sweep{number()}", spec={},
            status=SweepStatus.RUNNING.value, **by,
        )  # fmt: skip
        self.schedule = Schedule(
            project_id=project.id, name=f"schedule{number()}", cron="0 2 * * *", timezone="UTC",
            action={}, missed="skip", overlap="skip", enabled=True,
            next_at=datetime(2100, 1, 1, tzinfo=UTC), **by,
        )  # fmt: skip
        session.add_all([self.sweep, self.schedule])
        session.commit()

    def states(self) -> list[str | bool]:
        self._session.expire_all()
        tasks: list[Task] = [self.pending, self.paused, self.running, self.done]
        return [*(task.status for task in tasks), self.sweep.status, self.schedule.enabled]


UNCHANGED_STATES = ["pending", "paused", "running", "completed", "running", True]
STOPPED_STATES = ["cancelled", "cancelled", "cancelling", "completed", "cancelled", False]


def test_work_of_deactivated_author_continues_by_default(
    admin: Api, session: Session, project: Project, author: User
) -> None:
    work = Work(session, project, author)
    assert admin.post(f"users/{author.uuid}/deactivate").status_code == 200
    assert work.states() == UNCHANGED_STATES


def test_work_of_deactivated_author_is_stopped_if_the_setting_says_so(
    stopping: None, admin: Api, session: Session, project: Project, author: User
) -> None:
    elsewhere = make_project(session)
    works = [Work(session, project, author), Work(session, elsewhere, author)]
    others = Work(session, project, make_member(session, project, "developer"))
    assert admin.post(f"users/{author.uuid}/deactivate").status_code == 200
    assert [work.states() for work in works] == [STOPPED_STATES, STOPPED_STATES]
    assert others.states() == UNCHANGED_STATES

    # Reactivation restores access but does not restart the work.
    assert admin.post(f"users/{author.uuid}/activate").status_code == 200
    assert [work.states() for work in works] == [STOPPED_STATES, STOPPED_STATES]


def queue_one(session: Session, project: Project, author: User) -> Task:
    """Queue a task in the author's name."""
    spec = ScriptSpec(bundle=uuid4(), command=["true"])
    return enqueue(
        session, spec, actor=Actor(user_id=author.id, username=author.username),
        project_id=project.id, project_uuid=project.uuid, name="queued meanwhile",
    )  # fmt: skip


def test_task_submitted_before_deactivation_is_cancelled(
    stopping: None, admin: Api, session: Session, project: Project, author: User
) -> None:
    """Check a submission that starts first and is committed during the deactivation."""
    place = f"users/{author.uuid}/deactivate"
    with ThreadPoolExecutor(1) as pool, transaction() as submitting:
        task = queue_one(submitting, project, author).uuid
        answer = pool.submit(admin.post, place)
        wait_for_lock(session)
        commit(submitting)
        assert answer.result(60).status_code == 200
    session.rollback()
    assert session.scalars(select(Task.status).where(Task.uuid == task)).one() == "cancelled"


def test_task_submitted_after_deactivation_is_refused(
    stopping: None, admin: Api, session: Session, project: Project, author: User
) -> None:
    """Check a deactivation that starts first and is committed during the submission."""

    def submit() -> None:
        with transaction() as submitting:
            queue_one(submitting, project, author)

    with ThreadPoolExecutor(1) as pool, transaction() as deactivating:
        user = identity_queries.find_user(deactivating, str(author.uuid), lock=True)
        user.is_active = False
        deactivating.flush()
        queued = pool.submit(submit)
        wait_for_lock(session)
        commit(deactivating)
        with pytest.raises(OwnerInactive):
            queued.result(60)
    session.rollback()
    assert session.scalars(select(Task).where(Task.project_id == project.id)).all() == []


def wait_for_lock(session: Session) -> None:
    """Wait until another transaction waits for a lock."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    deadline = time.monotonic() + 60
    while session.scalar(text(waiting)) == 0:
        assert time.monotonic() < deadline, "nothing waits for a lock"
        session.rollback()
        time.sleep(0.02)


def test_stopped_work_has_audit_entries_of_the_deactivating_user(
    stopping: None, admin: Api, admin_user: User, session: Session, project: Project, author: User
) -> None:
    work = Work(session, project, author)
    assert admin.post(f"users/{author.uuid}/deactivate").status_code == 200
    session.rollback()

    def recorded(action: str, resource: Any) -> AuditLog:
        return session.scalars(
            select(AuditLog).where(
                AuditLog.action == action, AuditLog.resource_id == str(resource.uuid)
            )
        ).one()

    rows = [
        recorded("task:cancelled", work.pending),
        recorded("task:cancelled", work.paused),
        recorded("task:cancel_requested", work.running),
        recorded("sweep:cancelled", work.sweep),
        recorded("schedule:updated", work.schedule),
        recorded("user:deactivated", author),
    ]
    assert {row.user_id for row in rows} == {admin_user.id}
    counted = {key: rows[-1].details[key] for key in rows[-1].details if key.endswith("_stopped")}
    assert counted == {"tasks_stopped": 3, "sweeps_stopped": 1, "schedules_stopped": 1}


def test_deactivation_that_cannot_stop_the_work_changes_nothing(
    stopping: None, admin: Api, session: Session, project: Project, author: User,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    work = Work(session, project, author)

    def fail(*_: Any) -> dict[str, int]:
        raise OperationalError("lost", None, ConnectionError())

    monkeypatch.setattr(hooks, "_on_deactivate", [*hooks._on_deactivate, fail])
    assert admin.post(f"users/{author.uuid}/deactivate").status_code == 503
    assert work.states() == UNCHANGED_STATES
    session.refresh(author)
    assert author.is_active


def test_task_that_ends_during_deactivation_does_not_deadlock(
    session: Session, author: User
) -> None:
    """Check that the end of a task can lock its author's account while a deactivation locks it.

    If the two locks conflicted, the end of the task would wait for the account, and the
    deactivation would wait for the task.
    """
    with transaction() as deactivating, transaction() as ending:
        identity_queries.find_user(deactivating, str(author.uuid), lock=True)
        share = select(User.id).where(User.id == author.id)
        ending.execute(share.with_for_update(read=True, key_share=True, nowait=True))
