"""Models: versions, sharing, who sees what, use by tasks, downloads, lineage, deletion."""

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
from aiplatform.server.core.storage import BlobRef
from aiplatform.server.identity.models import User
from aiplatform.server.projects.models import Project
from aiplatform.server.registry import queries, service
from aiplatform.server.registry.errors import ModelNotReady
from aiplatform.server.registry.models import Model, ModelDetails
from aiplatform.server.registry.rules import tree_hash
from aiplatform.server.tasks.models import Task, TaskInput
from aiplatform.server.tasks.service import queue
from aiplatform.server.tasks.service.kinds import Outcome
from tests.conftest import Api
from tests.factories import (
    make_blob,
    make_context,
    make_dataset,
    make_experiment,
    make_member,
    make_model,
    make_project,
    make_role,
    make_task,
    make_user,
    make_version,
    number,
)

Create = Callable[..., Any]


class TestVersions:
    def test_count_up_by_name(self, create: Create) -> None:
        assert [create(name="counted").json()["version"] for _ in range(3)] == ["1", "2", "3"]
        assert create(name="other").json()["version"] == "1"

    def test_may_be_chosen_once(self, create: Create) -> None:
        assert create(name="chosen", version="2024-beta").status_code == 201
        answer = create(name="chosen", version="2024-beta")
        assert (answer.status_code, answer.json()["code"]) == (409, "model.version_taken")
        assert create(name="chosen", version="7").status_code == 201
        assert create(name="chosen").json()["version"] == "8"

    def test_at_the_same_time(self, create: Create) -> None:
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: create(name="raced"), range(8)))
        assert sorted(answer.json()["version"] for answer in answers) == list("12345678")

    def test_of_projects_do_not_mix(
        self, create: Create, mine: Api, session: Session, owner: User
    ) -> None:
        create(name="same")
        other = make_project(session, owner)
        body = {"name": "same", "source": {"kind": "upload"}}
        assert mine.post(f"projects/{other.uuid}/models", json=body).json()["version"] == "1"

    @pytest.mark.parametrize(
        "body",
        [
            {"name": "../x"},
            {"name": "a b"},
            {"name": ""},
            {"version": "a@b"},
            {"source": {"kind": "hub", "repository": "a/../b"}},
            {"source": {"kind": "url", "url": "http://x"}},
            {"task": "x"},
        ],
    )
    def test_bodies_that_are_refused(self, create: Create, body: dict[str, Any]) -> None:
        assert create(**body).json()["code"] == "validation"


class TestSharing:
    @pytest.fixture
    def shared(self, session: Session, home: Any) -> Model:
        files = [make_blob(session, b"{}", "weights/config.json", home)]
        return make_model(session, None, files=files)

    def test_needs_a_global_star(self, create: Create, session: Session, owner: User) -> None:
        answer = create(shared=True)
        assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")
        denied = session.scalars(
            select(AuditLog).where(AuditLog.user_id == owner.id, AuditLog.action == "access:denied")
        ).one()
        assert denied.details["permission"] == "*"

    def test_belongs_to_no_project_but_its_import_does(
        self, admin: Api, project: Project, session: Session, end: Callable[..., Task]
    ) -> None:
        body = {"name": f"base-{number()}", "source": {"kind": "upload"}, "shared": True}
        created = admin.post(f"projects/{project.uuid}/models", json=body).json()
        assert created["project"] is None
        path = f"models/{created['uuid']}"
        assert admin.put(f"{path}/files/config.json", content=b"{}").status_code == 200
        task = admin.post(f"{path}/import").json()
        assert task["project"] == str(project.uuid)
        files = {"weights/config.json": b"{}"}
        end(task["uuid"], TaskStatus.COMPLETED, files=files, result={})
        assert admin.get(path).json()["status"] == "ready"
        reference = session.scalars(
            select(BlobRef)
            .join(Model, Model.id == BlobRef.model_id)
            .where(Model.uuid == created["uuid"])
        ).one()
        assert reference.project_id is None

    def test_an_import_whose_project_is_gone(
        self, admin: Api, session: Session, admin_user: User
    ) -> None:
        gone = make_project(session, admin_user)
        body = {"name": f"base-{number()}", "source": {"kind": "upload"}, "shared": True}
        created = admin.post(f"projects/{gone.uuid}/models", json=body).json()
        admin.put(f"models/{created['uuid']}/files/a.json", content=b"{}")
        session.delete(gone)
        session.commit()
        answer = admin.post(f"models/{created['uuid']}/import")
        assert (answer.status_code, answer.json()["code"]) == (409, "model.project_gone")

    def test_is_read_by_all_and_changed_by_administrators(
        self, shared: Model, api: Callable[..., Api], session: Session, admin: Api, mine: Api
    ) -> None:
        somebody = api(make_user(session))
        path = f"models/{shared.uuid}"
        assert somebody.get(path).json()["project"] is None
        assert somebody.get(f"{path}/files/weights/config.json").content == b"{}"
        for user in (somebody, mine):
            assert user.delete(path).status_code == 403
            assert user.put(f"{path}/files/a.json", content=b"x").status_code == 403
            assert user.post(f"{path}/import").status_code == 403
        assert api(None).get(path).status_code == 401
        assert admin.delete(path).status_code == 204

    def test_in_archived_projects_nothing_changes(
        self, create: Create, mine: Api, session: Session, project: Project
    ) -> None:
        created = create().json()
        project.status = "archived"
        session.commit()
        path = f"models/{created['uuid']}"
        assert mine.get(path).status_code == 200
        assert mine.delete(path).json()["code"] == "project_archived"
        assert mine.put(f"{path}/files/a", content=b"x").json()["code"] == "project_archived"


class TestLists:
    def test_of_everything_one_may_read(self, session: Session, api: Callable[..., Api]) -> None:
        name = f"listed{number()}"
        user = make_user(session)
        owned = make_project(session, user)
        granted, denied, foreign = (make_project(session) for _ in range(3))
        make_member(session, granted, make_role(session, "models:*"), user)
        make_member(session, denied, make_role(session, "datasets:read", "tasks:*"), user)
        visible = [
            make_model(session, place, name=name, version=str(version))
            for version, place in enumerate((None, owned, granted), start=1)
        ]
        for place in (denied, foreign):
            make_model(session, place, name=name)
        listed = api(user).get(f"models?name={name}").json()["items"]
        assert {item["uuid"] for item in listed} == {str(model.uuid) for model in visible}
        one = api(user).get(f"models?name={name}&version=3").json()["items"]
        assert [item["uuid"] for item in one] == [str(visible[2].uuid)]

    def test_of_everything_for_administrators(
        self, session: Session, admin: Api, project: Project
    ) -> None:
        model = make_model(session, project)
        assert [m["uuid"] for m in admin.get(f"models?name={model.name}").json()["items"]] == [
            str(model.uuid)
        ]

    def test_pages_do_not_lose_what_is_filtered(
        self, session: Session, api: Callable[..., Api]
    ) -> None:
        name = f"paged{number()}"
        user = make_user(session)
        owned, foreign = make_project(session, user), make_project(session)
        for version in range(1, 8):
            make_model(session, owned, name=name, version=str(version))
            make_model(session, foreign, name=name, version=str(version))
        seen: list[str] = []
        path = f"models?name={name}&limit=3"
        cursor = ""
        while True:
            page = api(user).get(path + cursor).json()
            seen += [item["version"] for item in page["items"]]
            if page["next_cursor"] is None:
                break
            cursor = f"&cursor={page['next_cursor']}"
        assert seen == list("7654321")

    def test_of_a_project(self, mine: Api, session: Session, project: Project) -> None:
        model = make_model(session, project)
        make_model(session, None, name=model.name)
        listed = mine.get(f"projects/{project.uuid}/models").json()["items"]
        assert [item["uuid"] for item in listed] == [str(model.uuid)]
        assert mine.get(f"projects/{project.uuid}/models?name=%00").json()["items"] == []

    def test_a_model_entered_by_hand_is_shown(
        self, mine: Api, session: Session, project: Project
    ) -> None:
        row = Model(project_id=project.id, name="bare", version="1", metrics={})
        session.add(row)
        session.commit()
        session.refresh(row)
        assert mine.get(f"models/{row.uuid}").json()["status"] == "pending"
        assert mine.get(f"models/{row.uuid}/lineage").json()["task"] is None


class TestUse:
    def test_own_and_shared_and_ready(self, session: Session, project: Project) -> None:
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

    def test_as_an_input(self, session: Session, project: Project, home: Any) -> None:
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

    def test_registering_what_was_tuned(
        self, session: Session, project: Project, mine: Api, owner: User, home: Any
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
        shown = mine.get(f"models/{made[0].uuid}").json()
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
        lineage = mine.get(f"models/{made[0].uuid}/lineage").json()
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

    def test_two_trainings_that_end_together(self, session: Session, project: Project) -> None:
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

    def test_are_attachments_with_hash_and_ranges(
        self, model: Model, mine: Api, session: Session, project: Project
    ) -> None:
        path = f"models/{model.uuid}/files/weights/page.html"
        whole = mine.get(path)
        assert whole.headers["content-type"] == "application/octet-stream"
        assert whole.headers["x-content-type-options"] == "nosniff"
        assert whole.headers["content-security-policy"].startswith("sandbox")
        assert whole.headers["content-disposition"] == 'attachment; filename="page.html"'
        assert whole.headers["etag"] == f'"{hashlib.sha256(whole.content).hexdigest()}"'
        part = mine.get(path, headers={"Range": "bytes=8-13"})
        assert (part.status_code, part.content) == (206, whole.content[8:14])
        assert mine.get(path, headers={"If-None-Match": whole.headers["etag"]}).status_code == 304
        audited = session.execute(
            select(AuditLog.details, AuditEntry.project_uuid)
            .join(AuditEntry, AuditEntry.audit_id == AuditLog.id)
            .where(AuditLog.action == "model:downloaded", AuditLog.resource_id == str(model.uuid))
            .order_by(AuditLog.id)
        ).all()
        assert [details["range"] for details, _ in audited] == [None, "bytes=8-13"]
        assert {uuid for _, uuid in audited} == {project.uuid}

    @pytest.mark.parametrize("path", ["weights", "weights/", "..%2Fx", "%00", "weights/nothing"])
    def test_of_files_that_are_not(self, model: Model, mine: Api, path: str) -> None:
        assert mine.get(f"models/{model.uuid}/files/{path}").status_code == 404

    def test_of_others(self, model: Model, api: Callable[..., Api], session: Session) -> None:
        stranger = api(make_member(session, make_project(session), "admin"))
        for path in ("", "/files", "/lineage", "/files/weights/page.html"):
            assert stranger.get(f"models/{model.uuid}{path}").status_code == 404
        assert stranger.delete(f"models/{model.uuid}").status_code == 404
        assert stranger.get("models/not-a-uuid").status_code == 404
        assert api(None).get("models/not-a-uuid").status_code == 401


class TestDeletion:
    def test_takes_files_and_leaves_a_trace(
        self, session: Session, project: Project, mine: Api, home: Any
    ) -> None:
        file = make_blob(session, b"to be deleted", "README.md", home)
        model = make_model(session, project, files=[file])
        uuid = str(model.uuid)
        assert mine.delete(f"models/{uuid}").status_code == 204
        assert mine.get(f"models/{uuid}").status_code == 404
        left = session.scalars(select(BlobRef).where(BlobRef.sha256 == file.sha256)).all()
        assert left == []
        audited = session.scalars(select(AuditLog).where(AuditLog.action == "model:deleted")).all()
        assert audited[-1].details["name"] == model.name

    def test_is_refused_while_a_deployment_serves_it(
        self, session: Session, project: Project, mine: Api
    ) -> None:
        model = make_model(session, project)
        task = make_task(session, project, type=TaskType.INFERENCE, status=TaskStatus.RUNNING)
        session.add(TaskInput(task_id=task.id, role="model", model_id=model.id, label="x"))
        session.commit()
        answer = mine.delete(f"models/{model.uuid}")
        assert (answer.status_code, answer.json()["code"]) == (409, "model.in_use")
        assert task.name in answer.json()["users"]

    def test_is_refused_while_a_tuned_model_stands_on_it(
        self, session: Session, project: Project, mine: Api
    ) -> None:
        base = make_model(session, project)
        tuned = make_model(session, project, base_model_id=base.id)
        assert mine.delete(f"models/{base.uuid}").json()["users"] == f"{tuned.name}@1"
        assert mine.delete(f"models/{tuned.uuid}").status_code == 204
        assert mine.delete(f"models/{base.uuid}").status_code == 204

    def test_stops_its_own_import(self, create: Create, mine: Api, session: Session) -> None:
        created = create(source={"kind": "package", "package": "x"}).json()
        assert mine.delete(f"models/{created['uuid']}").status_code == 204
        task = session.scalars(select(Task).where(Task.uuid == created["task"])).one()
        assert (task.status, task.model_id) == (TaskStatus.CANCELLED, None)

    def test_an_import_that_ends_after_it(
        self, create: Create, mine: Api, session: Session, end: Callable[..., Task]
    ) -> None:
        created = create(source={"kind": "package", "package": "x"}).json()
        row = session.scalars(select(Model).where(Model.uuid == created["uuid"])).one()
        session.delete(session.get_one(ModelDetails, row.id))
        session.flush()
        session.delete(row)
        session.commit()
        files = {"weights/a": b"x"}
        task = end(created["task"], TaskStatus.COMPLETED, files=files, result={})
        assert task.status == TaskStatus.COMPLETED

    def test_at_the_same_time_as_its_import_ends(
        self, create: Create, session: Session, project: Project, owner: User, home: Any
    ) -> None:
        file = make_blob(session, b"raced", "weights/a", home)
        pairs = []
        for _ in range(8):
            created = create(source={"kind": "package", "package": "x"}).json()
            model = session.scalars(select(Model).where(Model.uuid == created["uuid"])).one()
            task = session.scalars(select(Task).where(Task.uuid == created["task"])).one()
            queue.change_status(session, task, TaskStatus.RUNNING)
            commit(session)
            pairs.append((model.id, task.id))
        actor = make_context(session, project).actor

        def delete(model_id: int) -> None:
            with transaction() as own:
                service.delete_model(own, actor, model_id, project=project.uuid)

        def finish(task_id: int) -> None:
            with transaction() as own:
                outcome = Outcome(TaskStatus.COMPLETED, files=[file])
                queue.finish(own, queue.lock(own, task_id), outcome)

        with ThreadPoolExecutor(4) as pool:
            both = [
                pool.submit(call, item)
                for pair in pairs
                for call, item in zip((delete, finish), pair, strict=True)
            ]
            for future in both:
                future.result(timeout=30)
        session.expire_all()
        assert session.scalars(select(Model).where(Model.project_id == project.id)).all() == []
