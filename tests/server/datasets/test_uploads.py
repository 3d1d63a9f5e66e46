"""Tests of plain uploads: accepted files, rejected files (which leave no trace), permissions."""

import base64
import gzip
import hashlib
import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from aiplatform.server.core import spool
from aiplatform.server.core.audit import AuditEntry, AuditLog
from aiplatform.server.core.settings import get_settings
from aiplatform.server.datasets import queries
from aiplatform.server.datasets.models import Dataset, DatasetVersion
from aiplatform.server.identity.models import AuthSession, User
from aiplatform.server.projects.models import Project
from aiplatform.server.queue.models import Task, TaskInput
from tests.conftest import Api
from tests.factories import make_member, make_model, make_project, make_token, references
from tests.server.datasets.conftest import CHAT, jsonl

Upload = Callable[..., Any]
StoredState = Callable[[], dict[str, Any]]


class TestAcceptedUploads:
    def test_response_describes_the_dataset(self, upload: Upload, project: Project) -> None:
        answer = upload(name="客服 chats", message="first")
        assert answer.status_code == 201, answer.text
        dataset = answer.json()
        assert dataset["name"] == "客服 chats"
        assert dataset["project"] == str(project.uuid)
        assert (dataset["format"], dataset["shape"]) == ("jsonl", "chat")
        assert (dataset["version"], dataset["row_count"]) == ("v1", 5)
        assert dataset["status"] == "processing"
        assert dataset["quality_report"] is None
        assert answer.headers["location"] == f"/api/v1/datasets/{dataset['uuid']}"
        assert answer.headers["etag"]

    def test_contract_tables_are_filled(
        self, upload: Upload, session: Session, owner: User
    ) -> None:
        content = jsonl(CHAT)
        uuid = upload(content, message="first").json()["uuid"]
        dataset = session.scalars(select(Dataset).where(Dataset.uuid == uuid)).one()
        version = session.scalars(
            select(DatasetVersion).where(DatasetVersion.dataset_id == dataset.id)
        ).one()
        assert version.file_hash is not None
        assert dataset.file_path == f"versions/{version.uuid}/data.parquet"
        assert dataset.size == version.file_size > 0
        assert version.row_count == 5
        assert version.commit_message == "first"
        assert version.created_by == owner.id
        assert version.parent_version_id is None
        rows = queries.rows_file(session, version.id)
        sent = queries.upload_file(session, version.id)
        assert rows is not None
        assert sent is not None
        assert rows.sha256 == version.file_hash
        assert sent.sha256 == hashlib.sha256(content).hexdigest()
        for part in (*rows.parts, *sent.parts):
            assert all(references(session, blob) >= 1 for blob in part.blobs)

    def test_quality_task_is_queued_in_the_same_transaction(
        self, upload: Upload, session: Session, project: Project
    ) -> None:
        model = make_model(session, project)
        uuid = upload(base_model=str(model.uuid), max_length=64).json()["uuid"]
        task = session.scalars(
            select(Task).where(Task.project_id == project.id, Task.type == "data_quality")
        ).one()
        assert task.config["dataset"] == {"dataset": uuid, "version": "v1"}
        assert (task.config["base_model"], task.config["max_length"]) == (str(model.uuid), 64)
        inputs = session.scalars(
            select(TaskInput).where(TaskInput.task_id == task.id).order_by(TaskInput.role)
        ).all()
        assert [item.role for item in inputs] == ["base_model", "dataset"]
        assert inputs[0].model_id == model.id
        assert all(item.content_hash for item in inputs)

    def test_audit_entries_name_user_and_project(
        self, upload: Upload, session: Session, owner: User, project: Project
    ) -> None:
        uuid = upload().json()["uuid"]
        rows = session.execute(
            select(AuditLog, AuditEntry)
            .join(AuditEntry, AuditEntry.audit_id == AuditLog.id)
            .where(AuditLog.resource_id == uuid)
            .order_by(AuditLog.id)
        ).all()
        assert [log.action for log, _ in rows] == ["dataset:created", "dataset_version:created"]
        assert {log.user_id for log, _ in rows} == {owner.id}
        assert {entry.project_uuid for _, entry in rows} == {project.uuid}

    @pytest.mark.parametrize(
        ("filename", "content", "expected"),
        [
            ("rows.csv", b"question,answer\na,b\nc,d\n", "csv"),
            ("rows.txt", "第一行\n第二行\n".encode(), "text"),
            ("rows.jsonl.gz", gzip.compress(jsonl(CHAT)), "jsonl"),
        ],
    )
    def test_format_is_recognised(
        self, upload: Upload, filename: str, content: bytes, expected: str
    ) -> None:
        answer = upload(content, filename=filename)
        assert answer.status_code == 201, answer.text
        assert answer.json()["format"] == expected

    def test_identical_content_is_stored_once(
        self, upload: Upload, session: Session, stored_state: StoredState
    ) -> None:
        content = jsonl([{"text": "the same in both"}])
        first = upload(content).json()
        before = stored_state()
        second = upload(content).json()
        after = stored_state()
        assert first["uuid"] != second["uuid"]
        assert after["blobs"] == before["blobs"]
        assert after["stored"] == before["stored"]
        assert after["references"] == before["references"] + 2

    def test_spool_is_empty_after_an_upload(
        self, upload: Upload, stored_state: StoredState
    ) -> None:
        assert upload().status_code == 201
        assert stored_state()["spooled"] == []

    @pytest.mark.parametrize(
        "filename",
        ["../../etc/passwd", "a\x00b.jsonl", "-rf", "\u202egnp.exe", "x" * 900, "..", ""],
    )
    def test_hostile_file_name_is_made_safe(self, upload: Upload, mine: Api, filename: str) -> None:
        dataset = upload(filename=filename, format="jsonl")
        assert dataset.status_code == 201, dataset.text
        version = mine.get(f"datasets/{dataset.json()['uuid']}/versions/v1").json()
        kept = version["filename"]
        assert kept
        assert not set(kept) & set("/\\\x00\u202e")
        assert not kept.startswith(".")
        content = mine.get(f"datasets/{dataset.json()['uuid']}/versions/v1/content?format=original")
        assert content.content == jsonl(CHAT)

    def test_matching_digest_is_accepted(self, upload: Upload) -> None:
        digest = hashlib.sha256(jsonl(CHAT))
        coded = base64.b64encode(digest.digest()).decode()
        for headers in (
            {"X-Content-SHA256": digest.hexdigest().upper()},
            {"Content-Digest": f"sha-512=:AAAA:, sha-256=:{coded}:"},
        ):
            assert upload(headers=headers).status_code == 201


class TestRefusedUploads:
    @pytest.fixture(autouse=True)
    def _nothing_stays(self, stored_state: StoredState) -> Any:
        before = stored_state()
        yield
        assert stored_state() == before

    def test_broken_json_is_refused_with_its_line(self, upload: Upload) -> None:
        content = jsonl(CHAT[:2]) + b'{"messages": [}\n' + jsonl(CHAT[:1])
        answer = upload(content)
        assert answer.status_code == 422
        problem = answer.json()
        assert problem["code"] == "dataset.malformed"
        assert problem["line"] == 3
        assert "line 3" in problem["detail"]

    def test_refusal_is_translated_to_chinese(self, upload: Upload) -> None:
        answer = upload(b"{\n", headers={"Accept-Language": "zh-CN,zh;q=0.9"})
        assert "第 1 行" in answer.json()["detail"]

    @pytest.mark.parametrize("content", [b"", b"\n\n", b"\x00\x01\x02", b"PK\x03\x04 no"])
    def test_file_without_data_is_refused(self, upload: Upload, content: bytes) -> None:
        answer = upload(content)
        assert answer.status_code == 422, answer.text
        assert answer.json()["code"] == "dataset.malformed"

    def test_different_digest_is_refused(self, upload: Upload) -> None:
        answer = upload(headers={"X-Content-SHA256": "0" * 64})
        assert (answer.status_code, answer.json()["code"]) == (400, "upload.digest_mismatch")

    @pytest.mark.parametrize(
        "headers",
        [
            {"X-Content-SHA256": "xyz"},
            {"Content-Digest": "sha-256=:AAAA:"},
            {"Content-Digest": "sha-256=?"},
        ],
    )
    def test_invalid_digest_is_refused(self, upload: Upload, headers: dict[str, str]) -> None:
        answer = upload(headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "upload.invalid_digest")

    def test_too_large_file_is_refused(
        self, upload: Upload, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(get_settings(), "max_upload_bytes", 100)
        announced = upload()
        assert (announced.status_code, announced.json()["code"]) == (413, "request.too_large")
        chunks = iter([b"x" * 60, b"x" * 60])
        found_out = upload(chunks)
        assert (found_out.status_code, found_out.json()["limit"]) == (413, 100)

    def test_form_is_refused(self, upload: Upload) -> None:
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        answer = upload(headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (415, "upload.raw_body_required")

    def test_full_disk_is_reported(self, upload: Upload, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(self: Path, *args: Any, **options: Any) -> Any:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(spool.Path, "open", full)
        answer = upload()
        assert (answer.status_code, answer.json()["code"]) == (507, "server.storage_full")

    @pytest.mark.parametrize("name", ["", "a/b", "a@b", "a\nb", "x" * 256])
    def test_invalid_name_is_refused(self, upload: Upload, name: str) -> None:
        assert upload(name=name).json()["code"] == "request.invalid"

    def test_base_model_of_another_project_is_not_found(
        self, upload: Upload, session: Session
    ) -> None:
        foreign = make_model(session, make_project(session))
        answer = upload(base_model=str(foreign.uuid))
        assert (answer.status_code, answer.json()["code"]) == (404, "resource.not_found")

    def test_base_model_that_is_not_ready_is_refused(
        self, upload: Upload, session: Session, project: Project
    ) -> None:
        pending = make_model(session, project, status="pending")
        answer = upload(base_model=str(pending.uuid))
        assert answer.json()["code"] == "model.not_ready"

    def test_failed_child_process_is_a_server_error(
        self, upload: Upload, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("sys.executable", "/bin/false")
        answer = upload()
        assert (answer.status_code, answer.json()["code"]) == (500, "dataset.ingest_failed")


def test_taken_name_is_refused_before_the_body_is_read(
    upload: Upload, mine: Api, session: Session, owner: User, stored_state: StoredState
) -> None:
    assert upload(name="twice").status_code == 201
    before = stored_state()
    # The body is not read: otherwise the wrong digest would be reported.
    answer = upload(name="twice", headers={"X-Content-SHA256": "0" * 64})
    assert (answer.status_code, answer.json()["code"]) == (409, "resource.name_taken")
    assert stored_state() == before
    elsewhere = make_project(session, owner)
    path = f"projects/{elsewhere.uuid}/datasets?name=twice&filename=a.jsonl"
    assert mine.post(path, content=jsonl(CHAT)).status_code == 201


class TestPermissions:
    def test_stranger_may_not_see_the_project(
        self, api: Callable[..., Api], session: Session, project: Project
    ) -> None:
        stranger = api(make_member(session, make_project(session), "admin"))
        answer = stranger.post(f"projects/{project.uuid}/datasets?name=x", content=b"{}")
        assert answer.status_code == 404

    def test_viewer_may_not_upload(
        self, api: Callable[..., Api], session: Session, project: Project
    ) -> None:
        viewer = api(make_member(session, project, "viewer"))
        answer = viewer.post(f"projects/{project.uuid}/datasets?name=x", content=b"{}")
        assert answer.status_code == 403

    def test_anonymous_user_may_not_upload(self, api: Callable[..., Api], project: Project) -> None:
        assert api(None).post(f"projects/{project.uuid}/datasets?name=x").status_code == 401

    def test_session_ended_during_the_upload_is_refused(
        self,
        client: Any,
        session: Session,
        owner: User,
        project: Project,
        stored_state: StoredState,
    ) -> None:
        token = make_token(session, owner)
        login = session.scalars(select(AuthSession).where(AuthSession.user_id == owner.id)).one()
        before = stored_state()

        def body() -> Any:
            yield jsonl(CHAT)
            login.ended_at = login.created_at
            session.add(login)
            session.commit()
            yield jsonl(CHAT)

        answer = client.post(
            f"/api/v1/projects/{project.uuid}/datasets?name=late&filename=a.jsonl",
            headers={"Authorization": f"Bearer {token}"},
            content=body(),
        )
        assert (answer.status_code, answer.json()["code"]) == (401, "auth.unauthenticated")
        assert stored_state() == before


class TestDisconnectedClient:
    """Tests that an upload leaves nothing behind when the client closes its socket."""

    def _begin(self, url: str, token: str, project: Project, *, length: int) -> socket.socket:
        address = urlsplit(url)
        connection = socket.create_connection((address.hostname or "", address.port or 0))
        head = (
            f"POST /api/v1/projects/{project.uuid}/datasets?name=gone&filename=a.jsonl HTTP/1.1\r\n"
            f"Host: {address.netloc}\r\nAuthorization: Bearer {token}\r\n"
            f"Content-Length: {length}\r\n\r\n"
        )
        connection.sendall(head.encode())
        return connection

    def _settle(self, condition: Callable[[], bool], seconds: float = 20) -> bool:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if condition():
                return True
            time.sleep(0.02)
        return condition()

    def test_disconnect_during_the_body_leaves_nothing(
        self,
        server_url: str,
        session: Session,
        owner: User,
        project: Project,
        stored_state: StoredState,
    ) -> None:
        before = stored_state()
        token = make_token(session, owner)
        connection = self._begin(server_url, token, project, length=50_000_000)
        connection.sendall(b'{"text": "x"}\n' * 200_000)
        assert self._settle(lambda: len(stored_state()["spooled"]) == 1)
        connection.close()
        assert self._settle(lambda: stored_state() == before)

    def test_disconnect_during_parsing_kills_the_child(
        self,
        server_url: str,
        session: Session,
        owner: User,
        project: Project,
        stored_state: StoredState,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        program = tmp_path / "slow"
        program.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nsleep 600\n")
        program.chmod(0o755)
        monkeypatch.setattr("sys.executable", str(program))
        before = stored_state()
        token = make_token(session, owner)
        body = json.dumps({"text": "x"}).encode()
        connection = self._begin(server_url, token, project, length=len(body))
        connection.sendall(body)
        assert self._settle(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
        pid = int((tmp_path / "pid").read_text())
        connection.close()
        assert self._settle(lambda: not psutil.pid_exists(pid))
        assert self._settle(lambda: stored_state() == before)
