"""Tests of storage quotas; a lock keeps concurrent uploads from exceeding them."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskStatus
from aiplatform.server.core.database import transaction
from aiplatform.server.core.settings import Settings, get_settings
from aiplatform.server.core.storage import add_reference
from aiplatform.server.execution.models import TaskCheckpoint
from aiplatform.server.identity.models import User
from aiplatform.server.notifications.models import Notification
from aiplatform.server.projects.errors import QuotaExceeded
from aiplatform.server.projects.models import Project, ProjectQuota
from aiplatform.server.projects.service import quotas
from tests.conftest import Api, environment
from tests.factories import (
    make_blob,
    make_dataset,
    make_member,
    make_model,
    make_project,
    make_role,
    make_task,
    make_user,
    make_version,
)
from tests.server.projects.conftest import get_usage

pytestmark = pytest.mark.usefixtures("client")
Act = Callable[[User | None], Api]
LINE = b'{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "H"}]}\n'


def upload(me: Api, project: Project, name: str, content: bytes = LINE) -> Any:
    return me.post(
        f"projects/{project.uuid}/datasets",
        params={"name": name, "filename": "rows.jsonl"},
        content=content,
    )


class TestUsage:
    def test_usage_counts_each_reference_by_kind(
        self, session: Session, mine: Api, project: Project, home: Path
    ) -> None:
        def blob(size: int) -> Any:
            return make_blob(session, uuid4().bytes.ljust(size, b"."), "file", home)

        data, weights, step = blob(1000), blob(300), blob(50)
        dataset, gone = make_dataset(session, project), make_dataset(session, project)
        make_version(session, dataset, file=data)
        make_version(session, dataset, version="v2", file=data)
        make_version(session, gone, file=data)
        make_model(session, project, files=[weights])
        binned = make_model(session, project, files=[weights])
        task = make_task(session, project, status=TaskStatus.COMPLETED)
        checkpoint = TaskCheckpoint(task_id=task.id, attempt=1, step=1)
        session.add(checkpoint)
        session.flush()
        add_reference(session, step, project_id=project.id, checkpoint_id=checkpoint.id)
        # The same content in another project counts only there.
        make_version(session, make_dataset(session, make_project(session)), file=data)
        session.commit()
        mine.delete(f"datasets/{gone.uuid}")
        mine.delete(f"models/{binned.uuid}")
        assert get_usage(mine, project) == {
            "storage": {"datasets": 2000, "models": 300, "checkpoints": 50, "artifacts": 0,
                        "bin": 1300, "total": 3650, "limit": None},
            "tasks": {"used": 0, "limit": None},
            "gpus": {"used": 0, "limit": None},
            "max_priority": 10,
        }  # fmt: skip

    def test_usage_of_an_empty_project_is_zero(self, mine: Api, project: Project) -> None:
        assert get_usage(mine, project)["storage"]["total"] == 0


class TestLimits:
    def test_limits_are_set_only_with_settings_permission(
        self, session: Session, mine: Api, api: Act, project: Project
    ) -> None:
        path = f"projects/{project.uuid}/quota"
        refused = mine.put(path, json={"gpus": 8})
        assert (refused.status_code, refused.json()["permission"]) == (403, "settings:write")
        role = make_role(session, "settings:write", name=f"ops{uuid4().hex[:8]}")
        operator = api(make_user(session, role=role.name))
        assert operator.put(path, json={"gpus": 8}).json()["gpus"]["limit"] == 8
        changed = select(ProjectQuota.updated_at).where(ProjectQuota.project_id == project.id)
        first = session.scalar(changed)
        session.rollback()
        operator.put(path, json={"gpus": 8, "concurrent_tasks": 1})
        assert first is not None
        assert session.scalars(changed).one() > first
        session.rollback()
        assert operator.put(f"projects/{uuid4()}/quota", json={}).status_code == 404
        assert get_usage(mine, project)["gpus"]["limit"] == 8
        assert operator.put(path, json={"gpus": -1}).status_code == 422

    def test_missing_limits_are_the_platforms(
        self, limit: Callable[..., Any], mine: Api, project: Project
    ) -> None:
        settings = get_settings()
        before = (settings.quota_storage_bytes, settings.quota_tasks, settings.quota_gpus)
        try:
            settings.quota_storage_bytes, settings.quota_tasks, settings.quota_gpus = 10, 2, 0
            found = get_usage(mine, project)
            assert [found[key]["limit"] for key in ("storage", "tasks", "gpus")] == [10, 2, 0]
            assert limit(concurrent_tasks=5)["tasks"]["limit"] == 5
            assert limit()["tasks"]["limit"] == 2
        finally:
            settings.quota_storage_bytes, settings.quota_tasks, settings.quota_gpus = before


class TestStorage:
    def test_refusal_names_quota_usage_and_remedy(
        self, mine: Api, project: Project, limit: Callable[..., Any]
    ) -> None:
        limit(storage_bytes=50)
        answer = mine.post(
            f"projects/{project.uuid}/datasets",
            params={"name": "d", "filename": "rows.jsonl"},
            content=LINE,
            headers={"Accept-Language": "zh"},
        )
        told = answer.json()
        assert (answer.status_code, told["code"]) == (409, "project.quota_exceeded")
        assert (told["quota"], told["limit"], told["used"]) == ("storage", 50, 0)
        assert told["asked"] == len(LINE)
        assert "存储" in told["detail"]
        assert "回收站" in told["detail"]

    def test_refused_upload_leaves_nothing(
        self, mine: Api, project: Project, limit: Callable[..., Any]
    ) -> None:
        # The upload itself fits, but not together with the rows made from it.
        limit(storage_bytes=len(LINE) + 10)
        assert upload(mine, project, "d").json()["code"] == "project.quota_exceeded"
        assert get_usage(mine, project)["storage"]["total"] == 0
        assert mine.get(f"projects/{project.uuid}/datasets").json()["items"] == []

    def test_bin_counts_until_it_is_purged(
        self, mine: Api, project: Project, limit: Callable[..., Any]
    ) -> None:
        first = upload(mine, project, "first").json()
        limit(storage_bytes=int(get_usage(mine, project)["storage"]["total"] * 1.5))
        assert upload(mine, project, "second", LINE * 2).json()["code"] == "project.quota_exceeded"
        mine.delete(f"datasets/{first['uuid']}")
        assert upload(mine, project, "second", LINE * 2).json()["code"] == "project.quota_exceeded"
        mine.delete(f"projects/{project.uuid}/bin/{first['uuid']}")
        assert upload(mine, project, "second", LINE * 2).status_code == 201

    def test_replaced_model_file_counts_once(
        self, mine: Api, project: Project, limit: Callable[..., Any]
    ) -> None:
        body = {"name": "m", "source": {"kind": "upload"}}
        model = mine.post(f"projects/{project.uuid}/models", json=body).json()["uuid"]
        limit(storage_bytes=100)
        path = f"models/{model}/files/config.json"
        assert mine.put(path, content=b"x" * 101).json()["code"] == "project.quota_exceeded"
        assert mine.put(path, content=b"x" * 60).status_code == 200
        more = mine.put(f"models/{model}/files/other.json", content=b"y" * 60)
        assert more.json()["code"] == "project.quota_exceeded"
        assert get_usage(mine, project)["storage"]["models"] == 60

    def test_content_of_another_project_is_charged_in_full(
        self, session: Session, mine: Api, api: Act, project: Project, limit: Callable[..., Any]
    ) -> None:
        """Check that the charge does not reveal whether another project has the same content."""
        other = make_project(session)
        them = api(session.get_one(User, other.owner_id))
        assert upload(them, other, "d").status_code == 201
        size = get_usage(them, other)["storage"]["total"]
        limit(storage_bytes=size - 1)
        told = upload(mine, project, "d").json()
        assert told["code"] == "project.quota_exceeded"
        limit(storage_bytes=size)
        assert upload(mine, project, "d").status_code == 201
        assert get_usage(mine, project)["storage"]["total"] == size

    def test_concurrent_uploads_stay_within_the_limit(
        self, mine: Api, session: Session, project: Project, limit: Callable[..., Any]
    ) -> None:
        first = upload(mine, project, "first").json()
        size = get_usage(mine, project)["storage"]["total"]
        mine.delete(f"datasets/{first['uuid']}")
        mine.delete(f"projects/{project.uuid}/bin/{first['uuid']}")
        limit(storage_bytes=int(size * 2.5))
        names = [f"d{number}" for number in range(5)]
        with ThreadPoolExecutor(5) as pool:
            codes = list(pool.map(lambda n: upload(mine, project, n).status_code, names))
        assert sorted(codes) == [201, 201, 409, 409, 409]
        assert get_usage(mine, project)["storage"]["total"] <= int(size * 2.5)

    def test_concurrent_charges_stay_within_the_limit(
        self, session: Session, project: Project, home: Path
    ):
        with transaction() as own:
            own.add(ProjectQuota(project_id=project.id, storage_bytes=100))
        file = make_blob(session, uuid4().bytes.ljust(60, b"."), "f", home)
        start = threading.Barrier(4)
        models = [make_model(session, project).id for _ in range(4)]

        def charge(model_id: int) -> bool:
            start.wait()
            try:
                with transaction() as own, quotas.charge_added_storage(own, project.id):
                    add_reference(own, file, project_id=project.id, model_id=model_id)
            except QuotaExceeded:
                return False
            return True

        with ThreadPoolExecutor(4) as pool:
            assert sorted(pool.map(charge, models)) == [False, False, False, True]


def test_default_limits_come_from_the_environment() -> None:
    with environment(AIPLATFORM_QUOTA_TASKS="3", AIPLATFORM_BIN_DAYS="5"):
        assert (Settings().quota_tasks, Settings().bin_days) == (3, 5)


def test_viewer_may_read_the_usage(session: Session, api: Act, project: Project) -> None:
    viewer = api(make_member(session, project, "viewer"))
    assert viewer.get(f"projects/{project.uuid}/usage").status_code == 200


def test_owner_is_notified_each_time_storage_passes_the_threshold(session: Session) -> None:
    owner = make_user(session)
    project = make_project(session, owner)
    session.add(ProjectQuota(project_id=project.id, storage_bytes=100))
    session.commit()
    for asked, told in ((89, 0), (90, 1), (100, 2)):
        # Nothing is stored in between, so each charge is compared with zero usage.
        quotas.charge_storage(session, project.id, asked)
        session.commit()
        kinds = session.scalars(
            select(Notification.type).where(Notification.user_id == owner.id)
        ).all()
        assert list(kinds) == ["quota:near"] * told
