"""Tests of models: their use by tasks, the registration of tuned models, and downloads."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import ModelStatus, TaskStatus, TaskType
from aiplatform.server.core.audit import AuditEntry, AuditLog
from aiplatform.server.core.database import commit, transaction
from aiplatform.server.core.errors import NotFound
from aiplatform.server.identity.models import User
from aiplatform.server.projects.errors import QuotaExceeded
from aiplatform.server.projects.models import Project, ProjectQuota
from aiplatform.server.queue.models import Task, TaskInput
from aiplatform.server.registry import queries, service
from aiplatform.server.registry.errors import ModelNotReady
from aiplatform.server.registry.models import Model
from aiplatform.server.registry.rules import tree_hash
from tests.conftest import Api
from tests.factories import (
    make_blob,
    make_context,
    make_dataset,
    make_experiment,
    make_member,
    make_model,
    make_project,
    make_task,
    make_version,
)

Create = Callable[..., Any]


class TestUsableModels:
    def test_usable_model_is_ready_and_own_or_shared(
        self, session: Session, project: Project
    ) -> None:
        context = make_context(session, project)
        for place in (project, None):
            model = make_model(session, place)
            assert service.usable_model(session, context, model.uuid).id == model.id
        foreign = make_model(session, make_project(session))
        with pytest.raises(NotFound):
            service.usable_model(session, context, foreign.uuid)
        pending = make_model(session, project, status=ModelStatus.PENDING)
        with pytest.raises(ModelNotReady):
            service.usable_model(session, context, pending.uuid)

    def test_input_ref_has_label_and_tree_hash(
        self, session: Session, project: Project, home: Any
    ) -> None:
        files = [
            make_blob(session, b"b", "weights/b", home),
            make_blob(session, b"a", "README.md", home),
        ]
        model = make_model(session, project, files=files)
        assert queries.files(session, model) == [files[1], files[0]]
        item = service.input_ref(session, model, "base_model")
        assert (item.role, item.model_id) == ("base_model", model.id)
        assert item.label == f"{model.name}@1"
        assert item.content_hash == tree_hash((file.path, file.sha256) for file in files)

    def test_register_tuned_stores_card_and_lineage(
        self, session: Session, project: Project, owner_api: Api, owner: User, home: Any
    ) -> None:
        base = make_model(session, None, license="apache-2.0")
        task = make_task(session, project, type=TaskType.TRAINING, status=TaskStatus.RUNNING)
        experiment = make_experiment(session, project)
        dataset = make_dataset(session, project)
        version = make_version(session, dataset)
        session.add(
            TaskInput(
                task_id=task.id,
                role="dataset",
                label=f"{dataset.name}@v1",
                content_hash="a" * 64,
                dataset_version_id=version.id,
            )
        )
        files = [
            make_blob(session, b"merged", "weights/model.safetensors", home),
            make_blob(session, b"lora", "adapter/adapter_model.safetensors", home),
            make_blob(session, b"# Tuned\x00", "README.md", home),
        ]
        made = [
            service.register_tuned(
                session,
                task,
                project_id=project.id,
                name="tuned",
                base_model_id=base.id,
                files=files,
                card={"data": "x@v1", "config": {"epochs": 1}},
                metrics={"eval_loss": float("nan")},
                experiment_id=experiment.id,
                created_by=owner.id,
            )
            for _ in range(2)
        ]
        commit(session)
        assert [model.version for model in made] == ["1", "2"]
        shown = owner_api.get(f"models/{made[0].uuid}").json()
        assert shown["status"] == "ready"
        assert shown["framework"] == "peft"
        assert shown["base_model"]["uuid"] == str(base.uuid)
        assert shown["license"] == "apache-2.0"
        assert shown["card"] == "# Tuned\ufffd"
        assert shown["facts"]["config"] == {"epochs": 1}
        assert shown["metrics"] == {"eval_loss": "NaN"}
        assert shown["size"] == 6 + 4 + 8
        assert (shown["task"], shown["experiment"]) == (str(task.uuid), str(experiment.uuid))
        assert shown["author"]["username"] == owner.username
        lineage = owner_api.get(f"models/{made[0].uuid}/lineage").json()
        assert lineage["dataset_versions"] == [
            {
                "role": "dataset",
                "label": f"{dataset.name}@v1",
                "content_hash": "a" * 64,
                "dataset": str(dataset.uuid),
                "version": str(version.uuid),
            }
        ]
        assert lineage["base_model"]["name"] == base.name
        assert lineage["task"]["type"] == "training"
        assert lineage["experiment"]["name"] == experiment.name

    def test_register_again_charges_storage_again(
        self, session: Session, project: Project, home: Any
    ) -> None:
        files = [
            make_blob(session, b"merged", "weights/model.safetensors", home),
            make_blob(session, b"lora", "adapter/adapter_model.safetensors", home),
        ]
        task = make_task(session, project, type=TaskType.TRAINING)
        model = make_model(session, project, files=files, task_id=task.id)
        quota = ProjectQuota(project_id=project.id, storage_bytes=19)
        session.add(quota)
        commit(session)
        context = make_context(session, project)
        with pytest.raises(QuotaExceeded):
            service.register_again(session, context, model, name="best")
        session.rollback()
        quota.storage_bytes = 20
        commit(session)
        again, is_new = service.register_again(session, context, model, name="best")
        assert is_new
        assert queries.files(session, again) == queries.files(session, model)
        assert service.register_again(session, context, model, name="best") == (again, False)

    def test_register_tuned_at_the_same_time_gives_different_versions(
        self, session: Session, project: Project
    ) -> None:
        tasks = [make_task(session, project, type=TaskType.TRAINING).id for _ in range(4)]
        project_id = project.id

        def register(task_id: int) -> str | None:
            with transaction() as own:
                model = service.register_tuned(
                    own,
                    own.get_one(Task, task_id),
                    project_id=project_id,
                    name="together",
                    base_model_id=None,
                    files=[],
                    card={},
                    metrics={},
                    experiment_id=None,
                    created_by=None,
                )
                return model.version

        with ThreadPoolExecutor(4) as pool:
            assert sorted(pool.map(register, tasks)) == ["1", "2", "3", "4"]


class TestDownloads:
    @pytest.fixture
    def model(self, session: Session, project: Project, home: Any) -> Model:
        content = b"<script>alert(1)</script>" * 10
        files = [make_blob(session, content, "weights/page.html", home)]
        return make_model(session, project, files=files)

    def test_download_is_attachment_with_hash_and_ranges(
        self, model: Model, owner_api: Api, session: Session, project: Project
    ) -> None:
        path = f"models/{model.uuid}/files/weights/page.html"
        whole = owner_api.get(path)
        assert whole.headers["content-type"] == "application/octet-stream"
        assert whole.headers["x-content-type-options"] == "nosniff"
        assert whole.headers["content-security-policy"].startswith("sandbox")
        assert whole.headers["content-disposition"] == 'attachment; filename="page.html"'
        assert whole.headers["etag"] == f'"{hashlib.sha256(whole.content).hexdigest()}"'
        part = owner_api.get(path, headers={"Range": "bytes=8-13"})
        assert (part.status_code, part.content) == (206, whole.content[8:14])
        assert (
            owner_api.get(path, headers={"If-None-Match": whole.headers["etag"]}).status_code == 304
        )
        audited = session.execute(
            select(AuditLog.details, AuditEntry.project_uuid)
            .join(AuditEntry, AuditEntry.audit_id == AuditLog.id)
            .where(AuditLog.action == "model:downloaded", AuditLog.resource_id == str(model.uuid))
            .order_by(AuditLog.id)
        ).all()
        assert [details["range"] for details, _ in audited] == [None, "bytes=8-13"]
        assert {uuid for _, uuid in audited} == {project.uuid}

    @pytest.mark.parametrize("path", ["weights", "weights/", "..%2Fx", "%00", "weights/nothing"])
    def test_download_of_unknown_file_is_not_found(
        self, model: Model, owner_api: Api, path: str
    ) -> None:
        assert owner_api.get(f"models/{model.uuid}/files/{path}").status_code == 404

    def test_model_of_other_project_is_not_found(
        self, model: Model, api: Callable[..., Api], session: Session
    ) -> None:
        stranger = api(make_member(session, make_project(session), "admin"))
        for path in ("", "/files", "/lineage", "/files/weights/page.html"):
            assert stranger.get(f"models/{model.uuid}{path}").status_code == 404
        assert stranger.delete(f"models/{model.uuid}").status_code == 404
        assert stranger.get("models/not-a-uuid").status_code == 404
        assert api(None).get("models/not-a-uuid").status_code == 401
