"""Tests of resumable uploads by two real clients: tuspy and the SDK."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from aiplatform.client import Client, Conflict, ServerUnavailable, ValidationFailed
from aiplatform.client import resumable_uploads as client_side
from aiplatform.server.datasets.models import Dataset
from aiplatform.server.identity.models import User
from aiplatform.server.projects.models import Project, ProjectQuota
from tests.factories import make_token
from tests.server.datasets.conftest import CHAT, jsonl

pytestmark = pytest.mark.usefixtures("app", "empty_spool")


def test_tuspy_resumes_an_upload(
    server_url: str, session: Session, owner: User, project: Project, tmp_path: Path
) -> None:
    """Use the tus project's own Python client."""
    from tusclient.client import TusClient

    path = tmp_path / "rows.jsonl"
    path.write_bytes(jsonl([{"text": f"row {n}"} for n in range(500)]))
    client = TusClient(
        f"{server_url}/api/v1/projects/{project.uuid}/uploads",
        headers={"Authorization": f"Bearer {make_token(session, owner)}"},
    )
    uploader = client.uploader(
        str(path),
        chunk_size=3000,
        metadata={"name": "by tuspy", "filename": "rows.jsonl"},
        upload_checksum=True,
    )
    uploader.upload_chunk()
    resumed = client.uploader(str(path), chunk_size=3000, url=uploader.url, upload_checksum=True)
    assert resumed.offset == 3000
    resumed.upload()
    made = session.scalars(select(Dataset).where(Dataset.name == "by tuspy")).one()
    assert made.project_id == project.id


class TestSdk:
    @pytest.fixture
    def sdk(
        self,
        server_url: str,
        session: Session,
        owner: User,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
    ) -> Client:
        monkeypatch.setattr(client_side, "user_cache_path", lambda _: tmp_path / "cache")
        monkeypatch.setattr(client_side, "PIECE_BYTES", 2000)
        monkeypatch.setattr(client_side.time, "sleep", lambda _: None)
        return Client(server_url, token=make_token(session, owner))

    def test_broken_connection_repeats_one_piece(
        self, sdk: Client, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "rows.jsonl"
        path.write_bytes(jsonl([{"text": f"row {n}"} for n in range(500)]))
        real = sdk.transport.upload
        calls: list[int] = []

        def cut(method: str, place: str, body: Any, **options: Any) -> Any:
            calls.append(int(options["headers"]["Upload-Offset"]))
            if len(calls) % 2:
                raise ServerUnavailable("cut")
            return real(method, place, body, **options)

        monkeypatch.setattr(sdk.transport, "upload", cut)
        made = sdk.datasets.upload(
            "by sdk", path, project=project.uuid, resumable=True, message="in pieces"
        )
        assert made.row_count == 500
        assert sdk.datasets.version(made, "v1").message == "in pieces"
        assert calls == sorted(calls)
        assert not list((tmp_path / "cache").rglob("*.*"))

    def test_interrupted_upload_is_resumed_by_the_next_call(
        self, sdk: Client, project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "rows.jsonl"
        path.write_bytes(jsonl([{"text": f"row {n}"} for n in range(500)]))
        real = sdk.transport.upload
        sent: list[int] = []

        def once(method: str, place: str, body: Any, **options: Any) -> Any:
            sent.append(int(options["headers"]["Upload-Offset"]))
            if len(sent) == 3:
                raise KeyboardInterrupt
            return real(method, place, body, **options)

        monkeypatch.setattr(sdk.transport, "upload", once)
        with pytest.raises(KeyboardInterrupt):
            sdk.datasets.upload("later", path, project=project.uuid, resumable=True)
        made = sdk.datasets.upload("later", path, project=project.uuid, resumable=True)
        assert made.row_count == 500
        assert sent[:4] == [0, 2000, 4000, 4000]

    def test_refused_file_is_refused_again_with_the_reason(
        self, sdk: Client, project: Project, tmp_path: Path
    ) -> None:
        path = tmp_path / "rows.jsonl"
        path.write_bytes(b'{"text": ')
        for _ in range(2):
            with pytest.raises(ValidationFailed, match="line 1"):
                sdk.datasets.upload("bad", path, project=project.uuid, resumable=True)

    def test_upload_over_quota_continues_after_the_quota_is_raised(
        self,
        sdk: Client,
        session: Session,
        project: Project,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        path = tmp_path / "rows.jsonl"
        path.write_bytes(jsonl(CHAT))
        real = sdk.transport.upload
        sent: list[int] = []

        def send(method: str, place: str, body: Any, **options: Any) -> Any:
            if not sent:
                session.add(ProjectQuota(project_id=project.id, storage_bytes=1))
                session.commit()
            sent.append(int(options["headers"]["Upload-Offset"]))
            return real(method, place, body, **options)

        monkeypatch.setattr(sdk.transport, "upload", send)
        with pytest.raises(Conflict, match="kept until"):
            sdk.datasets.upload("large", path, project=project.uuid, resumable=True)
        session.execute(delete(ProjectQuota))
        session.commit()
        made = sdk.datasets.upload("large", path, project=project.uuid, resumable=True)
        assert made.row_count == len(CHAT)
        assert sent == [0, path.stat().st_size]

    def test_resumable_append_adds_a_version(
        self, sdk: Client, dataset: dict[str, Any], tmp_path: Path
    ) -> None:
        path = tmp_path / "rows.jsonl"
        path.write_bytes(jsonl(CHAT[:2]))
        made = sdk.datasets.append(dataset["uuid"], path, resumable=True)
        assert (made.version, made.row_count) == ("v2", 7)
