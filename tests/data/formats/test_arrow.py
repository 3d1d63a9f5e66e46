"""Tests of the reader for Arrow IPC files and streams."""

import gzip
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiplatform.data.canonical import iter_rows
from aiplatform.data.formats import type_conversion
from aiplatform.data.ingest import ingest
from tests.data.conftest import Upload, chat

TABLE = pa.table(
    {
        "text": pa.array(["one", None, "三"], pa.large_string()),
        "n": pa.array([1, 2, None], pa.int8()),
        "when": pa.array([0, 1, None], pa.timestamp("s", "UTC")),
        "kind": pa.array(["a", "b", "a"]).dictionary_encode(),
    }
)
ROWS = [
    {"text": "one", "n": 1, "when": "1970-01-01 00:00:00Z", "kind": "a"},
    {"text": None, "n": 2, "when": "1970-01-01 00:00:01Z", "kind": "b"},
    {"text": "三", "n": None, "when": None, "kind": "a"},
]


def written(table: pa.Table, kind: str, codec: str | None = None, rows: int = 1 << 16) -> bytes:
    sink = pa.BufferOutputStream()
    make = pa.ipc.new_file if kind == "file" else pa.ipc.new_stream
    with make(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=codec)) as writer:
        writer.write_table(table, max_chunksize=rows)
    return bytes(sink.getvalue())


@pytest.mark.parametrize("kind", ["file", "stream"])
@pytest.mark.parametrize("codec", [None, "lz4", "zstd"])
def test_file_and_stream_are_read(upload: Upload, kind: str, codec: str | None) -> None:
    assert upload(written(TABLE, kind, codec), "x.arrow") == ROWS
    assert (upload.found["format"], upload.found["encoding"]) == ("arrow", None)


@pytest.mark.parametrize("name", ["x", "x.jsonl", "x.feather"])
def test_content_overrides_the_suffix(upload: Upload, name: str) -> None:
    assert upload(written(TABLE, "file"), name) == ROWS


def test_gzipped_stream_is_read(upload: Upload) -> None:
    assert upload(gzip.compress(written(TABLE, "stream")), "x.arrow.gz") == ROWS
    assert upload.found["compression"] == "gzip"
    assert not list(upload.directory.glob("*.unpacked"))


def test_conversations_in_many_batches_are_read(
    upload: Upload, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(type_conversion, "BATCH_ROWS", 3)
    monkeypatch.setattr(type_conversion, "SMALL_BATCH_ROWS", 2)
    rows = [chat("u: x", f"a: {n}") for n in range(50)]
    table = pa.Table.from_pylist(rows)
    assert upload(written(table, "stream", rows=7), "x.arrow") == rows
    assert upload.found["shape"] == "chat"
    first = upload.found["sha256"]
    pq.write_table(table, tmp_path / "upload.parquet")
    assert upload(tmp_path / "upload.parquet", "x.parquet") == rows
    assert upload.output.stat().st_size > 0
    assert upload.found["columns"] == [{"name": "messages", "type": "messages"}]
    assert first != ""


@pytest.mark.parametrize("kind", ["file", "stream"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_truncated_file_is_refused(upload: Upload, kind: str, share: float) -> None:
    data = written(pa.table({"text": [str(n) for n in range(1000)]}), kind, rows=100)
    error = upload.error(data[: int(len(data) * share)], "x.arrow")
    assert error.reason == "arrow_invalid"


@pytest.mark.parametrize("data", [b"ARROW1\x00\x00", b"\xff\xff\xff\xff\x10\x00\x00\x00", b"{}\n"])
def test_invalid_file_is_refused(upload: Upload, data: bytes) -> None:
    assert upload.error(data, "x.arrow").reason == "arrow_invalid"


def test_offsets_outside_the_data_are_refused(upload: Upload) -> None:
    offsets = b"\x00\x00\x00\x00\xff\xff\xff\x7f"
    data = written(pa.table({"text": ["x" * 97]}), "stream")
    at = data.rindex(b"\x00\x00\x00\x00\x61\x00\x00\x00")
    error = upload.error(data[:at] + offsets + data[at + 8 :], "x.arrow")
    assert error.reason == "arrow_invalid"


VALUES = st.fixed_dictionaries(
    {
        "text": st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
        "n": st.none() | st.integers(-(2**53), 2**53),
        "x": st.none() | st.floats(allow_nan=False, allow_infinity=False),
        "yes": st.none() | st.booleans(),
    }
)  # fmt: skip


@settings(max_examples=50, deadline=None)
@given(
    rows=st.lists(VALUES, min_size=1, max_size=20),
    kind=st.sampled_from(["file", "stream", "parquet"]),
    size=st.integers(1, 8),
)
def test_round_trip_keeps_rows(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], kind: str, size: int
) -> None:
    directory = tmp_path_factory.mktemp("arrow")
    schema = pa.schema(
        [("text", pa.string()), ("n", pa.int64()), ("x", pa.float64()), ("yes", pa.bool_())]
    )
    table = pa.Table.from_pylist(rows, schema)
    if kind == "parquet":
        pq.write_table(table, directory / "upload", row_group_size=size)
    else:
        (directory / "upload").write_bytes(written(table, kind, rows=size))
    ingest(directory / "upload", directory / "rows", filename="x")
    assert list(iter_rows(directory / "rows")) == rows
