"""Tests of pulling versions with the SDK: reused parts, broken connections, damage and cache."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
from sqlalchemy.orm import Session

from aiplatform.client import (
    Client,
    ClientError,
    CorruptDownload,
    DataCache,
    NotFound,
    ServerUnavailable,
)
from aiplatform.client import data_cache as client_side
from aiplatform.server.identity.models import User
from aiplatform.server.projects.models import Project
from tests.conftest import Api
from tests.factories import make_token
from tests.server.datasets.conftest import jsonl

pytestmark = pytest.mark.usefixtures("app", "empty_spool")

ROWS = [
    {"id": n, "text": hashlib.sha256(str(n).encode()).hexdigest() * 40, "more": {"n": n, "é": [1]}}
    for n in range(4000)
]


@pytest.fixture
def sdk(
    server_url: str,
    session: Session,
    owner: User,
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Client:
    monkeypatch.setenv("AIPLATFORM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(client_side.time, "sleep", lambda _: None)
    return Client(server_url, token=make_token(session, owner), project=str(project.uuid))


@pytest.fixture
def faq(upload: Callable[..., Any], mine: Api, sdk: Client) -> Any:
    """Create a dataset with two versions, the second of which changes the last row."""
    made = upload(jsonl(ROWS), name="faq").json()
    changed = [*ROWS[:-1], {"id": 3999, "text": "another", "more": None}]
    answer = mine.post(
        f"datasets/{made['uuid']}/versions",
        params={"filename": "rows.jsonl"},
        content=jsonl(changed),
    )
    assert answer.status_code == 201
    return sdk.datasets.get(made["uuid"])


class Wire:
    """A wrapper around the SDK's transport that records requests and cuts or corrupts responses."""

    def __init__(self, sdk: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[str] = []
        self.cut_after: int | None = None
        self.flip = False
        self._real = sdk.transport.stream
        monkeypatch.setattr(sdk.transport, "stream", self.stream)

    @contextmanager
    def stream(self, method: str, path: str, **options: Any) -> Iterator[Any]:
        self.asked.append(options["headers"]["Range"])
        with self._real(method, path, **options) as response:
            yield _Answer(response, self)


class _Answer:
    def __init__(self, response: httpx.Response, wire: Wire) -> None:
        self.status_code = response.status_code
        self._response, self._wire = response, wire

    def iter_bytes(self) -> Iterator[bytes]:
        seen = 0
        for chunk in self._response.iter_bytes():
            seen += len(chunk)
            if self._wire.cut_after is not None and seen > self._wire.cut_after:
                raise httpx.ReadError("cut")
            yield bytes([chunk[0] ^ 1]) + chunk[1:] if self._wire.flip else chunk


@pytest.fixture
def wire(sdk: Client, monkeypatch: pytest.MonkeyPatch) -> Wire:
    return Wire(sdk, monkeypatch)


def test_pull_of_next_version_fetches_only_new_parts(sdk: Client, faq: Any, wire: Wire) -> None:
    first = sdk.datasets.pull("faq@v1")
    assert (first.version, first.fetched) == ("v1", first.file_size)
    assert hashlib.sha256(first.path.read_bytes()).hexdigest() == first.file_hash
    assert first.file_hash == sdk.datasets.version(faq, "v1").file_hash
    assert len(wire.asked) == 1
    second = faq.pull()
    assert second.version == "v2"
    assert 0 < second.fetched < first.file_size / 2
    assert hashlib.sha256(second.path.read_bytes()).hexdigest() == second.file_hash
    assert len(wire.asked) == 2
    sdk.datasets.tag(faq, "prod", "v1")
    again = sdk.datasets.pull("faq@prod")
    assert (again.path, again.fetched) == (first.path, 0)
    assert len(wire.asked) == 2
    with pytest.raises(NotFound):
        sdk.datasets.pull("faq@v9")


def test_pull_to_a_path_writes_a_copy(sdk: Client, faq: Any, tmp_path: Path) -> None:
    copy = sdk.datasets.pull(faq, "v1", to=tmp_path)
    assert copy.path == tmp_path / "faq-v1.parquet"
    assert os.access(copy.path, os.W_OK)
    named = faq.pull(tmp_path / "new" / "rows.parquet", version="v1")
    assert named.path.read_bytes() == copy.path.read_bytes()
    assert named.fetched == 0


def test_interrupted_pull_continues_at_the_missing_part(
    sdk: Client, faq: Any, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = sdk.transport.get(f"datasets/{faq.uuid}/versions/v1/parts")["parts"]
    assert len(parts) > 2
    wire.cut_after = parts[1]["start"] + 1_100_000
    monkeypatch.setattr(client_side, "_ATTEMPTS_WITHOUT_PROGRESS", 1)
    with pytest.raises(ServerUnavailable):
        sdk.datasets.pull("faq@v1")
    wire.cut_after = None
    sent: list[tuple[int, int | None]] = []
    found = sdk.datasets.pull("faq@v1", progress=lambda done, total: sent.append((done, total)))
    assert wire.asked[-1].startswith(f"bytes={parts[1]['start']}-")
    assert found.fetched == found.file_size - parts[1]["start"]
    assert hashlib.sha256(found.path.read_bytes()).hexdigest() == found.file_hash
    assert sent[0][0] == parts[0]["size"]
    assert sent[-1] == (found.file_size, found.file_size)


def test_pull_continues_after_a_broken_connection(sdk: Client, faq: Any, wire: Wire) -> None:
    parts = sdk.transport.get(f"datasets/{faq.uuid}/versions/v1/parts")["parts"]
    wire.cut_after = max(part["size"] for part in parts) + 1_100_000
    found = sdk.datasets.pull("faq@v1")
    assert len(wire.asked) > 1
    assert hashlib.sha256(found.path.read_bytes()).hexdigest() == found.file_hash


def test_corrupted_bytes_are_refused(sdk: Client, faq: Any, wire: Wire, tmp_path: Path) -> None:
    wire.flip = True
    with pytest.raises(CorruptDownload):
        sdk.datasets.pull("faq@v1")
    assert not list((tmp_path / "cache").glob("*.parquet"))


def test_damaged_cache_file_is_fetched_again(sdk: Client, faq: Any, tmp_path: Path) -> None:
    first = sdk.datasets.pull("faq@v1")
    first.path.chmod(0o644)
    with first.path.open("r+b") as file:
        file.seek(-20, os.SEEK_END)
        file.write(b"\x00" * 10)
    # Its undamaged parts can still be used for another version.
    second = sdk.datasets.pull("faq@v2")
    assert 0 < second.fetched < second.file_size / 2
    again = sdk.datasets.pull("faq@v1")
    assert hashlib.sha256(again.path.read_bytes()).hexdigest() == again.file_hash


def test_concurrent_pulls_fetch_once(sdk: Client, faq: Any, wire: Wire) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: sdk.datasets.pull("faq@v1"), range(4)))
    assert sorted(one.fetched for one in found) == [0, 0, 0, found[0].file_size]
    assert len(wire.asked) == 1


def test_full_cache_drops_the_least_recently_used_file(
    sdk: Client, faq: Any, tmp_path: Path
) -> None:
    cache = DataCache(tmp_path / "small", limit=0)
    first = sdk.datasets.pull("faq@v1", cache=cache)
    second = sdk.datasets.pull("faq@v2", cache=cache)
    assert second.path.exists()
    assert not first.path.exists()


def test_version_is_returned_as_polars_arrow_and_batches(
    sdk: Client, faq: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    v1 = sdk.datasets.version(faq, "v1")
    frame = v1.to_polars()
    assert isinstance(frame, pl.DataFrame)
    assert frame["id"].to_list() == list(range(4000))
    assert v1.to_arrow().num_rows == 4000
    batches = list(v1.iter_batches(1500))
    assert [len(batch) for batch in batches] == [1500, 1500, 1000]
    assert [row for batch in batches for row in batch] == ROWS
    assert next(faq.iter_batches(4000))[-1] == {"id": 3999, "text": "another", "more": None}
    with pytest.raises(ValueError, match="at least one"):
        v1.iter_batches(0)

    def absent(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr("aiplatform.client.dataset_files.import_module", absent)
    with pytest.raises(ClientError, match="needs the package datasets") as refused:
        faq.to_hf()
    assert refused.value.hint == "Install it: pip install datasets"


def test_nested_conversations_are_returned_unchanged(
    sdk: Client, upload: Callable[..., Any], tmp_path: Path
) -> None:
    chats = [
        {"messages": [{"role": "user", "content": f"q {n}"},
                      {"role": "assistant", "content": None, "tool_calls": [{"n": n}]}]}
        for n in range(5)
    ]  # fmt: skip
    made = sdk.datasets.get(upload(jsonl(chats)).json()["uuid"])
    rows = next(made.iter_batches())
    assert json.loads(json.dumps(rows)) == chats


def test_pulled_version_is_loaded_by_hugging_face_datasets(
    sdk: Client, faq: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hub = pytest.importorskip("datasets")
    found = faq.pull()
    options = {"cache_dir": str(tmp_path / "hf")}
    assert found.to_hf(**options)[3999]["text"] == "another"
    loaded = hub.load_dataset("parquet", data_files=str(found), split="train", **options)
    assert loaded.num_rows == 4000
