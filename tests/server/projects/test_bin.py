"""Tests of the bin: deleted resources are hidden, can be restored, and are purged when due."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskStatus
from aiplatform.server.datasets.models import Dataset
from aiplatform.server.identity.models import User
from aiplatform.server.projects.models import Project
from aiplatform.server.projects.rules import days_in_bin, restored_name
from aiplatform.server.projects.service import bin as service
from aiplatform.server.projects.service import purge_overdue
from aiplatform.server.queue.models import TaskInput
from aiplatform.server.registry.models import Model
from tests.conftest import Api
from tests.factories import (
    make_binned_dataset,
    make_blob,
    make_dataset,
    make_deployment,
    make_member,
    make_model,
    make_project,
    make_role,
    make_rows,
    make_task,
    make_user,
    make_version,
    references,
)
from tests.server.projects.conftest import Act, audit_entries, list_bin, make_overdue

pytestmark = pytest.mark.usefixtures("client")


class TestRules:
    @pytest.mark.parametrize(
        ("config", "days"),
        [(None, 7), ({}, 7), ({"bin_days": 3}, 3), ({"bin_days": 0}, 0), ({"bin_days": True}, 7),
         ({"bin_days": -1}, 7), ({"bin_days": "3"}, 7), ({"bin_days": 10**9}, 7)],
    )  # fmt: skip
    def test_days_in_bin_ignore_invalid_values(self, config: Any, days: int) -> None:
        assert days_in_bin(config, 7) == days

    def test_restored_name_fits_its_column(self) -> None:
        assert restored_name("faq", 1) == "faq-restored"
        assert restored_name("faq", 3) == "faq-restored-3"
        assert len(restored_name("x" * 255, 12)) == 255


class TestDatasets:
    def test_deleted_dataset_is_hidden_everywhere(
        self, session: Session, mine: Api, admin: Api, project: Project, home: Path
    ) -> None:
        dataset = make_dataset(session, project)
        version = make_version(session, dataset, file=make_rows(session, home))
        task = make_task(session, project, status=TaskStatus.COMPLETED)
        session.add(
            TaskInput(task_id=task.id, role="dataset", dataset_version_id=version.id, label="l@v1")
        )
        tuned = make_model(session, project, task_id=task.id)
        session.commit()
        lineage = f"models/{tuned.uuid}/lineage"
        assert mine.get(lineage).json()["dataset_versions"][0]["dataset"] == str(dataset.uuid)
        answer = mine.delete(f"datasets/{dataset.uuid}")
        assert answer.status_code == 204
        until = datetime.fromisoformat(answer.headers["purge-after"])
        assert timedelta(days=29) < until - datetime.now(UTC) < timedelta(days=31)
        base = make_model(session, project)
        spec = {"base_model": str(base.uuid), "dataset": {"dataset": str(dataset.uuid)}}
        for who in (mine, admin):
            for path in ("", "/versions", "/versions/v1", "/versions/v1/rows",
                         "/versions/v1/content", "/versions/v1/report"):  # fmt: skip
                assert who.get(f"datasets/{dataset.uuid}{path}").status_code == 404, path
            assert who.delete(f"datasets/{dataset.uuid}").status_code == 404
            assert who.get(f"projects/{project.uuid}/datasets").json()["items"] == []
            trained = who.post(
                f"projects/{project.uuid}/experiments", json={"name": "x", "config": spec}
            )
            assert trained.status_code == 404, trained.text
        source = mine.get(lineage).json()["dataset_versions"][0]
        assert (source["label"], source["dataset"], source["version"]) == ("l@v1", None, None)

    def test_bin_lists_kind_name_bytes_and_deleter(
        self, session: Session, mine: Api, api: Act, project: Project, owner: User, home: Path
    ) -> None:
        dataset = make_dataset(session, project, name="faq")
        file = make_rows(session, home)
        for label in ("v1", "v2"):
            make_version(session, dataset, version=label, file=file)
        mine.delete(f"datasets/{dataset.uuid}")
        (item,) = list_bin(mine, project)
        assert (item["kind"], item["name"], item["uuid"]) == ("dataset", "faq", str(dataset.uuid))
        assert item["bytes"] == 2 * file.size
        assert item["deleted_by"]["username"] == owner.username
        assert datetime.fromisoformat(item["purge_after"]) > datetime.now(UTC)
        assert list_bin(api(make_member(session, project, "viewer")), project) == [item]
        assert api(make_user(session)).get(f"projects/{project.uuid}/bin").status_code == 404

    def test_restored_dataset_is_unchanged(
        self, session: Session, mine: Api, project: Project, home: Path
    ) -> None:
        dataset = make_dataset(session, project, name="faq")
        make_version(session, dataset, file=make_rows(session, home))
        before = mine.get(f"datasets/{dataset.uuid}").json()
        mine.delete(f"datasets/{dataset.uuid}")
        answer = mine.post(f"projects/{project.uuid}/bin/{dataset.uuid}/restore")
        assert answer.json() == {
            "uuid": str(dataset.uuid), "kind": "dataset", "name": "faq", "version": None
        }  # fmt: skip
        after = mine.get(f"datasets/{dataset.uuid}").json()
        assert {k: v for k, v in after.items() if k != "updated_at"} == {
            k: v for k, v in before.items() if k != "updated_at"
        }
        assert list_bin(mine, project) == []
        assert len(mine.get(f"datasets/{dataset.uuid}/versions/v1/rows").json()["items"]) > 0
        assert len(audit_entries(session, "dataset:restored", dataset.uuid)) == 1
        again = mine.post(f"projects/{project.uuid}/bin/{dataset.uuid}/restore")
        assert again.status_code == 404

    def test_restore_with_taken_name_gets_a_similar_name(
        self, session: Session, mine: Api, project: Project
    ) -> None:
        datasets = []
        for _ in range(3):
            dataset = make_dataset(session, project, name="faq")
            datasets.append(dataset)
            assert mine.delete(f"datasets/{dataset.uuid}").status_code == 204
        make_dataset(session, project, name="taken")
        bin_of = f"projects/{project.uuid}/bin"
        taken = mine.post(f"{bin_of}/{datasets[0].uuid}/restore", json={"name": "taken"})
        assert (taken.status_code, taken.json()["code"]) == (409, "resource.name_taken")
        names = [mine.post(f"{bin_of}/{h.uuid}/restore").json()["name"] for h in datasets]
        assert names == ["faq", "faq-restored", "faq-restored-2"]
        listed = mine.get(f"projects/{project.uuid}/datasets").json()["items"]
        assert {item["name"] for item in listed} == {*names, "taken"}

    def test_restore_needs_write_and_purge_needs_all_permissions(
        self, session: Session, api: Act, project: Project
    ) -> None:
        one = make_binned_dataset(session, project)
        path = f"projects/{project.uuid}/bin/{one.uuid}"
        developer = api(make_member(session, project, "developer"))
        viewer = api(make_member(session, project, "viewer"))
        assert viewer.post(f"{path}/restore").status_code == 403
        refused = developer.delete(path)
        assert (refused.status_code, refused.json()["permission"]) == (403, "*")
        assert developer.post(f"{path}/restore").status_code == 200
        other = make_project(session)
        foreign = make_binned_dataset(session, other)
        stolen = f"projects/{project.uuid}/bin/{foreign.uuid}/restore"
        assert developer.post(stolen).status_code == 404

    def test_purge_deletes_rows_and_references(
        self, session: Session, mine: Api, project: Project, home: Path
    ) -> None:
        dataset = make_dataset(session, project)
        file = make_blob(session, b"only here " + uuid4().bytes, "rows.parquet", home)
        make_version(session, dataset, file=file)
        mine.delete(f"datasets/{dataset.uuid}")
        assert references(session, file.sha256) == 1
        assert mine.delete(f"projects/{project.uuid}/bin/{dataset.uuid}").status_code == 204
        session.commit()
        assert references(session, file.sha256) == 0
        assert session.scalar(select(Dataset.id).where(Dataset.uuid == dataset.uuid)) is None
        assert list_bin(mine, project) == []
        (row,) = audit_entries(session, "dataset:purged", dataset.uuid)
        assert row.details["name"] == dataset.name

    def test_zero_days_in_the_bin_purge_at_once(
        self, session: Session, mine: Api, owner: User
    ) -> None:
        project = make_project(session, owner, config={"bin_days": 0})
        dataset = make_dataset(session, project)
        assert mine.delete(f"datasets/{dataset.uuid}").status_code == 204
        assert session.scalar(select(Dataset.id).where(Dataset.uuid == dataset.uuid)) is None
        assert len(audit_entries(session, "dataset:purged", dataset.uuid)) == 1

    def test_days_in_the_bin_can_be_changed_only_with_all_permissions(
        self, session: Session, mine: Api, api: Act, project: Project
    ) -> None:
        role = make_role(session, "projects:read", "projects:write", "datasets:write")
        other = api(make_member(session, project, role))
        path = f"projects/{project.uuid}"

        def change(who: Api, config: dict[str, Any]) -> int:
            tag = who.get(path).headers["etag"]
            sent = who.patch(path, json={"config": config}, headers={"If-Match": tag})
            return int(sent.status_code)

        assert change(other, {"bin_days": 0}) == 403
        assert change(mine, {"bin_days": 5, "note": 1}) == 200
        assert change(other, {"note": 1}) == 403
        assert change(other, {"bin_days": 0, "note": 1}) == 403
        assert change(other, {"bin_days": 5, "note": 2}) == 200
        dataset = make_dataset(session, project)
        make_version(session, dataset)
        session.commit()
        assert other.delete(f"datasets/{dataset.uuid}").status_code == 204
        assert len(list_bin(mine, project)) == 1
        assert change(mine, {"note": 2}) == 200

    def test_invalid_days_in_the_bin_are_refused(self, mine: Api) -> None:
        for days in (-1, 10**6, "1", 1.5, True):
            answer = mine.post("projects", json={"name": "x", "config": {"bin_days": days}})
            assert answer.status_code == 422, days


class TestModels:
    def test_deleted_model_is_hidden_and_not_shared(
        self, session: Session, mine: Api, admin: Api, api: Act, project: Project
    ) -> None:
        """Check that a deleted model does not become shared, although it has left its project."""
        model = make_model(session, project)
        deployment = make_deployment(session, project, model)
        assert mine.delete(f"models/{model.uuid}").status_code == 204
        for who in (mine, admin, api(make_user(session))):
            assert who.get(f"models/{model.uuid}").status_code == 404
            assert who.get(f"models/{model.uuid}/files").status_code == 404
            listed = who.get("models", params={"limit": 500}).json()["items"]
            assert str(model.uuid) not in {item["uuid"] for item in listed}
        assert mine.get(f"deployments/{deployment.uuid}").json()["model"] is None
        assert mine.post(f"deployments/{deployment.uuid}/start").status_code == 409
        created = mine.post(
            f"projects/{project.uuid}/deployments", json={"name": "d", "model": str(model.uuid)}
        )
        assert created.status_code == 404
        restored = mine.post(f"projects/{project.uuid}/bin/{model.uuid}/restore").json()
        assert (restored["name"], restored["version"]) == (model.name, "1")
        assert mine.get(f"deployments/{deployment.uuid}").json()["model"] is not None

    def test_restored_model_with_taken_version_gets_a_similar_name(
        self, session: Session, mine: Api, project: Project
    ) -> None:
        first = make_model(session, project, name="m")
        mine.delete(f"models/{first.uuid}")
        second = make_model(session, project, name="m")
        mine.delete(f"models/{second.uuid}")
        bin_of = f"projects/{project.uuid}/bin"
        assert mine.post(f"{bin_of}/{first.uuid}/restore").json()["name"] == "m"
        assert mine.post(f"{bin_of}/{second.uuid}/restore").json()["name"] == "m-restored"

    def test_shared_model_can_be_restored_only_by_administrators(
        self, session: Session, admin: Api, mine: Api, project: Project
    ) -> None:
        model = make_model(session, None, card={"project": str(project.uuid)})
        assert admin.delete(f"models/{model.uuid}").status_code == 204
        assert mine.get(f"models/{model.uuid}").status_code == 404
        path = f"projects/{project.uuid}/bin/{model.uuid}"
        assert mine.post(f"{path}/restore").status_code == 403
        assert mine.delete(path).status_code == 403
        assert admin.post(f"{path}/restore").status_code == 200
        session.expire_all()
        assert session.get_one(Model, model.id).project_id is None
        assert mine.get(f"models/{model.uuid}").status_code == 200

    def test_base_model_of_another_model_is_not_purged(
        self, session: Session, mine: Api, project: Project
    ) -> None:
        base = make_model(session, project)
        tuned = make_model(session, project, base_model_id=base.id)
        mine.delete(f"models/{tuned.uuid}")
        mine.delete(f"models/{base.uuid}")
        bin_of = f"projects/{project.uuid}/bin"
        assert mine.post(f"{bin_of}/{tuned.uuid}/restore").status_code == 200
        assert mine.get(f"models/{tuned.uuid}").json()["base_model"] is None
        refused = mine.delete(f"{bin_of}/{base.uuid}")
        assert (refused.status_code, refused.json()["code"]) == (409, "bin.still_used")
        make_overdue(session, base.uuid)
        purge_overdue()
        assert [item["uuid"] for item in list_bin(mine, project)] == [str(base.uuid)]


def test_every_kind_is_registered() -> None:
    assert set(service._kinds) == {"dataset", "model"}
