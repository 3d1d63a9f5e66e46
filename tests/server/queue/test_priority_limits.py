"""Tests of the limit on priorities in a project.

Tasks with priority 9 or 10 preempt those of other projects.
"""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskStatus
from aiplatform.server.core.settings import get_settings
from aiplatform.server.projects.models import Project
from aiplatform.server.queue.models import Task
from aiplatform.server.queue.service.kinds import Prepared
from tests.conftest import Api
from tests.server.queue.conftest import NOWHERE, QualitySpec, ScriptedKind, claim, end

SPEC = QualitySpec(dataset=NOWHERE).model_dump(mode="json")
TOO_HIGH = (409, "project.priority_too_high")
ANY = {"If-Match": "*"}


@pytest.fixture(autouse=True)
def _prepare(kind: ScriptedKind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        type(kind), "prepare", lambda self, s, c, spec: Prepared(spec), raising=False
    )


@pytest.fixture
def limit(admin: Api, project: Project) -> Callable[[int | None], Any]:
    def limit(priority: int | None) -> Any:
        path = f"projects/{project.uuid}/quota"
        answer = admin.put(path, json={"max_priority": priority})
        assert answer.status_code == 200, answer.text
        return answer.json()

    return limit


@pytest.fixture
def send(owner: Api, project: Project) -> Callable[[int], Any]:
    """Return a function that submits a task with a priority over HTTP."""

    def send(priority: int) -> Any:
        body = {"name": "check", "spec": SPEC, "priority": priority}
        return owner.post(f"projects/{project.uuid}/tasks", json=body)

    return send


def told(answer: Any) -> tuple[int, str | None]:
    return answer.status_code, answer.json().get("code")


def test_highest_priority_is_allowed_by_default(send):
    assert send(10).status_code == 202


def test_submission_above_the_limit_is_refused(send, limit, owner: Api, project):
    assert limit(7)["max_priority"] == 7
    refused = send(8)
    assert told(refused) == TOO_HIGH
    assert "at most priority 7, not 8" in refused.json()["detail"]
    assert "administrator" in refused.json()["detail"]
    assert send(7).status_code == 202
    items = [{"name": f"p{priority}", "spec": SPEC, "priority": priority} for priority in (7, 9)]
    batch = owner.post(f"projects/{project.uuid}/tasks/batch", json={"tasks": items})
    assert "project.priority_too_high" in batch.text
    assert limit(None)["max_priority"] == 10
    assert send(8).status_code == 202


def test_platform_limit_applies_to_projects_without_one(send, limit, monkeypatch):
    monkeypatch.setattr(get_settings(), "quota_priority", 6)
    assert told(send(7)) == TOO_HIGH
    assert limit(8)["max_priority"] == 8
    assert send(8).status_code == 202


def test_limit_below_the_default_priority_is_refused(admin: Api, project):
    path = f"projects/{project.uuid}/quota"
    for wrong in (4, 11):
        assert admin.put(path, json={"max_priority": wrong}).status_code == 422


def test_raising_a_priority_above_the_limit_is_refused(submit, limit, owner: Api):
    task, urgent = submit(priority=5), submit(priority=10)
    limit(7)
    assert told(owner.patch(f"tasks/{task.uuid}", json={"priority": 8}, headers=ANY)) == TOO_HIGH
    assert (
        owner.patch(f"tasks/{task.uuid}", json={"priority": 7}, headers=ANY).json()["priority"] == 7
    )
    lowered = owner.patch(f"tasks/{urgent.uuid}", json={"priority": 9}, headers=ANY)
    assert lowered.json()["priority"] == 9, "down it may always go"


def test_move_before_a_task_above_the_limit_is_refused(submit, limit, owner: Api):
    task, urgent = submit(priority=5), submit(priority=9)
    limit(7)
    assert told(owner.post(f"tasks/{task.uuid}/move", json={})) == TOO_HIGH
    before = {"before": str(urgent.uuid)}
    assert told(owner.post(f"tasks/{task.uuid}/move", json=before)) == TOO_HIGH
    limit(9)
    assert owner.post(f"tasks/{task.uuid}/move", json=before).json()["priority"] == 9


def test_retry_lowers_the_priority_to_the_current_limit(
    session: Session, submit: Callable[..., Task], make_worker, limit, owner: Api
):
    task = submit(priority=9)
    end(session, claim(session, make_worker()), TaskStatus.FAILED)
    limit(6)
    again = owner.post(f"tasks/{task.uuid}/retry")
    assert (again.status_code, again.json()["priority"]) == (202, 6)
