"""Tests of uploads and downloads."""

import base64
import hashlib
import io
import json
import math
import os
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

import datasets
import httpx
import pandas as pd  # type: ignore[import-untyped]
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aiplatform.client import (
    Client,
    ClientError,
    CorruptDownload,
    ServerUnavailable,
    resumable_uploads,
)
from aiplatform.client.transfers import body_of
from tests.client.fake import Broken, FakeServer, answer, malformed, page, problem
from tests.openapi_checks import Partial, checked_answer

P, D, M = (UUID(int=n) for n in (1, 2, 3))
HEAD = Partial({"uuid": str(D), "name": "faq", "version": "v1", "status": "processing"})
VERSION = Partial({"uuid": str(M), "dataset": str(D), "version": "v1", "format": "csv"})
UPLOAD = f"POST projects/{P}/datasets"
CONTENT = f"GET datasets/{D}/versions/v1/content"


def test_upload_of_a_path_sends_size_and_name(
    client: Client, server: FakeServer, tmp_path: Path
) -> None:
    file = tmp_path / "faq.csv"
    file.write_bytes(b"x" * 3_000_000)
    server.on(UPLOAD, answer(HEAD, 201))
    seen: list[tuple[int, int | None]] = []
    dataset = client.datasets.upload(
        "faq", file, project=P, message="first", progress=lambda *done: seen.append(done)
    )
    request = server.requests[-1]
    assert dataset.uuid == D
    assert server.bodies[-1] == file.read_bytes()
    assert request.headers["content-length"] == "3000000"
    assert "transfer-encoding" not in request.headers
    assert dict(request.url.params) == {"name": "faq", "filename": "faq.csv", "message": "first"}
    assert seen[-1] == (3_000_000, 3_000_000)
    assert len(seen) == 3


def test_upload_of_rows_sends_jsonl(client: Client, server: FakeServer) -> None:
    server.on(UPLOAD, answer(HEAD, 201))
    rows: Iterator[dict[str, Any]] = iter([{"text": "一\nb"}, {"text": math.nan, "id": D}])
    client.datasets.upload("faq", rows, project=P)
    assert server.requests[-1].headers["transfer-encoding"] == "chunked"
    assert server.requests[-1].url.params["filename"] == "faq.jsonl"
    lines = server.bodies[-1].decode().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"text": "一\nb"},
        {"text": "NaN", "id": str(D)},
    ]


def test_upload_of_an_open_file_starts_at_its_position() -> None:
    file = io.BytesIO(b"header rest")
    file.seek(7)
    body = body_of(file)
    assert body.length == 4
    assert b"".join(body.chunks()) == b"rest"
    assert b"".join(body.chunks()) == b"rest"  # again, as for a second attempt


def test_upload_of_unsupported_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="'rb'"):
        body_of(io.StringIO("text"))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="several rows"):
        body_of({"a": 1})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="row 2 is str"):
        list(body_of([{"a": 1}, "b"]).chunks())  # type: ignore[list-item]
    with pytest.raises(IsADirectoryError):
        body_of(tmp_path)
    with pytest.raises(FileNotFoundError):
        body_of(tmp_path / "missing")


def test_upload_of_a_shrinking_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.write_bytes(b"12345")
    body = body_of(file)
    file.write_bytes(b"123")
    with pytest.raises(ClientError, match="became shorter"):
        list(body.chunks())
    file.write_bytes(b"1234567")  # a larger file is allowed: the announced size is sent
    assert b"".join(body.chunks()) == b"12345"


class Counting(BaseHTTPRequestHandler):
    received = 0
    made: httpx.Response

    def do_POST(self) -> None:
        total = 0
        while size := int(self.rfile.readline(), 16):
            total += len(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        type(self).received = total
        self.send_response(self.made.status_code)
        for name, value in self.made.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(self.made.content)

    def log_message(self, *args: Any) -> None:
        pass


def test_upload_of_many_rows_uses_little_memory() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Counting)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    asked = httpx.Request("POST", f"http://platform.test/api/v1/projects/{P}/datasets")
    Counting.made = checked_answer(asked, answer(HEAD, 201))
    row = {"text": "x" * 10_000}
    client = Client(f"http://127.0.0.1:{server.server_port}", token="t")
    tracemalloc.start()
    try:
        client.datasets.upload("big", (row for _ in range(6_000)), project=P)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        server.shutdown()
        server.server_close()
    assert Counting.received > 60_000_000
    assert peak < 8_000_000


FILE = {
    "Content-Type": "application/octet-stream",
    "Content-Disposition": 'attachment; filename="rows"',
    "ETag": '"e"',
    "Accept-Ranges": "bytes",
}
"""Headers of every file response."""

TUS = {
    "Tus-Resumable": "1.0.0",
    "Upload-Offset": "4",
    "Upload-Length": "8",
    "Upload-Expires": "Wed, 25 Nov 2026 08:00:00 GMT",
}
"""Headers of every response about a resumable upload."""


def file_answer(content: bytes, **headers: str) -> httpx.Response:
    digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
    told = {**FILE, "Repr-Digest": f"sha-256=:{digest}:", "ETag": '"e"', **headers}
    return httpx.Response(200, content=content, headers=told)


@pytest.fixture
def versions(server: FakeServer) -> None:
    server.on(f"GET datasets/{D}", answer(HEAD))
    server.on(f"GET datasets/{D}/versions/v1", answer(VERSION))


@pytest.mark.usefixtures("versions")
def test_download_to_a_directory_chooses_the_file_name(
    client: Client, server: FakeServer, tmp_path: Path
) -> None:
    server.on(CONTENT, file_answer(b"rows"))
    assert client.datasets.download(D, tmp_path).name == "faq-v1.jsonl"
    assert client.datasets.download(D, tmp_path, format="original").name == "faq-v1.csv"
    assert (tmp_path / "faq-v1.jsonl").read_bytes() == b"rows"
    assert server.requests[-1].headers["accept-encoding"] == "identity"


@pytest.mark.usefixtures("versions")
def test_damaged_download_keeps_the_old_file(
    client: Client, server: FakeServer, tmp_path: Path
) -> None:
    target = tmp_path / "rows.jsonl"
    target.write_text("old")
    damaged = file_answer(b"rows")
    server.on(CONTENT, httpx.Response(200, content=b"r0ws", headers=damaged.headers))
    with pytest.raises(CorruptDownload, match="hash"):
        client.datasets.download(D, target)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["rows.jsonl"]
    assert target.read_text() == "old"


@pytest.mark.usefixtures("versions")
def test_parquet_download_is_verified_by_the_hash_of_the_version(
    client: Client, server: FakeServer, tmp_path: Path
) -> None:
    server.on(f"GET datasets/{D}/versions/v1", answer(VERSION | {"file_hash": "0" * 64}))
    server.on(CONTENT, httpx.Response(200, content=b"parquet", headers=FILE))
    with pytest.raises(CorruptDownload):
        client.datasets.download(D, tmp_path, format="parquet")


@pytest.mark.usefixtures("versions")
def test_broken_download_continues_where_it_stopped(
    client: Client, server: FakeServer, tmp_path: Path, pauses: list[float]
) -> None:
    whole = os.urandom(5_000_000)
    offer = {**FILE, "Accept-Ranges": "bytes", "Content-Length": str(len(whole))}
    digest = base64.b64encode(hashlib.sha256(whole).digest()).decode()
    cut = Broken(whole[:3_000_000], error=httpx.ReadError("reset"))

    def rest(request: httpx.Request) -> httpx.Response:
        assert request.headers["range"] == "bytes=3000000-"
        assert request.headers["if-range"] == '"e"'
        headers = {**FILE, "Content-Range": f"bytes 3000000-4999999/{len(whole)}"}
        return httpx.Response(206, content=whole[3_000_000:], headers=headers)

    first = {**offer, "Repr-Digest": f"sha-256=:{digest}:"}
    server.on(CONTENT, httpx.Response(200, stream=cut, headers=first), rest)
    target = client.datasets.download(D, tmp_path / "rows")
    assert target.read_bytes() == whole


@pytest.mark.usefixtures("versions")
def test_broken_download_of_a_changed_file_starts_again(
    client: Client, server: FakeServer, tmp_path: Path, pauses: list[float]
) -> None:
    cut = Broken(b"old" * 1_000_000, error=httpx.ReadError("reset"))
    offer = {**FILE, "Accept-Ranges": "bytes"}
    server.on(CONTENT, httpx.Response(200, stream=cut, headers=offer), file_answer(b"new"))
    assert client.datasets.download(D, tmp_path / "rows").read_bytes() == b"new"


@pytest.mark.usefixtures("versions")
def test_download_without_progress_is_given_up(
    client: Client, server: FakeServer, tmp_path: Path, pauses: list[float]
) -> None:
    def cut(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, stream=Broken(error=httpx.ReadError("reset")), headers=FILE)

    server.on(CONTENT, cut)
    with pytest.raises(ServerUnavailable):
        client.datasets.download(D, tmp_path / "rows")
    assert server.count(CONTENT) == 5
    assert [path.name for path in tmp_path.iterdir() if path.name != "config"] == []


def test_model_download_stays_in_its_directory(
    client: Client, server: FakeServer, tmp_path: Path
) -> None:
    def files(path: str) -> httpx.Response:
        sha = hashlib.sha256(b"data").hexdigest()
        return page({"path": path, "size": 4, "sha256": sha})

    server.on(f"GET models/{M}/files", files("weights/model a.safetensors"))
    server.on(f"GET models/{M}/files/weights/model a.safetensors", file_answer(b"data"))
    client.models.download(M, tmp_path / "m")
    assert (tmp_path / "m/weights/model a.safetensors").read_bytes() == b"data"
    for evil in ("../evil", "/etc/evil", "a/../../evil", "c:\\evil", "a\\..\\evil"):
        server.on(f"GET models/{M}/files", files(evil))
        with pytest.raises(CorruptDownload, match="not a safe path"):
            client.models.download(M, tmp_path / "m")


def test_model_upload_sends_each_file_and_retries(
    client: Client, server: FakeServer, tmp_path: Path, pauses: list[float]
) -> None:
    (tmp_path / "m/sub").mkdir(parents=True)
    (tmp_path / "m/config.json").write_text("{}")
    (tmp_path / "m/sub/vocab.txt").write_text("words")
    (tmp_path / "m/.git").mkdir()
    (tmp_path / "m/.git/secret").write_text("no")
    pending = Partial({"uuid": str(M), "name": "m", "version": "1", "status": "pending"})
    task = Partial({"uuid": str(D), "name": "import", "type": "model_import", "status": "pending"})
    server.on(f"POST projects/{P}/models", answer(pending, 201))
    # A PUT of a file may be repeated.
    stored = answer(Partial({"path": "config.json", "size": 2}))
    server.on(f"PUT models/{M}/files/config.json", httpx.ReadError("reset"), stored)
    server.on(f"PUT models/{M}/files/sub/vocab.txt", stored)
    server.on(f"POST models/{M}/import", answer(task, 202))
    seen: list[tuple[int, int | None]] = []
    model = client.models.import_path(
        tmp_path / "m", project=P, progress=lambda *done: seen.append(done)
    )
    assert model.task == D
    assert json.loads(server.bodies[0])["source"] == {"kind": "upload"}
    assert seen[-1] == (7, 7)
    assert server.count(f"PUT models/{M}/files/config.json") == 2


@pytest.mark.parametrize("status", [401, 403, 429, 500, 507])
def test_resumable_upload_continues_after_an_error(
    client: Client,
    server: FakeServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
) -> None:
    monkeypatch.setattr(resumable_uploads, "user_cache_path", lambda _: tmp_path / "cache")
    monkeypatch.setattr(resumable_uploads, "PIECE_BYTES", 4)
    file = tmp_path / "rows.jsonl"
    file.write_bytes(b"12345678")
    begin, place = f"POST projects/{P}/uploads", f"uploads/{M}"
    server.on(begin, answer(status=201, Location=f"/api/v1/{place}", **TUS))
    refusal = problem(status, "x", "Not now.")
    if status == 500:
        refusal = malformed("a fault of the server", refusal)
    server.on(f"PATCH {place}", answer(status=204, **TUS), refusal)
    server.on(f"GET {place}", answer(Partial({"status": "receiving", "offset": 4})))
    with pytest.raises(ClientError, match="Not now"):
        client.datasets.upload("faq", file, project=P, resumable=True)
    made = Partial({"status": "committed", "offset": 8, "result": {"dataset": str(D)}})
    waiting = answer(Partial({"status": "receiving", "offset": 4}))
    server.on(f"GET {place}", waiting, answer(made)).on(f"PATCH {place}", answer(status=204, **TUS))
    server.on(f"GET datasets/{D}", answer(HEAD))
    assert client.datasets.upload("faq", file, project=P, resumable=True).uuid == D
    assert server.count(begin) == 1
    assert server.bodies[-3] == b"5678"
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


def test_refused_upload_raises_with_the_reason(client: Client, server: FakeServer) -> None:
    server.on(UPLOAD, problem(422, "dataset.malformed", "line 17: not JSON", line=17))
    with pytest.raises(ClientError, match="line 17: not JSON"):
        client.datasets.upload("faq", b"{", project=P)


ROWS = [{"question": "who?", "score": 0.5}, {"question": "你好", "score": None}]
COLUMNS = {"question": ["who?", "你好"], "score": [0.5, None]}
TABLES = {
    "pandas": pd.DataFrame(COLUMNS),
    "polars": pl.DataFrame(COLUMNS),
    "polars, lazy": pl.LazyFrame(COLUMNS),
    "arrow": pa.table(COLUMNS),
    "arrow, one batch": pa.RecordBatch.from_pylist(ROWS),
    "datasets": datasets.Dataset.from_dict(COLUMNS),
}


def written(data: Any) -> pa.Table:
    """Return the table that is sent when ``data`` is uploaded."""
    body = body_of(data)
    assert body.filename == "table.parquet"
    content = b"".join(body.chunks())
    assert len(content) == body.length
    assert b"".join(body.chunks()) == content, "an upload may be repeated"
    return pq.read_table(pa.BufferReader(content))


@pytest.mark.parametrize("name", list(TABLES))
def test_table_is_uploaded_with_all_its_rows(name: str) -> None:
    assert written(TABLES[name]).to_pylist() == ROWS


def test_pandas_index_is_a_column_only_if_it_has_a_name() -> None:
    frame = pd.DataFrame({"n": [1, 2, 3]})
    assert written(frame[frame.n > 1]).to_pydict() == {"n": [2, 3]}
    named = pd.DataFrame({"n": [1]}, index=pd.Index(["a"], name="id"))
    assert written(named).to_pydict() == {"n": [1], "id": ["a"]}


def test_dataset_dict_is_refused_with_its_splits() -> None:
    splits = datasets.DatasetDict({"train": TABLES["datasets"], "test": TABLES["datasets"]})
    with pytest.raises(TypeError, match=r"upload one of data\['train'\], data\['test'\]"):
        body_of(splits)


def test_table_without_pyarrow_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ClientError, match="uploaded as Parquet") as refused:
        body_of(TABLES["arrow"])
    assert "pip install pyarrow" in refused.value.hint


def test_upload_names_the_format_of_a_table(client: Client, server: FakeServer) -> None:
    project = "0b9d6a0e-4c1b-4d0f-9a53-0c5c1a6f7e21"
    made = Partial({"uuid": project, "name": "faq", "version": "v1", "status": "processing"})
    server.on(f"POST projects/{project}/datasets", answer(made, 201))
    client.datasets.upload("faq", TABLES["pandas"], project=project)
    assert server.requests[0].url.params["filename"] == "table.parquet"
    assert server.bodies[0].startswith(b"PAR1")


def test_sdk_does_not_import_the_libraries() -> None:
    code = (
        "import sys; from aiplatform.client.transfers import body_of; body_of(b'x');"
        "body_of([{'a': 1}]);"
        "print(sorted({'pandas', 'polars', 'pyarrow', 'datasets'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
