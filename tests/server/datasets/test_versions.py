"""Tests of versions: commits (including concurrent ones), pages of rows, and downloads."""

import base64
import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pyarrow.parquet as pq
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from aiplatform.server.core.audit import AuditLog
from aiplatform.server.core.database import transaction
from aiplatform.server.core.errors import NameTaken
from aiplatform.server.core.settings import get_settings
from aiplatform.server.core.storage import get_store
from aiplatform.server.datasets import queries, service
from aiplatform.server.datasets.models import Dataset
from aiplatform.server.datasets.rules import MAX_ROWS
from aiplatform.server.datasets.service import commits, content
from aiplatform.server.identity.models import User
from aiplatform.server.projects.models import Project
from tests.conftest import Api
from tests.factories import (
    make_context,
    make_dataset,
    make_member,
    make_project,
    make_rows,
    make_version,
)
from tests.server.datasets.conftest import CHAT, jsonl, make_upload

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


class TestCommits:
    def test_next_version_has_a_parent_and_becomes_current(
        self, commit: Callable[..., Any], mine: Api, dataset: dict[str, Any], owner: User
    ) -> None:
        answer = commit([*CHAT, CHAT[0]], message="one more")
        assert answer.status_code == 201, answer.text
        version = answer.json()
        assert (version["version"], version["parent"]) == ("v2", "v1")
        assert (version["message"], version["row_count"]) == ("one more", 6)
        assert version["author"] == {"uuid": str(owner.uuid), "username": owner.username}
        head = mine.get(f"datasets/{dataset['uuid']}").json()
        assert (head["version"], head["row_count"]) == ("v2", 6)
        listed = mine.get(f"datasets/{dataset['uuid']}/versions").json()["items"]
        assert [item["version"] for item in listed] == ["v2", "v1"]
        assert listed[1]["parent"] is None

    def test_identical_rows_are_refused_unless_allowed(self, commit: Callable[..., Any]) -> None:
        answer = commit(CHAT)
        assert (answer.status_code, answer.json()["code"]) == (409, "dataset.identical_content")
        assert answer.json()["version"] == "v1"
        allowed = commit(CHAT, allow_identical=True)
        assert (allowed.status_code, allowed.json()["version"]) == (201, "v2")

    def test_commit_of_an_earlier_content_is_a_new_version(
        self, commit: Callable[..., Any], session: Session
    ) -> None:
        assert commit(CHAT[:1]).json()["version"] == "v2"
        back = commit(CHAT).json()
        assert (back["version"], back["parent"]) == ("v3", "v2")

    def test_concurrent_commits_form_a_chain(
        self, stored: Stored, session: Session, project: Project, tmp_path: Any
    ) -> None:
        uuid = stored().uuid
        context = make_context(session, project)
        uploads = [
            make_upload(tmp_path / str(number), jsonl([{"text": f"from {number}"}]))
            for number in range(6)
        ]
        together = Barrier(6)

        def add(upload: service.Upload) -> tuple[str, str | None]:
            with transaction() as own:
                together.wait()
                head, version = service.add_version(own, context, uuid, upload)
                return version.version, queries.get_version_row(own, head, version.version).parent

        with ThreadPoolExecutor(6) as pool:
            made = sorted(pool.map(add, uploads))
        # Each version is the child of the previous one: no commit is lost.
        assert made == [(f"v{number}", f"v{number - 1}") for number in range(2, 8)]
        session.expire_all()
        head = session.scalars(select(Dataset).where(Dataset.uuid == uuid)).one()
        assert head.version == "v7"

    def test_concurrent_creations_of_one_name_succeed_once(
        self, session: Session, project: Project, tmp_path: Any
    ) -> None:
        context = make_context(session, project)
        uploads = [make_upload(tmp_path / str(number)) for number in range(4)]
        together = Barrier(4)

        def create(upload: service.Upload) -> bool:
            try:
                with transaction() as own:
                    together.wait()
                    service.create_dataset(own, context, name="raced", upload=upload)
            except NameTaken:
                return False
            return True

        with ThreadPoolExecutor(4) as pool:
            assert sorted(pool.map(create, uploads)) == [False, False, False, True]

    def test_too_many_rows_are_refused(
        self, commit: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert MAX_ROWS == 2**31 - 1
        monkeypatch.setattr(commits, "MAX_ROWS", 4)
        answer = commit([*CHAT, CHAT[0]])
        assert (answer.status_code, answer.json()["code"]) == (422, "dataset.too_many_rows")

    def test_dataset_of_another_project_is_not_found(
        self, api: Callable[..., Api], session: Session, dataset: dict[str, Any]
    ) -> None:
        stranger = api(make_member(session, make_project(session), "admin"))
        base = f"datasets/{dataset['uuid']}"
        for path in ("", "/versions", "/versions/v1", "/versions/v1/rows", "/versions/v1/content"):
            assert stranger.get(base + path).status_code == 404
        assert stranger.post(f"{base}/versions", content=b"x").status_code == 404
        assert stranger.post(f"{base}/versions/v1/quality").status_code == 404
        assert stranger.delete(base).status_code == 404

    @pytest.mark.parametrize("label", ["v9", "v0", "9", "v1'--", "%00", "v99999999999"])
    def test_unknown_version_is_not_found(
        self, mine: Api, dataset: dict[str, Any], label: str
    ) -> None:
        answer = mine.get(f"datasets/{dataset['uuid']}/versions/{label}")
        assert answer.status_code in {404, 422}


class TestRows:
    def test_rows_are_listed_in_pages(self, mine: Api, dataset: dict[str, Any]) -> None:
        seen, cursor = [], None
        while True:
            page = mine.get(
                f"datasets/{dataset['uuid']}/versions/v1/rows",
                params={"limit": 2, **({"cursor": cursor} if cursor else {})},
            ).json()
            seen.append(page["items"])
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert [len(page) for page in seen] == [2, 2, 1]
        assert [row for page in seen for row in page] == CHAT

    def test_page_of_long_rows_ends_early_and_skips_none(
        self, stored: Stored, mine: Api, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(content, "PAGE_BYTES", 2500)
        rows = [{"text": f"{number:03d} " + "x" * 996} for number in range(20)]
        uuid = stored(jsonl(rows)).uuid
        page = mine.get(f"datasets/{uuid}/versions/v1/rows?limit=500").json()
        assert len(page["items"]) == 3
        path = f"datasets/{uuid}/versions/v1/rows?limit=500&cursor={page['next_cursor']}"
        assert mine.get(path).json()["items"][0]["text"].startswith("003 ")

    def test_missing_values_are_null(self, stored: Stored, mine: Api) -> None:
        uuid = stored(b'{"text": "a", "x": 1.5}\n{"text": "b", "x": null}\n').uuid
        items = mine.get(f"datasets/{uuid}/versions/v1/rows").json()["items"]
        assert items == [{"text": "a", "x": 1.5}, {"text": "b", "x": None}]

    @pytest.mark.parametrize("cursor", ["nonsense", "WyJhIl0", "Wy0xXQ", "WzFd" * 50])
    def test_invalid_cursor_is_refused(
        self, mine: Api, dataset: dict[str, Any], cursor: str
    ) -> None:
        answer = mine.get(f"datasets/{dataset['uuid']}/versions/v1/rows?cursor={cursor}")
        assert (answer.status_code, answer.json()["code"]) == (422, "request.invalid_cursor")

    def test_page_beyond_the_end_is_empty(self, mine: Api, dataset: dict[str, Any]) -> None:
        cursor = base64.urlsafe_b64encode(b"[9223372036854775807]").decode().rstrip("=")
        answer = mine.get(f"datasets/{dataset['uuid']}/versions/v1/rows?cursor={cursor}")
        assert answer.json() == {"items": [], "places": [], "next_cursor": None}


class TestContent:
    def test_parquet_download_matches_the_hash(
        self, mine: Api, dataset: dict[str, Any], tmp_path: Any
    ) -> None:
        path = f"datasets/{dataset['uuid']}/versions/v1"
        version = mine.get(path).json()
        answer = mine.get(f"{path}/content")
        assert answer.headers["content-length"] == str(version["file_size"])
        assert hashlib.sha256(answer.content).hexdigest() == version["file_hash"]
        digest = base64.b64encode(bytes.fromhex(version["file_hash"])).decode()
        assert answer.headers["repr-digest"] == f"sha-256=:{digest}:"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"].startswith("sandbox")
        assert answer.headers["content-disposition"].startswith("attachment")
        (tmp_path / "x.parquet").write_bytes(answer.content)
        assert pq.read_metadata(tmp_path / "x.parquet").num_rows == 5

    def test_ranges_form_the_whole_file(self, mine: Api, dataset: dict[str, Any]) -> None:
        path = f"datasets/{dataset['uuid']}/versions/v1/content"
        whole = mine.get(path)
        size = len(whole.content)
        etag = whole.headers["etag"]
        first = mine.get(path, headers={"Range": "bytes=0-99"})
        rest = mine.get(path, headers={"Range": "bytes=100-", "If-Range": etag})
        assert first.status_code == rest.status_code == 206
        assert first.headers["content-range"] == f"bytes 0-99/{size}"
        assert rest.headers["content-range"] == f"bytes 100-{size - 1}/{size}"
        assert first.content + rest.content == whole.content
        tail = mine.get(path, headers={"Range": "bytes=-4"})
        assert tail.content == b"PAR1"

    @pytest.mark.parametrize(
        "headers",
        [
            {"Range": "bytes=0-1,3-4"},
            {"Range": "rows=0-1"},
            {"Range": "bytes=-"},
            {"Range": "bytes=5-2"},
            {"Range": "bytes=0-1", "If-Range": '"another"'},
        ],
    )
    def test_unsupported_range_gets_the_whole_file(
        self, mine: Api, dataset: dict[str, Any], headers: dict[str, str]
    ) -> None:
        answer = mine.get(f"datasets/{dataset['uuid']}/versions/v1/content", headers=headers)
        assert answer.status_code == 200
        assert answer.content.endswith(b"PAR1")

    def test_range_beyond_the_end_is_refused(self, mine: Api, dataset: dict[str, Any]) -> None:
        answer = mine.get(
            f"datasets/{dataset['uuid']}/versions/v1/content",
            headers={"Range": "bytes=99999999-"},
        )
        assert (answer.status_code, answer.json()["code"]) == (416, "request.range_not_satisfiable")
        assert answer.headers["content-range"].startswith("bytes */")

    @pytest.mark.parametrize("kind", ["parquet", "jsonl", "original"])
    def test_download_with_current_etag_is_not_sent_again(
        self, mine: Api, dataset: dict[str, Any], session: Session, kind: str
    ) -> None:
        path = f"datasets/{dataset['uuid']}/versions/v1/content?format={kind}"
        etag = mine.get(path).headers["etag"]
        again = mine.get(path, headers={"If-None-Match": f'"x", {etag}'})
        assert (again.status_code, again.content) == (304, b"")
        downloads = session.scalars(
            select(AuditLog.details).where(
                AuditLog.resource_id == dataset["uuid"], AuditLog.action == "dataset:downloaded"
            )
        ).all()
        assert [row["format"] for row in downloads] == [kind]

    @pytest.mark.parametrize("kind", ["parquet", "jsonl"])
    def test_download_by_tag_is_named_after_the_version(
        self, mine: Api, dataset: dict[str, Any], session: Session, kind: str
    ) -> None:
        path = f"datasets/{dataset['uuid']}"
        assert mine.put(f"{path}/tags/prod", json={"version": "v1"}).status_code == 200
        answer = mine.get(f"{path}/versions/@prod/content?format={kind}")
        assert f"-v1.{kind}" in answer.headers["content-disposition"]
        download = session.scalars(
            select(AuditLog.details).where(
                AuditLog.resource_id == dataset["uuid"], AuditLog.action == "dataset:downloaded"
            )
        ).one()
        assert download["version"] == "v1"

    def test_jsonl_and_original_downloads_have_the_rows(self, upload: Upload, mine: Api) -> None:
        sent = b'{"text": "a"}\n\n{   "text": "\xe4\xbd\xa0"}'
        uuid = upload(sent, filename='问答 "1".jsonl').json()["uuid"]
        path = f"datasets/{uuid}/versions/v1/content"
        lines = mine.get(f"{path}?format=jsonl")
        assert [json.loads(line) for line in lines.content.splitlines()] == [
            {"text": "a"},
            {"text": "你"},
        ]
        original = mine.get(f"{path}?format=original")
        assert original.content == sent
        assert original.headers["content-type"] == "application/octet-stream"
        disposition = original.headers["content-disposition"]
        assert disposition == (
            "attachment; filename=\"__ _1_.jsonl\"; filename*=UTF-8''%E9%97%AE%E7%AD%94%20_1_.jsonl"
        )

    def test_lost_blob_is_reported(self, stored: Stored, mine: Api, session: Session) -> None:
        dataset = stored(jsonl([{"text": "will be lost"}]))
        path = f"datasets/{dataset.uuid}/versions/v1"
        version = queries.current_version(session, dataset)
        assert version is not None
        file = queries.rows_file(session, version.id)
        assert file is not None
        get_store().delete(file.parts[0].blobs[0])
        for end in ("content", "content?format=jsonl", "rows"):
            answer = mine.get(f"{path}/{end}")
            assert (answer.status_code, answer.json()["code"]) == (500, "server.content_missing")

    def test_version_stored_as_single_blob_is_read(
        self,
        mine: Api,
        session: Session,
        project: Project,
        tmp_path: Any,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Check versions from before parts were introduced, in a local and in a remote store."""
        dataset = make_dataset(session, project)
        make_version(session, dataset, file=make_rows(session, tmp_path))
        path = f"datasets/{dataset.uuid}/versions/v1"
        rows = mine.get(f"{path}/rows").json()["items"]
        assert len(rows) == 3
        monkeypatch.setattr(type(get_store()), "local_path", lambda self, sha256: None)
        for _ in range(2):
            assert mine.get(f"{path}/rows").json()["items"] == rows
        copies = [copy for copy in get_settings().spool_dir.iterdir() if "rows-" in copy.name]
        assert copies
        for copy in copies:
            copy.unlink()
