"""Tests of the canonical Parquet file: equal rows give equal bytes, and any page can be read."""

import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aiplatform.data import canonical
from aiplatform.data.blobs import hash_file
from aiplatform.data.canonical import (
    CanonicalWriter,
    export_jsonl,
    format_of_schema,
    iter_batches,
    iter_rows,
    row_count,
    shape_of,
)
from aiplatform.data.conversations import CHAT
from aiplatform.data.row_access import read_rows, rows_at, rows_from
from aiplatform.protocol.enums import DataFormat, DataShape
from tests.data.conftest import Upload, jsonl, lines

SCHEMA = pa.schema(
    [
        ("messages", CHAT.arrow_type(extra=False)),
        ("note", pa.string()),
        ("score", pa.float64()),
        ("good", pa.bool_()),
    ],
    metadata={
        "aiplatform.shape": "chat",
        "aiplatform.format": "jsonl",
        "aiplatform.json": "[]",
        "aiplatform.version": "2",
    },
)


def some_rows(count: int, seed: int = 1) -> list[dict[str, Any]]:
    rng = random.Random(seed)

    def text() -> str:
        return "".join(rng.choices("abcdef 的一是不了", k=rng.randrange(200)))

    return [
        {
            "messages": [
                {"role": rng.choice(["user", "assistant"]), "content": text()}
                for _ in range(rng.randrange(4))
            ]
            if rng.random() > 0.05
            else None,
            "note": text() if rng.random() > 0.3 else None,
            "score": rng.random(),
            "good": rng.random() > 0.5,
        }
        for _ in range(count)
    ]


def write(path: Path, rows: list[dict[str, Any]], cuts: list[int]) -> bytes:
    """Write ``rows`` in batches that end at ``cuts`` and return the bytes."""
    with CanonicalWriter(path, SCHEMA) as writer:
        start = 0
        for cut in [*cuts, len(rows)]:
            writer.write(pa.RecordBatch.from_pylist(rows[start:cut], SCHEMA))
            start = cut
    return path.read_bytes()


@pytest.fixture
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canonical, "ROW_GROUP_ROWS", 700)
    monkeypatch.setattr(canonical, "ROW_GROUP_BYTES", 100_000)
    monkeypatch.setattr(canonical, "ROW_GROUP_LEAST_BYTES", 30_000)
    monkeypatch.setattr(canonical, "CUT_BYTES", 1 << 14)


@pytest.mark.usefixtures("small_groups")
def test_file_does_not_depend_on_batch_sizes(tmp_path: Path) -> None:
    rows = some_rows(5000)
    whole = write(tmp_path / "whole", rows, [])
    assert pq.read_metadata(tmp_path / "whole").num_row_groups > 5
    rng = random.Random(2)
    for number in range(8):
        cuts = sorted(rng.choices(range(5000), k=rng.choice([1, 5, 50, 700])))
        assert write(tmp_path / str(number), rows, cuts) == whole
    assert list(iter_rows(tmp_path / "whole")) == rows


@pytest.mark.usefixtures("small_groups")
def test_file_does_not_depend_on_slicing_of_a_large_batch(tmp_path: Path) -> None:
    rows = some_rows(3000)
    whole = write(tmp_path / "whole", rows, [])
    batch = pa.RecordBatch.from_pylist(rows, SCHEMA)
    with CanonicalWriter(tmp_path / "sliced", SCHEMA) as writer:
        for start in range(0, 3000, 77):
            writer.write(batch.slice(start, 77))
    assert (tmp_path / "sliced").read_bytes() == whole


def test_file_with_full_size_row_groups_does_not_depend_on_batch_sizes(tmp_path: Path) -> None:
    """Use large row groups: only these have several 1 MiB pages, which could depend on batches."""
    rng = random.Random(4)
    words = [f"w{rng.randrange(10**6)}" for _ in range(2000)]
    rows = [
        {
            "messages": [
                {"role": "user", "content": " ".join(rng.choices(words, k=rng.randrange(90)))}
                for _ in range(rng.randrange(4))
            ],
            "note": " ".join(rng.choices(words, k=20)),
            "score": 0.0,
            "good": True,
        }
        for _ in range(12_000)
    ]
    whole = write(tmp_path / "whole", rows, [])
    for count in (3, 40, 500):
        cuts = sorted(rng.choices(range(len(rows)), k=count))
        assert write(tmp_path / str(count), rows, cuts) == whole


def test_row_group_ends_at_the_size_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canonical, "CUT_BYTES", 1 << 32)  # No hash ends a row group.
    rows = [{"messages": None, "note": "x" * 1_000_000, "score": 0.0, "good": True}] * 15
    write(tmp_path / "file", rows, [])
    meta = pq.read_metadata(tmp_path / "file")
    groups = [meta.row_group(i).num_rows for i in range(meta.num_row_groups)]
    per_group = -(-canonical.ROW_GROUP_BYTES // 1_000_000)
    assert groups == [per_group, per_group, 15 - 2 * per_group]


def test_file_does_not_contain_the_library_version(tmp_path: Path) -> None:
    content = write(tmp_path / "file", some_rows(10), [])
    assert pa.__version__.encode() not in content
    assert b"parquet-cpp" not in content
    meta = pq.read_metadata(tmp_path / "file")
    assert meta.created_by == "aiplatform version 2"
    assert b"ARROW:schema" not in meta.metadata


def test_file_written_by_another_process_is_identical(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from tests.data.test_canonical import *;"
        "sys.stdout.buffer.write(write(Path(sys.argv[1]), some_rows(500), [3]))"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "theirs")]
    root = Path(__file__).parents[2]
    theirs = subprocess.run(command, cwd=root, capture_output=True, check=True).stdout
    assert theirs == write(tmp_path / "ours", some_rows(500), [])


def test_files_that_share_rows_share_bytes(tmp_path: Path) -> None:
    """Check that the content decides where row groups end: an inserted row changes few bytes."""
    rng = random.Random(3)
    letters = "abcdefghijklmnopqrstuvwxyz"
    rows = [
        {
            "messages": None,
            "note": "".join(rng.choices(letters, k=3000)),
            "score": 1.0,
            "good": True,
        }
        for _ in range(3000)
    ]
    before = write(tmp_path / "before", rows, [])
    after = write(tmp_path / "after", [*rows[:100], rows[0], *rows[100:]], [])
    pieces = [before[at : at + 4096] for at in range(0, len(before), 4096)]
    found = sum(piece in after for piece in pieces)
    assert found > 0.8 * len(pieces)


def test_metadata_contains_row_count_shape_and_format(tmp_path: Path) -> None:
    write(tmp_path / "file", some_rows(10), [])
    assert row_count(tmp_path / "file") == 10
    assert shape_of(tmp_path / "file") is DataShape.CHAT
    assert format_of_schema(pq.read_schema(tmp_path / "file")) is DataFormat.JSONL


@pytest.mark.usefixtures("small_groups")
def test_read_rows_returns_any_page(tmp_path: Path) -> None:
    rows = some_rows(3000)
    write(tmp_path / "file", rows, [])
    for offset, limit in [
        (0, 1),
        (0, 10),
        (690, 30),
        (699, 1),
        (1000, 1500),
        (2990, 50),
        (0, 5000),
    ]:
        assert read_rows(tmp_path / "file", offset, limit) == rows[offset : offset + limit]
    assert read_rows(tmp_path / "file", 3000, 10) == []
    assert read_rows(tmp_path / "file", 10, 0) == []


@pytest.mark.usefixtures("small_groups")
def test_read_rows_reads_only_the_row_groups_of_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "file", some_rows(3000), [])
    read: list[int] = []
    real = pq.ParquetFile.read_row_group
    monkeypatch.setattr(
        pq.ParquetFile,
        "read_row_group",
        lambda self, i, **more: (read.append(i), real(self, i, **more))[1],
    )
    first = sum(pq.read_metadata(tmp_path / "file").row_group(i).num_rows for i in range(4))
    read_rows(tmp_path / "file", first, 10)
    assert read == [4]


@pytest.mark.usefixtures("small_groups")
def test_given_footer_is_not_read_again(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write(path, some_rows(3000), [])
    footer = pq.read_metadata(path)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - footer.serialized_size // 2)
    rows = rows_from(path, 1500, footer=footer)
    assert next(rows) == some_rows(3000)[1500]
    assert rows_at(path, [2, 1], footer=footer) == [some_rows(3000)[2], some_rows(3000)[1]]


@pytest.mark.usefixtures("small_groups")
def test_iter_batches_never_joins_row_groups(tmp_path: Path) -> None:
    write(tmp_path / "file", some_rows(2000), [])
    meta = pq.read_metadata(tmp_path / "file")
    groups = [meta.row_group(i).num_rows for i in range(meta.num_row_groups)]
    assert [batch.num_rows for batch in iter_batches(tmp_path / "file")] == groups


@pytest.mark.usefixtures("small_groups")
def test_iter_batches_returns_the_chosen_columns(tmp_path: Path) -> None:
    rows = some_rows(2000)
    write(tmp_path / "file", rows, [])
    batches = list(iter_batches(tmp_path / "file", ["good", "note"]))
    assert {tuple(b.schema.names) for b in batches} == {("good", "note")}
    assert [v for b in batches for v in b.column("good").to_pylist()] == [r["good"] for r in rows]


def test_file_is_readable_by_other_libraries(tmp_path: Path) -> None:
    rows = some_rows(50)
    write(tmp_path / "file", rows, [])
    assert pq.read_table(tmp_path / "file").to_pylist() == rows
    assert pl.read_parquet(tmp_path / "file").to_dicts() == rows


def test_export_jsonl_returns_the_uploaded_rows(upload: Upload) -> None:
    call = {"role": "assistant", "content": None, "tool_calls": [{"n": 10**25}]}
    rows = [
        {
            "messages": [{"role": "user", "content": "\u2028 \x00 \U0001f600"}],
            "meta": {"b": [1, {}]},
        },
        {"messages": [call], "meta": {"a": None, "n": 10**30}},
        {"messages": [], "meta": "mixed"},
        {"messages": None, "meta": None},
    ]
    assert upload(jsonl(*rows), "x.jsonl") == rows
    assert lines(export_jsonl(upload.output)) == rows


def test_export_jsonl_writes_non_finite_numbers_as_text(upload: Upload) -> None:
    upload(b'{"a":NaN,"n":1}\n{"a":1.5}\n{"a":-1e999}\n{"a":null}\n', "x.jsonl")
    exported = b"".join(export_jsonl(upload.output))
    assert lines([exported]) == [
        {"a": "NaN", "n": 1},
        {"a": 1.5, "n": None},
        {"a": "-Infinity", "n": None},
        {"a": None, "n": None},
    ]


def test_export_jsonl_yields_pieces_of_whole_lines(tmp_path: Path) -> None:
    rows = some_rows(5000)
    write(tmp_path / "file", rows, [])
    pieces = list(export_jsonl(tmp_path / "file"))
    assert len(pieces) >= 5
    assert all(piece.endswith(b"\n") for piece in pieces)
    assert lines(pieces) == rows


def test_writer_passes_on_the_error_inside_its_block(tmp_path: Path) -> None:
    def write_and_fail() -> None:
        with CanonicalWriter(tmp_path / "file", SCHEMA) as writer:
            writer.write(pa.RecordBatch.from_pylist(some_rows(3), SCHEMA))
            raise RuntimeError("the cause")

    with pytest.raises(RuntimeError, match="the cause"):
        write_and_fail()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux only")
def test_ingest_on_a_full_disk_raises_os_error_and_leaves_no_output(
    upload: Upload, tmp_path: Path
) -> None:
    full = tmp_path / "rows.parquet.partial"
    full.symlink_to("/dev/full")
    with pytest.raises(OSError, match=re.compile("space left", re.IGNORECASE)):
        upload(jsonl(*({"a": "x" * 1000, "b": n} for n in range(20_000))), "x.jsonl")
    assert not (tmp_path / "rows.parquet").exists()


def test_row_group_ends_are_stable_across_releases(tmp_path: Path) -> None:
    """Check that the ends never change, so that new versions share row groups with old ones."""
    path = tmp_path / "rows.parquet"
    write(path, some_rows(30_000, seed=3), [7, 12_345, 12_346, 29_000])
    with pq.ParquetFile(path) as file:
        groups = [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)]
    assert groups == [7887, 15272, 6841]


def test_writer_hash_and_size_equal_those_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    with CanonicalWriter(path, SCHEMA) as writer:
        for seed in range(4):
            writer.write(pa.RecordBatch.from_pylist(some_rows(9000, seed), SCHEMA))
        writer.write(pa.RecordBatch.from_pylist([], SCHEMA))
    assert writer.rows == 36_000
    assert (writer.sha256, writer.size) == hash_file(path)


def test_writer_without_rows_has_the_hash_of_its_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    with CanonicalWriter(path, SCHEMA) as writer:
        pass
    assert (writer.sha256, writer.size) == hash_file(path)
