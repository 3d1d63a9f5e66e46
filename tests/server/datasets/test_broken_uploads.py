"""Tests of broken uploads of every kind: each gets a clear error and leaves nothing behind."""

import base64
import gzip
import io
import json
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from aiplatform.server.core import spool
from aiplatform.server.core.settings import get_settings
from aiplatform.server.core.storage import get_store
from aiplatform.server.datasets.errors import IngestFailed
from aiplatform.server.datasets.models import DatasetUpload
from aiplatform.server.datasets.service import resumable, storage
from aiplatform.server.projects.models import Project
from tests.conftest import Api
from tests.factories import number
from tests.server.datasets.conftest import jsonl

Upload = Callable[..., Any]
StoredState = Callable[[], dict[str, Any]]
ROWS = [{"text": f"row {n}", "n": n} for n in range(500)]


@pytest.fixture(autouse=True)
def _nothing_stays(stored_state: StoredState) -> Any:
    before = stored_state()
    yield
    assert stored_state() == before


@pytest.fixture(params=["plain", "in pieces"])
def send(request: pytest.FixtureRequest, upload: Upload, mine: Api, project: Project) -> Upload:
    """Return a function that uploads a file, whole or in pieces, and returns the last response."""

    def in_pieces(content: bytes, *, filename: str) -> Any:
        facts = {"name": f"dataset {number()}", "filename": filename}
        coded = {key: base64.b64encode(value.encode()).decode() for key, value in facts.items()}
        begun = mine.post(
            f"projects/{project.uuid}/uploads",
            headers={
                "Upload-Length": str(len(content)),
                "Upload-Metadata": ",".join(f"{key} {value}" for key, value in coded.items()),
            },
        )
        assert begun.status_code == 201, begun.text
        place = begun.headers["location"].removeprefix("/api/v1/")
        half = (len(content) + 1) // 2
        for offset, piece in ((0, content[:half]), (half, content[half:])):
            answer = mine.patch(
                place,
                headers={
                    "Content-Type": "application/offset+octet-stream",
                    "Upload-Offset": str(offset),
                },
                content=piece,
            )
            if answer.status_code != 204:
                break
        shown = mine.get(place).json()
        assert (shown["status"], shown["result"]["code"]) == ("refused", answer.json()["code"])
        return answer

    return in_pieces if request.param == "in pieces" else upload


def table(kind: str) -> bytes:
    sink = io.BytesIO()
    found = pa.Table.from_pylist(ROWS)
    if kind == "parquet":
        pq.write_table(found, sink)
    else:
        make = pa.ipc.new_file if kind == "file" else pa.ipc.new_stream
        with make(sink, found.schema) as writer:
            writer.write_table(found, max_chunksize=50)
    return sink.getvalue()


WHOLE = {
    "x.jsonl": jsonl(ROWS),
    "x.json": json.dumps(ROWS).encode(),
    "x.csv": b"n,text\n" + b"".join(b'%d,"row ""%d"" of them"\n' % (n, n) for n in range(500)),
    "x.parquet": table("parquet"),
    "x.arrow": table("file"),
    "x.arrows": table("stream"),
    "x.jsonl.gz": gzip.compress(jsonl(ROWS)),
    "x.csv.zst": zstandard.compress(b"n,text\n" + b"1,x\n" * 500),
}


@pytest.mark.parametrize("filename", WHOLE)
def test_file_truncated_anywhere_is_refused(send: Upload, filename: str) -> None:
    whole = WHOLE[filename]
    for share in (0.001, 0.3, 0.97):
        cut = max(1, int(len(whole) * share))
        if filename == "x.csv":
            cut = whole.rindex(b'"row', 0, max(cut, 20)) + 5  # cut within a quoted field
        answer = send(whole[:cut], filename=filename)
        assert answer.status_code == 422, (share, answer.text)
        assert answer.json()["code"] == "dataset.malformed"
        assert answer.json()["message"]


def nested(depth: int) -> bytes:
    return b'{"a": ' + b"[" * depth + b"]" * depth + b"}\n"


@pytest.mark.parametrize(
    ("content", "filename", "reason"),
    [
        (",".join(f"c{n}" for n in range(10_000)).encode() + b"\n1\n", "x.csv", "columns_too_many"),
        (json.dumps({f"c{n}": n for n in range(10_000)}).encode(), "x.jsonl", "columns_too_many"),
        (nested(1000), "x.jsonl", "json_too_deep"),
        (b"[" + nested(1000) + b"]", "x.json", "json_too_deep"),
        (nested(100_000), "x.jsonl", "json_too_deep"),
        (b"a,b\n1,\x00\n", "x.csv", "nul_byte"),
        (b"one\nt\x00wo\n", "x.txt", "nul_byte"),
        (b'{"a": "\x00"}\n', "x.jsonl", "json_invalid"),
        (bytes(10_000), "x.jsonl", None),
        (b"a,b\n1,2\n1,2,3\n", "x.csv", "csv_ragged"),
        (b'{"text": "x"}\n\xff\xfe\xfd\n', "x.jsonl", None),
    ],
    ids=[
        "columns-csv", "columns-jsonl", "deep-jsonl", "deep-json", "deeper-jsonl", "nul-csv",
        "nul-text", "nul-jsonl", "zeros", "ragged", "no-text",
    ],
)  # fmt: skip
def test_file_with_invalid_content_is_refused(
    send: Upload, content: bytes, filename: str, reason: str | None
) -> None:
    answer = send(content, filename=filename)
    assert answer.status_code == 422, answer.text
    problem = answer.json()
    assert problem["code"] == "dataset.malformed"
    assert reason in {None, problem["reason"]}
    assert problem["message"]


@pytest.mark.parametrize(
    ("byte", "reasons"),
    [(b"\x00", {"nul_byte", "line_too_long", "encoding_unknown"}), (b"\n", {"bomb", "no_rows"})],
    ids=["zeros", "line ends"],
)
def test_compression_bomb_of_ten_gigabytes_is_refused(
    send: Upload, byte: bytes, reasons: set[str]
) -> None:
    """Upload a file of many consecutive gzip members."""
    bomb = gzip.compress(byte * (64 << 20)) * 160
    assert len(bomb) < 12 << 20
    answer = send(bomb, filename="x.jsonl.gz")
    assert (answer.status_code, answer.json()["code"]) == (422, "dataset.malformed")
    assert answer.json()["reason"] in reasons


class TestFullDisk:
    def no_room(self, *_: Any, **__: Any) -> Any:
        raise OSError(28, "No space left on device")

    def refused(self, upload: Upload) -> None:
        answer = upload(jsonl(ROWS))
        assert (answer.status_code, answer.json()["code"]) == (507, "server.storage_full")

    def test_disk_full_while_parsing_is_refused(
        self, upload: Upload, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        program = tmp_path / "full"
        program.write_text("#!/bin/sh\necho 'OSError: [Errno 28] No space' >&2\nexit 1\n")
        program.chmod(0o755)
        monkeypatch.setattr("sys.executable", str(program))
        self.refused(upload)

    def test_disk_full_while_packing_is_refused(
        self, upload: Upload, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(storage, "pack", self.no_room)
        self.refused(upload)

    def test_disk_full_while_storing_is_refused(
        self, upload: Upload, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(type(get_store()), "put_file", self.no_room)
        self.refused(upload)


def leftover(name: str, hours: float) -> Path:
    path = get_settings().spool_dir / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"left")
    then = time.time() - hours * 3600
    os.utime(path, (then, then))
    return path


def test_spool_files_left_by_a_crash_are_deleted_after_a_day() -> None:
    old = [leftover(name, 25) for name in ("a.upload", "a.parquet.partial", "upload-b.bin")]
    fresh = leftover("c.upload", 23)
    assert spool.clean_directory(get_settings().spool_dir, spool.SPOOL_MAX_AGE) >= len(old)
    assert not any(path.exists() for path in old)
    assert fresh.exists()
    fresh.unlink()
    assert spool.clean_directory(get_settings().spool_dir / "nowhere", spool.SPOOL_MAX_AGE) == 0


def test_expired_uploads_are_deleted(mine: Api, project: Project, session: Session) -> None:
    begun = mine.post(
        f"projects/{project.uuid}/uploads",
        headers={"Upload-Length": "10", "Upload-Metadata": "name eA==,filename eC5qc29ubA=="},
    )
    uuid = begun.headers["location"].rpartition("/")[2]
    past = datetime.now(UTC) - timedelta(seconds=1)
    session.execute(update(DatasetUpload).where(DatasetUpload.uuid == uuid).values(expires_at=past))
    session.commit()
    resumable.delete_expired_uploads()
    session.rollback()
    assert session.scalar(select(DatasetUpload.id).where(DatasetUpload.uuid == uuid)) is None
    resumable.file_of(begun.headers["location"].rpartition("/")[2]).unlink()


def test_failure_before_the_commit_leaves_no_version(
    upload: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Make the last step before the commit fail; rows, versions and files must all be undone."""

    def die(*_: Any, **__: Any) -> None:
        raise IngestFailed(ending="signal SIGKILL")

    monkeypatch.setattr("aiplatform.server.datasets.service.commits.store_parts", die)
    assert upload(jsonl(ROWS)).status_code == 500
