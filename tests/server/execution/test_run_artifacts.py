"""Tests of artifacts of external runs, which are uploaded while the run is open."""

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from aiplatform.server.core.audit import AuditLog
from aiplatform.server.core.database import transaction
from aiplatform.server.execution import rules
from aiplatform.server.execution.service import external
from aiplatform.server.identity.models import User
from aiplatform.server.projects.models import Project
from aiplatform.server.queue.models import Task
from tests.conftest import Api
from tests.factories import make_member, make_project, make_task
from tests.server.execution.runs import begin


@pytest.fixture
def run(owner: Api, project: Project) -> str:
    return str(begin(owner, project)["uuid"])


def put(api: Api, run: str, path: str, content: bytes, **headers: str) -> Any:
    return api.put(f"tasks/{run}/artifacts/{path}", content=content, headers=headers)


def listed(api: Api, run: str) -> list[tuple[str, int]]:
    items = api.get(f"tasks/{run}/artifacts").json()["items"]
    return [(item["path"], item["size"]) for item in items]


def test_artifact_is_stored_replaced_and_read(
    session: Session, owner: Api, run: str, home: object
) -> None:
    digest = hashlib.sha256(b"a plot").hexdigest()
    answer = put(owner, run, "plots/损失 1.png", b"a plot", **{"X-Content-SHA256": digest})
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"path": "plots/损失 1.png", "size": 6, "sha256": digest}
    assert owner.get(f"tasks/{run}/artifacts/plots/损失 1.png").content == b"a plot"
    assert put(owner, run, "plots/损失 1.png", b"a better plot").status_code == 200
    assert listed(owner, run) == [("plots/损失 1.png", 13)]
    actions = select(AuditLog.action).where(AuditLog.action == "task:artifact_uploaded")
    assert len(session.scalars(actions).all()) == 2


def test_artifact_counts_towards_the_storage_quota(
    owner: Api, admin: Api, project: Project, run: str, home: object
) -> None:
    admin.put(f"projects/{project.uuid}/quota", json={"storage_bytes": 10})
    assert put(owner, run, "a", b"12345").status_code == 200
    refused = put(owner, run, "b", b"1234567")
    assert (refused.status_code, refused.json()["code"]) == (409, "project.quota_exceeded"), (
        refused.text
    )
    assert put(owner, run, "a", b"54321").status_code == 200, "in place of the first"


@pytest.mark.parametrize(
    "path", ["a//b", "a/%2e%2e/b", "a/..%2Fb", "%2Fetc", "a%0Ab", "C%3A%5Cx", "x" * 501]
)
def test_artifact_with_an_invalid_path_is_refused(owner: Api, run: str, path: str) -> None:
    refused = put(owner, run, path, b"x")
    assert refused.status_code in {404, 422}, refused.text
    assert listed(owner, run) == []


def test_artifact_path_used_as_file_and_folder_is_refused(
    owner: Api, run: str, home: object
) -> None:
    assert put(owner, run, "a/b", b"x").status_code == 200
    for path in ("a", "a/b/c"):
        refused = put(owner, run, path, b"x")
        assert (refused.status_code, refused.json()["code"]) == (422, "file.invalid_path")
    assert put(owner, run, "a/bc", b"x").status_code == 200


def test_artifact_after_the_end_is_accepted_only_for_given_up_runs(
    session: Session, owner: Api, run: str, home: object
) -> None:
    found = session.scalars(select(Task).where(Task.uuid == run)).one()
    with transaction() as own:
        assert external.give_up(own, found.id, 0, 600)
    assert put(owner, run, "a", b"late").status_code == 200
    session.execute(text("UPDATE external_runs SET given_up = false"))
    session.commit()
    refused = put(owner, run, "b", b"later")
    assert (refused.status_code, refused.json()["code"]) == (409, "task.finished")


def test_artifact_for_a_task_of_a_worker_is_refused(
    session: Session, owner: Api, project: Project
) -> None:
    task = make_task(session, project)
    refused = put(owner, str(task.uuid), "a", b"x")
    assert (refused.status_code, refused.json()["code"]) == (409, "run.not_reported_here")


def test_artifacts_beyond_the_limit_are_refused(
    owner: Api, run: str, home: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(external, "MAX_ARTIFACTS", 2)
    for name in ("a", "b"):
        assert put(owner, run, name, b"x").status_code == 200
    assert put(owner, run, "c", b"x").json()["code"] == "run.too_many_artifacts"
    assert put(owner, run, "b", b"y").status_code == 200


def test_artifact_upload_by_a_viewer_or_stranger_is_refused(
    session: Session,
    api: Callable[[User | None], Api],
    project: Project,
    run: str,
    home: object,
) -> None:
    reader = api(make_member(session, project, "viewer"))
    assert put(reader, run, "a", b"x").status_code == 403
    stranger = api(session.get_one(User, make_project(session).owner_id))
    assert put(stranger, run, "a", b"x").status_code == 404


@pytest.mark.parametrize("path", ["a", "a/b.txt", "图/损失.png", "with space", "…", ".hidden"])
def test_artifact_paths_in_any_script_are_valid(path: str) -> None:
    assert rules.path_fault(path) is None
