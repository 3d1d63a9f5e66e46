"""Tests of deleting overdue data of ended tasks: rules, preview, deletion and audit entry."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import LogStream, TaskStatus
from aiplatform.protocol.messages import Metrics
from aiplatform.server.core.audit import AuditLog
from aiplatform.server.core.database import commit
from aiplatform.server.execution.models import TaskCheckpoint
from aiplatform.server.execution.service import attempts
from aiplatform.server.execution.service.attempts import Chunk
from aiplatform.server.identity.models import User
from aiplatform.server.projects.models import Project
from aiplatform.server.queue.models import Task
from aiplatform.server.queue.service.kinds import Outcome
from aiplatform.server.telemetry.models import LogChunk
from aiplatform.server.telemetry.service import retention
from tests.conftest import Api
from tests.factories import make_blob, make_member
from tests.server.queue.conftest import claim, end


def checkpoint(session: Session, held: Any, step: int, home: Path) -> None:
    file = make_blob(session, f"state {step}".encode(), "state", home)
    attempts.add_checkpoint(session, held, step, [file])
    commit(session)


def steps(session: Session, task: Task) -> list[int]:
    rows = select(TaskCheckpoint.step).where(TaskCheckpoint.task_id == task.id)
    return sorted(session.scalars(rows))


def set_policy(owner: Api, project: Project, **policy: Any) -> None:
    path = f"projects/{project.uuid}"
    etag = owner.get(path).headers["ETag"]
    body = {"config": {"retention": policy}}
    answer = owner.patch(path, json=body, headers={"If-Match": etag})
    assert answer.status_code == 200, answer.text


def test_last_and_best_checkpoints_are_kept(
    session: Session,
    owner: Api,
    project: Project,
    submit: Callable[..., Task],
    make_worker: Callable[..., int],
    home: Path,
) -> None:
    set_policy(owner, project, checkpoints_last=2, checkpoints_best=1)
    session.expire_all()  # a worker starts with an empty session
    task = submit()
    held = claim(session, make_worker())
    for step, loss in ((1, 3.0), (2, 1.0), (3, 2.0), (4, 2.5), (5, float("nan"))):
        point = Metrics(step=step, values={"eval_loss": loss})
        attempts.write_telemetry(session, held, metrics=[point])
        checkpoint(session, held, step, home)
    assert steps(session, task) == [2, 4, 5]
    end(session, held)
    assert steps(session, task) == [2], "of a completed task the best stays"


def test_overdue_data_is_previewed_then_deleted_and_nothing_else(
    session: Session,
    owner: Api,
    project: Project,
    submit: Callable[..., Task],
    make_worker: Callable[..., int],
    home: Path,
) -> None:
    worker = make_worker()
    tasks = []
    for days in (10, 1):
        task = submit()
        held = claim(session, worker)
        attempts.write_telemetry(
            session,
            held,
            chunks=[Chunk(LogStream.STDOUT, "x" * 1000, 1.0)],
            first_seq=1,
            log_tail="tail",
        )
        checkpoint(session, held, 1, home)
        attempts.end_attempt(session, held, Outcome(TaskStatus.FAILED, error="no"))
        session.execute(
            text("UPDATE tasks SET completed_at = now() - make_interval(days => :d) WHERE id = :t"),
            {"d": days, "t": task.id},
        )
        commit(session)
        tasks.append(task)
    running = submit()
    held = claim(session, worker)
    checkpoint(session, held, 7, home)
    set_policy(owner, project, log_days=5, checkpoint_days=5)
    shown = owner.get(f"projects/{project.uuid}/retention").json()
    assert (shown["log_days"], shown["telemetry_days"]) == (5, 90)
    assert shown["frees"] == {
        "log_tasks": 1, "log_bytes": 1000, "telemetry_tasks": 0, "telemetry_bytes": 0,
        "checkpoints": 1, "checkpoint_bytes": 7,
    }  # fmt: skip
    assert [steps(session, task) for task in tasks] == [[1], [1]], "looking changes nothing"
    freed = retention.apply_all()
    assert (freed.log_bytes, freed.checkpoint_bytes) == (1000, 7)
    session.expire_all()
    assert [steps(session, task) for task in [*tasks, running]] == [[], [1], [7]]
    left = set(session.scalars(select(LogChunk.task_id)))
    assert (tasks[0].id in left, tasks[1].id in left) == (False, True)
    assert tasks[0].logs == "tail"
    told = session.scalars(select(AuditLog).where(AuditLog.action == "retention:applied")).all()
    assert [row.details["log_bytes"] for row in told] == [1000]
    assert not retention.apply_all()
    end(session, held)


@pytest.mark.parametrize(
    "policy",
    [{"log_days": -1}, {"log_days": True}, {"log_weeks": 1}, {"checkpoints_last": 0}, 5],
)
def test_invalid_retention_policy_is_refused(owner: Api, project: Project, policy: object) -> None:
    path = f"projects/{project.uuid}"
    etag = owner.get(path).headers["ETag"]
    answer = owner.patch(path, json={"config": {"retention": policy}}, headers={"If-Match": etag})
    assert answer.status_code == 422


def test_retention_changed_by_a_developer_is_refused(
    session: Session, api: Callable[[User | None], Api], owner: Api, project: Project
) -> None:
    member = api(make_member(session, project, "developer"))
    path = f"projects/{project.uuid}"
    etag = owner.get(path).headers["ETag"]
    answer = member.patch(
        path, json={"config": {"retention": {"log_days": 0}}}, headers={"If-Match": etag}
    )
    assert answer.status_code == 403
