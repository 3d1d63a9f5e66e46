"""Tests of resumable uploads with tus 1.0, including all possible errors."""

import base64
import fcntl
import gzip
import hashlib
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from aiplatform.server.core.settings import get_settings
from aiplatform.server.core.spool import clean_directory
from aiplatform.server.datasets.errors import IngestFailed
from aiplatform.server.datasets.models import Dataset, DatasetUpload
from aiplatform.server.datasets.service import resumable
from aiplatform.server.identity.models import User
from aiplatform.server.projects.models import Project, ProjectQuota
from tests.conftest import Api
from tests.factories import make_member, make_project, number
from tests.server.datasets.conftest import CHAT, jsonl

PIECE = {"Content-Type": "application/offset+octet-stream", "Tus-Resumable": "1.0.0"}

CONTENT = jsonl(CHAT)

pytestmark = pytest.mark.usefixtures("app", "empty_spool")


def encoded(**metadata: str) -> str:
    return ",".join(f"{k} {base64.b64encode(v.encode()).decode()}" for k, v in metadata.items())


class Tus:
    """A minimal tus client."""

    def __init__(self, api: Api, project: Project) -> None:
        self.api = api
        self.project = project

    def create(self, length: int, headers: Any = None, content: bytes = b"", **meta: str) -> Any:
        if "dataset" not in meta:
            meta.setdefault("name", f"dataset {number()}")
        meta.setdefault("filename", "rows.jsonl")
        return self.api.post(
            f"projects/{self.project.uuid}/uploads",
            headers={"Upload-Length": str(length), "Upload-Metadata": encoded(**meta),
                     **(headers or {})},
            content=content,
        )  # fmt: skip

    def begin(self, length: int = len(CONTENT), **meta: str) -> str:
        answer = self.create(length, **meta)
        assert answer.status_code == 201, answer.text
        return str(answer.headers["location"]).removeprefix("/api/v1/")

    def send(self, place: str, offset: int, content: bytes, **headers: str) -> Any:
        headers = {**PIECE, "Upload-Offset": str(offset), **headers}
        return self.api.patch(place, headers=headers, content=content)

    def offset(self, place: str) -> int:
        return int(self.api.request("HEAD", place).headers["upload-offset"])


@pytest.fixture
def tus(mine: Api, project: Project) -> Tus:
    return Tus(mine, project)


def spooled() -> list[str]:
    return [path.name for path in get_settings().spool_dir.glob("*") if "rows-" not in path.name]


class TestProtocol:
    def test_options_describe_the_protocol(self, mine: Api, project: Project) -> None:
        answer = mine.request("OPTIONS", f"projects/{project.uuid}/uploads")
        assert answer.status_code == 204
        assert answer.headers["tus-version"] == "1.0.0"
        assert "creation-with-upload" in answer.headers["tus-extension"]
        assert answer.headers["tus-checksum-algorithm"] == "sha1,sha256"

    def test_upload_in_pieces_becomes_a_version(self, tus: Tus) -> None:
        place = tus.begin(name="by tus", message="in pieces")
        assert tus.offset(place) == 0
        first = tus.send(place, 0, CONTENT[:50])
        assert (first.status_code, first.headers["upload-offset"]) == (204, "50")
        assert first.headers["upload-expires"].endswith("GMT")
        assert tus.offset(place) == 50
        last = tus.send(place, 50, CONTENT[50:])
        assert last.status_code == 204, last.text
        uuid = last.headers["aiplatform-dataset"]
        version = tus.api.get(f"datasets/{uuid}/versions/v1").json()
        assert (version["row_count"], version["message"]) == (5, "in pieces")
        assert tus.api.get(f"datasets/{uuid}").json()["name"] == "by tus"
        shown = tus.api.get(place).json()
        assert shown["status"] == "committed"
        assert shown["result"] == {"dataset": uuid, "version": "v1"}
        assert tus.offset(place) == len(CONTENT)
        assert spooled() == []

    def test_list_shows_current_and_recently_ended_uploads(
        self, session: Session, mine: Api, tus: Tus
    ) -> None:
        path = f"projects/{tus.project.uuid}/uploads"
        done, cut, expired, lost = (tus.begin(name=f"upload {number()}") for _ in range(4))
        tus.send(done, 0, CONTENT)
        tus.send(cut, 0, CONTENT[:50])
        session.execute(
            update(DatasetUpload)
            .where(DatasetUpload.uuid == UUID(expired.removeprefix("uploads/")))
            .values(expires_at=datetime.now(UTC) - timedelta(seconds=1))
        )
        session.commit()
        resumable.file_of(UUID(lost.removeprefix("uploads/"))).unlink()
        listed = mine.get(path).json()["items"]
        assert [f"uploads/{one['uuid']}" for one in listed] == [cut, done]
        first, second = listed
        assert (first["status"], first["offset"], first["length"]) == (
            "receiving",
            50,
            len(CONTENT),
        )
        assert first["name"].startswith("upload ")
        assert (first["filename"], first["dataset"]) == ("rows.jsonl", None)
        assert (second["status"], second["result"]["version"]) == ("committed", "v1")
        assert mine.get(cut).json() == first
        more = mine.get(path, params={"limit": 1}).json()
        assert more["next_cursor"] is not None
        other = make_project(session, session.get_one(User, tus.project.owner_id))
        assert mine.get(f"projects/{other.uuid}/uploads").json()["items"] == []

    def test_creation_with_upload_commits_at_once(self, tus: Tus) -> None:
        answer = tus.create(len(CONTENT), PIECE, CONTENT)
        assert answer.status_code == 201, answer.text
        assert answer.headers["upload-offset"] == str(len(CONTENT))
        assert answer.headers["aiplatform-version"] == "v1"

    def test_upload_in_append_mode_adds_a_version(self, tus: Tus, dataset: dict[str, Any]) -> None:
        more = jsonl(CHAT[:1])
        place = tus.begin(len(more), dataset=dataset["uuid"], mode="append")
        assert tus.send(place, 0, more).headers["aiplatform-version"] == "v2"
        version = tus.api.get(f"datasets/{dataset['uuid']}/versions/v2").json()
        assert (version["row_count"], version["made_by"]["operation"]) == (6, "append")

    @pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
    def test_piece_with_wrong_checksum_is_refused(self, tus: Tus, algorithm: str) -> None:
        place = tus.begin()
        good = base64.b64encode(hashlib.new(algorithm, CONTENT[:60]).digest()).decode()
        bad = tus.send(place, 0, CONTENT[1:61], **{"Upload-Checksum": f"{algorithm} {good}"})
        assert (bad.status_code, bad.json()["code"]) == (460, "upload.checksum_mismatch")
        assert tus.offset(place) == 0
        fine = tus.send(place, 0, CONTENT[:60], **{"Upload-Checksum": f"{algorithm} {good}"})
        assert fine.status_code == 204
        assert tus.offset(place) == 60

    def test_deleted_upload_is_gone(self, tus: Tus) -> None:
        place = tus.begin()
        tus.send(place, 0, CONTENT[:10])
        assert tus.api.delete(place).status_code == 204
        assert tus.api.request("HEAD", place).status_code == 404
        assert spooled() == []

    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ({"Tus-Resumable": "0.2.0"}, 412),
            ({"Upload-Offset": "-1"}, 400),
            ({"Upload-Offset": "x"}, 400),
            ({"Upload-Offset": "3"}, 409),
            ({"Content-Type": "application/octet-stream"}, 400),
            ({"Upload-Checksum": "md5 AAAA"}, 400),
            ({"Upload-Checksum": "sha1"}, 400),
        ],
    )
    def test_piece_with_invalid_headers_is_refused(
        self, tus: Tus, headers: dict[str, str], status: int
    ) -> None:
        place = tus.begin()
        assert tus.send(place, 0, b"abc", **headers).status_code == status
        assert tus.offset(place) == 0

    @pytest.mark.parametrize(
        ("metadata", "status"),
        [
            ("name !!!", 400),
            ("", 422),
            (encoded(name="a", dataset="0b9d6a0e-4c1b-4d0f-9a53-0c5c1a6f7e21"), 422),
            (encoded(dataset="0b9d6a0e-4c1b-4d0f-9a53-0c5c1a6f7e21"), 404),
            (encoded(name="a", unknown="x"), 422),
            (encoded(name="a/b"), 422),
            (encoded(name="a", max_length="many"), 422),
            (encoded(name="a", mode="upsert"), 422),
        ],
    )
    def test_invalid_metadata_is_refused(
        self, mine: Api, project: Project, metadata: str, status: int
    ) -> None:
        answer = mine.post(
            f"projects/{project.uuid}/uploads",
            headers={"Upload-Length": "5", "Upload-Metadata": metadata},
        )
        assert answer.status_code == status, answer.text
        assert spooled() == []

    @pytest.mark.parametrize("length", ["", "-1", "1e9", "9" * 30])
    def test_invalid_length_is_refused(self, mine: Api, project: Project, length: str) -> None:
        headers = {"Upload-Length": length, "Upload-Metadata": encoded(name="a")}
        assert mine.post(f"projects/{project.uuid}/uploads", headers=headers).status_code == 400


class TestFaults:
    def test_more_bytes_than_announced_are_refused(self, tus: Tus) -> None:
        place = tus.begin(10)
        assert tus.send(place, 0, b"x" * 11).status_code == 413
        assert tus.offset(place) == 0

    def test_length_above_the_limit_is_refused(
        self, tus: Tus, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(get_settings(), "max_upload_bytes", 100)
        assert tus.create(101).status_code == 413

    def test_malformed_file_ends_the_upload(self, tus: Tus, session: Session) -> None:
        bad = b'{"text": "a"}\n{"text": \n'
        place = tus.begin(len(bad), name="broken")
        answer = tus.send(place, 0, bad)
        assert (answer.status_code, answer.json()["line"]) == (422, 2)
        shown = tus.api.get(place).json()
        assert shown["status"] == "refused"
        assert "line 2" in shown["result"]["detail"]
        again = tus.send(place, len(bad), b"")
        assert (again.status_code, again.json()["code"]) == (409, "upload.refused")
        assert session.scalar(select(Dataset.id).where(Dataset.name == "broken")) is None
        assert spooled() == []

    def test_upload_over_quota_keeps_its_bytes_for_another_attempt(
        self, tus: Tus, session: Session, project: Project
    ) -> None:
        place = tus.begin()
        session.add(ProjectQuota(project_id=project.id, storage_bytes=1))
        session.commit()
        for offset, content in ((0, CONTENT), (len(CONTENT), b"")):
            answer = tus.send(place, offset, content)
            assert (answer.status_code, answer.json()["code"]) == (409, "project.quota_exceeded")
            assert "What has arrived is kept until" in answer.json()["detail"]
        assert tus.api.get(place).json()["status"] == "receiving"
        session.execute(delete(ProjectQuota))
        session.commit()
        answer = tus.send(place, tus.offset(place), b"")
        assert (answer.status_code, answer.headers["aiplatform-version"]) == (204, "v1")
        assert spooled() == []

    def test_bytes_kept_for_another_attempt_expire(
        self, tus: Tus, session: Session, project: Project
    ) -> None:
        place = tus.begin()
        session.add(ProjectQuota(project_id=project.id, storage_bytes=1))
        session.commit()
        assert tus.send(place, 0, CONTENT).status_code == 409
        path = resumable.file_of(UUID(place.rpartition("/")[2]))
        old = time.time() - 2 * 86_400
        os.utime(path, (old, old))
        session.execute(update(DatasetUpload).values(expires_at=datetime.now(UTC)))
        session.commit()
        clean_directory(get_settings().spool_dir, timedelta(days=1))
        resumable.delete_expired_uploads()
        assert spooled() == []
        assert tus.send(place, len(CONTENT), b"").status_code == 404

    def test_compression_bomb_is_refused(self, tus: Tus) -> None:
        bomb = gzip.compress(b"\x00" * (300 << 20))
        place = tus.begin(len(bomb), filename="x.jsonl.gz")
        answer = tus.send(place, 0, bomb)
        assert answer.status_code == 422, answer.text
        assert spooled() == []

    def test_second_writer_is_refused(self, tus: Tus) -> None:
        place = tus.begin()
        uuid = UUID(place.rpartition("/")[2])
        with resumable.file_of(uuid).open("rb") as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            answer = tus.send(place, 0, CONTENT)
            assert (answer.status_code, answer.json()["code"]) == (423, "upload.locked")
            assert tus.api.delete(place).status_code == 423
        assert tus.send(place, 0, CONTENT).status_code == 204

    def test_full_disk_keeps_earlier_pieces(
        self, tus: Tus, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        place = tus.begin()
        tus.send(place, 0, CONTENT[:20])

        def full(*_: Any) -> int:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", full)
            assert tus.send(place, 20, CONTENT[20:]).status_code == 507
        assert tus.offset(place) == 20
        assert tus.send(place, 20, CONTENT[20:]).status_code == 204

    def test_expired_upload_is_gone(self, tus: Tus, session: Session) -> None:
        place = tus.begin()
        uuid = UUID(place.rpartition("/")[2])
        session.execute(
            update(DatasetUpload)
            .where(DatasetUpload.uuid == uuid)
            .values(expires_at=datetime.now(UTC) - timedelta(seconds=1))
        )
        session.commit()
        assert tus.send(place, 0, CONTENT).status_code == 410
        tus.begin()  # deletes expired uploads
        assert tus.api.request("HEAD", place).status_code == 404

    def test_upload_whose_bytes_were_deleted_is_expired(self, tus: Tus) -> None:
        place = tus.begin()
        resumable.file_of(UUID(place.rpartition("/")[2])).unlink()
        assert tus.api.request("HEAD", place).status_code == 410
        assert tus.send(place, 0, CONTENT).status_code == 410

    def test_crash_before_the_commit_can_be_repeated(
        self, tus: Tus, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        place = tus.begin(name="crashed")

        async def die(*_: Any, **__: Any) -> None:
            raise IngestFailed(ending="signal SIGKILL")

        with monkeypatch.context() as patch:
            patch.setattr("aiplatform.server.datasets.endpoints.resumable.finish_upload", die)
            assert tus.send(place, 0, CONTENT).status_code == 500
        assert tus.api.get(place).json()["status"] == "receiving"
        assert tus.offset(place) == len(CONTENT)
        done = tus.send(place, len(CONTENT), b"")
        assert (done.status_code, done.headers["aiplatform-version"]) == (204, "v1")
        again = tus.send(place, len(CONTENT), b"")
        assert again.headers["aiplatform-dataset"] == done.headers["aiplatform-dataset"]

    def test_upload_can_be_continued_by_project_members_only(
        self, tus: Tus, api: Callable[..., Api], session: Session, project: Project
    ) -> None:
        place = tus.begin()
        viewer = api(make_member(session, project, "viewer"))
        assert viewer.request("HEAD", place).status_code == 403
        stranger = api(make_member(session, make_project(session), "admin"))
        assert stranger.request("HEAD", place).status_code == 404
        assert Tus(stranger, project).send(place, 0, CONTENT).status_code == 404
        assert stranger.delete(place).status_code == 404
        colleague = Tus(api(make_member(session, project, "developer")), project)
        assert colleague.send(place, 0, CONTENT).status_code == 204
