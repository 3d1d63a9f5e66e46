"""Tests of renaming, listing and deleting datasets."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskStatus, TaskType
from aiplatform.server.core.audit import AuditLog
from aiplatform.server.core.storage import BlobRef
from aiplatform.server.datasets.models import Dataset, DatasetVersion
from aiplatform.server.projects.models import Project
from aiplatform.server.projects.service import bin as projects_bin
from aiplatform.server.queue.models import Task, TaskInput
from tests.conftest import Api
from tests.factories import (
    make_dataset,
    make_task,
    make_version,
)
from tests.server.datasets.conftest import CHAT, jsonl

Upload = Callable[..., Any]
Stored = Callable[..., Dataset]


pytestmark = pytest.mark.usefixtures("app")


@pytest.fixture
def commit(mine: Api, dataset: dict[str, Any]) -> Callable[..., Any]:
    """Return a function that commits a version of ``dataset`` and returns the response."""

    def commit(rows: list[dict[str, Any]], **params: Any) -> Any:
        params.setdefault("filename", "rows.jsonl")
        path = f"datasets/{dataset['uuid']}/versions"
        return mine.post(path, params=params, content=jsonl(rows))

    return commit


class TestDatasets:
    def test_rename_needs_the_current_etag(
        self, mine: Api, dataset: dict[str, Any], session: Session
    ) -> None:
        path = f"datasets/{dataset['uuid']}"
        etag = mine.get(path).headers["etag"]
        assert mine.patch(path, json={"name": "new"}).status_code == 428
        wrong = mine.patch(path, json={"name": "new"}, headers={"If-Match": '"1"'})
        assert wrong.status_code == 412
        changed = mine.patch(path, json={"name": "new"}, headers={"If-Match": etag})
        assert (changed.status_code, changed.json()["name"]) == (200, "new")
        assert changed.headers["etag"] != etag
        stale = mine.patch(path, json={"name": "newer"}, headers={"If-Match": etag})
        assert stale.status_code == 412
        audited = session.scalars(
            select(AuditLog.details).where(AuditLog.action == "dataset:updated")
        ).all()
        assert audited[-1]["name"] == {"before": dataset["name"], "after": "new"}

    def test_rename_to_taken_name_is_refused(
        self, mine: Api, stored: Stored, dataset: dict[str, Any]
    ) -> None:
        stored(name="theirs")
        answer = mine.patch(
            f"datasets/{dataset['uuid']}", json={"name": "theirs"}, headers={"If-Match": "*"}
        )
        assert (answer.status_code, answer.json()["code"]) == (409, "resource.name_taken")
        assert mine.get(f"datasets/{dataset['uuid']}").json()["name"] == dataset["name"]

    def test_change_of_unknown_field_is_refused(self, mine: Api, dataset: dict[str, Any]) -> None:
        answer = mine.patch(
            f"datasets/{dataset['uuid']}", json={"version": "v9"}, headers={"If-Match": "*"}
        )
        assert answer.json()["code"] == "request.invalid"

    def test_datasets_are_listed_newest_first_in_pages(
        self, mine: Api, stored: Stored, project: Project
    ) -> None:
        names = [stored(name=f"listed {number}").name for number in range(3)]
        path = f"projects/{project.uuid}/datasets"
        first = mine.get(f"{path}?limit=2").json()
        rest = mine.get(f"{path}?limit=2&cursor={first['next_cursor']}").json()
        listed = [item["name"] for item in first["items"] + rest["items"]]
        assert listed == names[::-1]
        assert rest["next_cursor"] is None
        assert [i["name"] for i in mine.get(f"{path}?name=listed 1").json()["items"]] == [names[1]]
        assert mine.get(f"{path}?name=%00").json()["items"] == []

    def test_dataset_without_versions_is_shown(
        self, mine: Api, session: Session, project: Project
    ) -> None:
        bare = make_dataset(session, project)
        assert mine.get(f"datasets/{bare.uuid}").json()["row_count"] == 0
        assert mine.get(f"datasets/{bare.uuid}/versions").json()["items"] == []


class TestDeletion:
    def test_deletion_removes_versions_and_references(
        self, mine: Api, dataset: dict[str, Any], commit: Callable[..., Any], session: Session
    ) -> None:
        commit(CHAT[:2])
        assert mine.delete(f"datasets/{dataset['uuid']}").status_code == 204
        assert mine.get(f"datasets/{dataset['uuid']}").status_code == 404
        left = session.scalar(
            select(func.count()).where(
                BlobRef.dataset_version_id.in_(select(DatasetVersion.id)),
                BlobRef.project_id.is_(None),
            )
        )
        assert left == 0
        deleted = session.scalars(
            select(AuditLog.details).where(AuditLog.action == "dataset:deleted")
        ).all()
        assert deleted[-1]["versions"] == ["v1", "v2"]

    def test_restore_when_all_names_are_taken_is_refused(
        self, mine: Api, session: Session, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        gone = make_dataset(session, project, name="faq")
        assert mine.delete(f"datasets/{gone.uuid}").status_code == 204
        make_dataset(session, project, name="faq")
        monkeypatch.setattr(projects_bin, "restored_name", lambda name, _: name)
        answer = mine.post(f"projects/{project.uuid}/bin/{gone.uuid}/restore")
        assert (answer.status_code, answer.json()["code"]) == (409, "resource.name_taken")

    def test_deletion_cancels_the_waiting_report(
        self, mine: Api, dataset: dict[str, Any], session: Session, project: Project
    ) -> None:
        mine.delete(f"datasets/{dataset['uuid']}")
        task = session.scalars(select(Task).where(Task.project_id == project.id)).one()
        assert task.status == TaskStatus.CANCELLED

    def test_deletion_during_a_training_is_refused(
        self, mine: Api, session: Session, project: Project
    ) -> None:
        made = make_dataset(session, project)
        version = make_version(session, made)
        task = make_task(session, project, type=TaskType.TRAINING, status=TaskStatus.PENDING)
        session.add(
            TaskInput(task_id=task.id, role="dataset", dataset_version_id=version.id, label="x")
        )
        session.commit()
        answer = mine.delete(f"datasets/{made.uuid}")
        assert (answer.status_code, answer.json()["code"]) == (409, "dataset.in_use")
        assert task.name in answer.json()["detail"]
        task.status = TaskStatus.COMPLETED
        session.commit()
        assert mine.delete(f"datasets/{made.uuid}").status_code == 204
        session.expire_all()
        kept = session.scalars(select(TaskInput).where(TaskInput.task_id == task.id)).one()
        assert (kept.dataset_version_id, kept.label) == (version.id, "x")
        assert mine.delete(f"projects/{project.uuid}/bin/{made.uuid}").status_code == 204
        session.expire_all()
        assert (kept.dataset_version_id, kept.label) == (None, "x")
