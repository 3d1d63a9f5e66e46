"""Tests of the reasons shown for waiting tasks, and of who may see task names in them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy.orm import Session

from aiplatform.protocol.permissions import Permission
from aiplatform.server.identity.models import User
from aiplatform.server.projects.models import Project
from aiplatform.server.queue.models import Task
from aiplatform.server.queue.service.reasons import waiting_reasons
from aiplatform.server.telemetry.service.feed import Position, read_page, state_frames
from tests.conftest import Api
from tests.factories import make_member, make_project, make_role, make_task
from tests.server.queue.conftest import claim

Act = Callable[[User | None], Api]
OTHERS = "needs 1 CPU core, 0 of 2 free: quality report mine, other projects"


@pytest.fixture
def waiting(
    session: Session,
    project: Project,
    submit: Callable[..., Task],
    make_worker: Callable[..., int],
) -> Task:
    """Return a task that waits while its project and another project hold one CPU core each."""
    worker_id = make_worker("w1", cpus=2)
    make_task(session, project, name="mine")
    make_task(session, make_project(session), name="secret")
    claims = [claim(session, worker_id) for _ in range(2)]
    assert all(claims)
    return submit()


def test_waiting_task_names_holders_of_its_project_and_hides_foreign_ones(
    owner: Api, project: Project, waiting: Task
) -> None:
    shown = owner.get(f"tasks/{waiting.uuid}").json()["waiting"]
    assert (shown["reason"], shown["blocked"]) == (OTHERS, True)
    assert shown["reason_zh"].endswith("：质量报告 mine、其他项目")
    listed = owner.get(f"projects/{project.uuid}/tasks").json()["items"]
    assert [item["waiting"]["reason"] for item in listed if item["waiting"]] == [OTHERS]


def test_waiting_task_shows_no_names_to_a_caller_who_may_not_read_tasks(
    session: Session, api: Act, project: Project, waiting: Task
) -> None:
    role = make_role(session, Permission.TASKS_WRITE)
    member = api(make_member(session, project, role))
    answer = member.patch(f"tasks/{waiting.uuid}", json={"priority": 6}, headers={"If-Match": "*"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["waiting"]["reason"] == "needs 1 CPU core, 0 of 2 free"


def test_stream_of_waiting_task_sends_the_reason_once_and_again_when_it_changes(
    session: Session, waiting: Task, submit: Callable[..., Task]
) -> None:
    found = read_page(waiting.uuid, Position(), False)
    first = state_frames(found.state, None, found.reached).decode()
    assert "event: waiting\n" in first
    assert OTHERS in first
    assert state_frames(found.state, found.state, found.reached) == b""

    submit(priority=9)
    later = read_page(waiting.uuid, found.reached, False)
    changed = state_frames(later.state, found.state, later.reached).decode()
    assert f"1 ahead; {OTHERS}" in changed


def test_stream_of_task_that_can_start_sends_no_reason(
    session: Session, submit: Callable[..., Task], make_worker: Callable[..., int]
) -> None:
    make_worker("w1", cpus=2)
    task = submit()
    found = read_page(task.uuid, Position(), False)
    assert b"event: waiting" not in state_frames(found.state, None, found.reached)
    reasons = waiting_reasons(session, [task], {task.id: 1}, names=True)
    assert reasons[task.id].blocked is False


def test_log_stream_of_waiting_task_sends_no_reason(waiting: Task) -> None:
    assert read_page(waiting.uuid, Position(), True).state.waiting is None
