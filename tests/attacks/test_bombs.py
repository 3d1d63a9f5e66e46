"""Attack: small files that unpack to huge data.

The files use dictionaries, run lengths, views, prefixes, nested lists and compression.
"""

import gzip
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import Api
from tests.matrix.world import World

PROGRAM = [sys.executable, "-P", "-m", "aiplatform.data.ingest"]

MANY = 100_000
LONG = "x" * 200_000
"""Text of 200 kB; :data:`MANY` rows of it take 20 GB."""

MOST_MEMORY_MB = 1200
"""Memory limit of the upload parser in MiB; most of the bombs would take 10 GB or more."""

Bomb = Callable[[Path], None]


def repeated(value: pa.Array, rows: int = MANY) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int8)), value)


def parquet(table: dict[str, pa.Array], path: Path, **options: Any) -> None:
    options = {"compression": "zstd", "write_statistics": False, **options}
    pq.write_table(pa.table(table), path, dictionary_pagesize_limit=1 << 30, **options)


def arrow(columns: dict[str, pa.Array], path: Path, compression: str | None = "zstd") -> None:
    batch = pa.record_batch(list(columns.values()), names=list(columns))
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(
        file, batch.schema, options=options
    ) as writer:  # fmt: skip
        writer.write_batch(batch)


def parquet_dictionary(path: Path) -> None:
    parquet({"text": repeated(pa.array([LONG]))}, path)


def parquet_dictionary_without_its_type(path: Path) -> None:
    """Write a dictionary without Arrow's schema, so that Arrow reads it as plain, expanded text."""
    parquet({"text": repeated(pa.array([LONG]))}, path, store_schema=False)


def parquet_long_dictionary(path: Path) -> None:
    value = pa.array(["x" * 10_000_000])
    parquet({"text": repeated(value, 4096)}, path, store_schema=False)


def parquet_dictionary_in_lists(path: Path) -> None:
    values = repeated(pa.array([LONG]))
    column = pa.ListArray.from_arrays(pa.array(np.arange(0, MANY + 1, 50, np.int32)), values)
    parquet({"row": column}, path, store_schema=False)


def parquet_prefixes(path: Path) -> None:
    """Write rows of text, each encoded as a repetition of the previous row."""
    table = pa.table({"text": pa.array(["x" * 500_000] * 100)})
    with pq.ParquetWriter(
        path, table.schema, compression="zstd", use_dictionary=False, write_statistics=False,
        column_encoding={"text": "DELTA_BYTE_ARRAY"},
    ) as writer:  # fmt: skip
        for _ in range(8):
            writer.write_table(table)


def parquet_runs(path: Path) -> None:
    zeros = pa.array(np.zeros(2_000_000, np.int64))
    parquet({f"c{n}": zeros for n in range(50)}, path)


def parquet_nulls(path: Path) -> None:
    nothing = pa.nulls(20_000_000, pa.bool_())
    parquet({f"c{n}": nothing for n in range(20)}, path)


def parquet_zeros_in_gzip(path: Path) -> None:
    """Write a bomb whose unpacked file is padded with zeros.

    The padding makes the unpacked file large, so that its rows look small in comparison.
    """
    inside = io.BytesIO()
    pq.write_table(
        pa.table({"text": repeated(pa.array([LONG]))}), inside, compression="zstd",
        dictionary_pagesize_limit=1 << 30,
    )  # fmt: skip
    data = inside.getvalue()
    # Readers find the footer from the end of the file, so zeros before it have no other effect.
    footer = int.from_bytes(data[-8:-4], "little") + 8
    path.write_bytes(gzip.compress(data[:-footer] + bytes(200 << 20) + data[-footer:], 9))


def arrow_dictionary(path: Path) -> None:
    arrow({"text": repeated(pa.array([LONG]))}, path)


def arrow_compressed(path: Path) -> None:
    zeros = pa.array(np.zeros(4_000_000, np.int64))
    arrow({f"c{n}": zeros for n in range(12)}, path)


def arrow_dictionary_in_structs(path: Path) -> None:
    column = pa.StructArray.from_arrays([repeated(pa.array([LONG]))], ["a"])
    arrow({"row": column}, path)


def arrow_nested_nulls(path: Path) -> None:
    """Write a list of 2,000,000,000 nulls, which takes no space in the file."""
    values = pa.Array.from_buffers(pa.null(), 2_000_000_000, [None])
    column = pa.ListArray.from_arrays(pa.array([0, 2_000_000_000], pa.int32()), values)
    arrow({"row": column}, path)


def arrow_endless_nulls(path: Path) -> None:
    arrow({"row": pa.Array.from_buffers(pa.null(), 2**31 - 1, [None])}, path, None)


def arrow_views(path: Path) -> None:
    """Write rows that are all views of the same text."""
    text = LONG.encode()
    view = np.frombuffer(
        len(text).to_bytes(4, "little") + text[:4] + bytes(8), np.uint8
    )  # fmt: skip
    views = pa.py_buffer(np.tile(view, MANY).tobytes())
    column = pa.Array.from_buffers(
        pa.string_view(), MANY, [None, views, pa.py_buffer(text)]
    )  # fmt: skip
    arrow({"text": column}, path)


def arrow_list_views(path: Path) -> None:
    values = pa.array(np.zeros(100_000, np.int64))
    offsets = pa.array(np.zeros(MANY, np.int32))
    sizes = pa.array(np.full(MANY, 100_000, np.int32))
    arrow({"row": pa.ListViewArray.from_arrays(offsets, sizes, values)}, path)


def arrow_unions(path: Path) -> None:
    types, offsets = pa.array(np.zeros(MANY, np.int8)), pa.array(np.zeros(MANY, np.int32))
    arrow({"row": pa.UnionArray.from_dense(types, offsets, [pa.array([LONG])])}, path)


def json_lines_in_gzip(path: Path) -> None:
    path.write_bytes(gzip.compress(b'{"text": "xxxxxxxxxxxxxxxxxxxxxxxxxxx"}\n' * 262_144) * 40)


def csv_in_gzip(path: Path) -> None:
    path.write_bytes(
        gzip.compress(b"a,b\n") + gzip.compress(b"%s,0\n" % (b"x" * 997) * 10_000) * 40
    )


BOMBS: list[tuple[Bomb, str]] = [
    (parquet_dictionary, "x.parquet"),
    (parquet_dictionary_without_its_type, "x.parquet"),
    (parquet_long_dictionary, "x.parquet"),
    (parquet_dictionary_in_lists, "x.parquet"),
    (parquet_prefixes, "x.parquet"),
    (parquet_runs, "x.parquet"),
    (parquet_nulls, "x.parquet"),
    (parquet_zeros_in_gzip, "x.parquet.gz"),
    (arrow_dictionary, "x.arrow"),
    (arrow_dictionary_in_structs, "x.arrow"),
    (arrow_compressed, "x.arrow"),
    (arrow_endless_nulls, "x.arrow"),
    (arrow_views, "x.arrow"),
    (arrow_list_views, "x.arrow"),
    (arrow_unions, "x.arrow"),
    (json_lines_in_gzip, "x.jsonl.gz"),
    (csv_in_gzip, "x.csv.gz"),
]


MEASURED = """
import json, resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE, check=True)
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(json.dumps({"answer": json.loads(done.stdout), "peak": peak // 1024}))
"""


def refused(path: Path, name: str, *options: str) -> tuple[dict[str, Any], int]:
    """Run the program that parses uploads; return its answer and its peak memory in MiB.

    A small intermediate process starts the program because, on Linux, the peak memory of a child
    process includes the memory that its parent had at the start. The process that runs the tests
    may itself use more than the limit.
    """
    command = [
        *PROGRAM, f"--input={path}", f"--output={path.with_name('rows.parquet')}",
        f"--filename={name}", *options,
    ]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *command], stdout=subprocess.PIPE, check=True
    )
    found = json.loads(done.stdout)
    return found["answer"], found["peak"]


@pytest.mark.parametrize(("make", "name"), BOMBS, ids=lambda given: getattr(given, "__name__", ""))
def test_bomb_is_refused_within_the_memory_limit(tmp_path: Path, make: Bomb, name: str) -> None:
    path = tmp_path / "upload"
    make(path)
    answer, peak = refused(path, name)
    assert (answer["ok"], answer["reason"]) == (False, "bomb"), answer
    assert "AIPLATFORM_INGEST_RATIO" in answer["message"]
    assert "AIPLATFORM_INGEST_RATIO" in answer["message_zh"]
    assert peak < MOST_MEMORY_MB
    assert list(tmp_path.iterdir()) == [path]


def test_list_with_too_many_values_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "upload"
    arrow_nested_nulls(path)
    answer, peak = refused(path, "x.arrow")
    assert (answer["ok"], answer["reason"]) == (False, "values_too_many"), answer
    assert "“row”" in answer["message"]
    assert peak < MOST_MEMORY_MB
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.slow
def test_rows_with_missing_columns_take_little_memory(tmp_path: Path) -> None:
    """Check rows of two bytes that lack all 1999 columns of the first row."""
    path = tmp_path / "upload"
    wide = json.dumps({f"c{n}": "x" for n in range(1999)}).encode()
    path.write_bytes(wide + b"\n" + b"{}\n" * 120_000)
    answer, peak = refused(path, "x.jsonl")
    assert (answer["ok"], answer["rows"]) == (True, 120_001)
    assert peak < MOST_MEMORY_MB


def test_upload_of_bomb_is_refused_and_leaves_no_file(owner: Api, world: World, home: Path) -> None:
    made = io.BytesIO()
    pq.write_table(
        pa.table({"text": repeated(pa.array([LONG]))}), made, compression="zstd",
        dictionary_pagesize_limit=1 << 30, write_statistics=False,
    )  # fmt: skip
    bomb = made.getvalue()
    assert len(bomb) < 1000

    def files() -> set[Path]:
        return {path for path in home.rglob("*") if path.is_file() and "turns" not in path.parts}

    before = files()
    answer = owner.post(
        f"projects/{world.params['project']}/datasets",
        params={"name": "bomb", "filename": "x.parquet"},
        content=bomb,
    )
    assert answer.status_code == 422, answer.text
    assert answer.json()["code"] == "dataset.malformed"
    assert "AIPLATFORM_INGEST_RATIO" in answer.json()["detail"]
    assert files() == before
