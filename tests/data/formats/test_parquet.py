"""Tests of the Parquet reader."""

import datetime as dt
import gzip
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aiplatform.data.formats import type_conversion
from tests.data.conftest import Upload, chat

UTC = dt.timezone.utc  # noqa: UP017


def file_of(tmp_path: Path, columns: dict[str, pa.Array], **options: Any) -> Path:
    path = tmp_path / "upload.parquet"
    pq.write_table(pa.table(columns), path, **options)
    return path


@pytest.mark.parametrize(
    ("array", "values", "kind"),
    [
        (pa.array([1, None], pa.int8()), [1, None], "integer"),
        (pa.array([1, 2**32 - 1], pa.uint32()), [1, 2**32 - 1], "integer"),
        (pa.array([1, 2**64 - 1], pa.uint64()), [1, 2**64 - 1], "json"),
        (pa.array([1, 2], pa.uint64()), [1, 2], "integer"),
        (pa.array([0.5, None], pa.float16()), [0.5, None], "number"),
        (pa.array([0.1], pa.float64()), [0.1], "number"),
        (pa.array([True, None]), [True, None], "boolean"),
        (pa.array(["x", None], pa.large_string()), ["x", None], "text"),
        (pa.array(["x", "y", "x"]).dictionary_encode(), ["x", "y", "x"], "text"),
        (pa.array([b"text", "é".encode()], pa.binary()), ["text", "é"], "text"),
        (pa.nulls(2), [None, None], "null"),
        (pa.array([Decimal("1.50")]), ["1.50"], "text"),
        (pa.array([dt.date(2026, 1, 2)]), ["2026-01-02"], "text"),
        (
            pa.array([1_767_322_985_000_000], pa.timestamp("us")),
            ["2026-01-02 03:03:05.000000"],
            "text",
        ),
        (
            pa.array([dt.datetime(2026, 1, 2, tzinfo=UTC)], pa.timestamp("us", "Asia/Shanghai")),
            ["2026-01-02 00:00:00.000000Z"],
            "text",
        ),
        (pa.array([[1, 2], None, []]), [[1, 2], None, []], "json"),
        (pa.array([{"a": 1, "b": None}]), [{"a": 1, "b": None}], "json"),
        (
            pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())),
            [[["k", 1]]],
            "json",
        ),
        (pa.array([[dt.date(2026, 1, 2)]]), [["2026-01-02"]], "json"),
        (pa.array([[float("nan")]]), [["NaN"]], "json"),
    ],
    ids=str,
)
def test_types_are_converted(
    upload: Upload, tmp_path: Path, array: pa.Array, values: list[Any], kind: str
) -> None:
    rows = upload(file_of(tmp_path, {"c": array}), "x.parquet")
    assert [row["c"] for row in rows] == values
    assert upload.found["columns"] == [{"name": "c", "type": kind}]


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())])),
        pa.list_(pa.struct([("content", pa.string()), ("role", pa.string())])),
        pa.large_list(pa.struct([("role", pa.large_string()), ("content", pa.large_string())])),
        pa.list_(
            pa.struct([("role", pa.string()), ("content", pa.string()), ("name", pa.string())])
        ),
    ],
)
def test_conversations_are_read(upload: Upload, tmp_path: Path, kind: pa.DataType) -> None:
    rows = [chat("u: hi", "a: hello"), chat("u: bye"), {"messages": []}, {"messages": None}]
    array = pa.array([row["messages"] for row in rows], kind)
    assert upload(file_of(tmp_path, {"messages": array}), "x.parquet") == rows
    assert upload.found["shape"] == "chat"


def test_many_row_groups_and_batches_are_read(
    upload: Upload, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type_conversion, "BATCH_ROWS", 7)
    monkeypatch.setattr(type_conversion, "SMALL_BATCH_ROWS", 3)
    path = file_of(tmp_path, {"text": pa.array([f"{n}" for n in range(100)])}, row_group_size=30)
    assert upload(path, "x.parquet") == [{"text": f"{n}"} for n in range(100)]


@pytest.mark.parametrize("codec", ["snappy", "gzip", "zstd", "lz4", "none"])
def test_any_column_compression_is_read(upload: Upload, tmp_path: Path, codec: str) -> None:
    path = file_of(tmp_path, {"text": pa.array(["x"])}, compression=codec)
    assert upload(path, "x.parquet") == [{"text": "x"}]


def test_gzipped_file_is_read(upload: Upload, tmp_path: Path) -> None:
    data = gzip.compress(file_of(tmp_path, {"text": pa.array(["x"])}).read_bytes())
    assert upload(data, "x.parquet.gz") == [{"text": "x"}]
    assert upload.found["compression"] == "gzip"
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "rows.parquet", "upload", "upload.parquet",
    ]  # fmt: skip


def test_content_overrides_the_suffix(upload: Upload, tmp_path: Path) -> None:
    assert upload(file_of(tmp_path, {"text": pa.array(["x"])}), "x.csv") == [{"text": "x"}]
    assert upload.found["format"] == "parquet"


@pytest.mark.parametrize(
    "data",
    [b"not at all", b"PAR1", b"PAR1" + b"x" * 100 + b"PAR1", b"PAR1" + b"\xff" * 1000 + b"PAR1"],
)
def test_invalid_file_is_refused(upload: Upload, data: bytes) -> None:
    assert upload.error(data, "x.parquet").reason == "parquet_invalid"


def test_truncated_or_damaged_file_is_refused(upload: Upload, tmp_path: Path) -> None:
    words = pa.array([f"some {n} words" * 50 for n in range(2000)])
    data = file_of(tmp_path, {"text": words}).read_bytes()
    assert upload.error(data[:-10], "x.parquet").reason == "parquet_invalid"
    damaged = data[:100] + bytes(byte ^ 255 for byte in data[100:400]) + data[400:]
    assert upload.error(damaged, "x.parquet").reason == "parquet_invalid"


def test_binary_data_is_refused_with_its_row(upload: Upload, tmp_path: Path) -> None:
    images = pa.array([b"ok", b"\x89PNG\xff"], pa.binary())
    error = upload.error(file_of(tmp_path, {"n": pa.array([1, 2]), "image": images}), "x.parquet")
    assert (error.reason, error.row) == ("binary_value", 2)
    assert "“image”" in error.message
    nested = pa.array([None, {"bytes": b"\xff"}])
    error = upload.error(file_of(tmp_path, {"image": nested}), "x.parquet")
    assert (error.reason, error.row) == ("binary_value", 2)


def test_invalid_columns_are_refused(upload: Upload, tmp_path: Path) -> None:
    twice = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    pq.write_table(twice, tmp_path / "twice.parquet")
    assert upload.error(tmp_path / "twice.parquet", "x.parquet").reason == "column_twice"
    many = {f"c{n}": pa.array([1]) for n in range(2001)}
    assert upload.error(file_of(tmp_path, many), "x.parquet").reason == "columns_too_many"
    assert upload.error(file_of(tmp_path, {}), "x.parquet").reason == "columns_none"
    empty = {"text": pa.array([], pa.string())}
    assert upload.error(file_of(tmp_path, empty), "x.parquet").reason == "no_rows"


def test_dictionary_of_one_huge_value_is_refused_as_a_bomb(upload: Upload, tmp_path: Path) -> None:
    bomb = pa.DictionaryArray.from_arrays(
        pa.array([0] * 100_000, pa.int32()), pa.array(["x" * 1_000_000])
    )
    path = file_of(tmp_path, {"text": bomb}, dictionary_pagesize_limit=1 << 30)
    assert path.stat().st_size < 100_000
    assert upload.error(path, "x.parquet").reason == "bomb"
