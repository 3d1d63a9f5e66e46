"""Write the canonical Parquet file of a dataset version deterministically; read it in parts.

Equal rows in equal columns give equal bytes, so a version is named by the hash of its file. The
file does not contain its time of creation or the version of the Parquet library. The content of the
rows decides where a row group ends, within limits for rows and bytes; the sizes of the input
batches have no influence. Therefore files that share rows share row groups, even if rows were
inserted before them. Pages are not compressed, because the store compresses row groups itself, and
stores each only once (see :mod:`~aiplatform.data.parts`).

Columns contain text, booleans, 64-bit integers, double precision numbers, or conversations (see
:mod:`~aiplatform.data.conversations`). Nested and mixed values are JSON text; the metadata key
``aiplatform.json`` lists those columns. Dates and times are ISO 8601 text; ``aiplatform.dated``
names those columns, if there are any. ``aiplatform.shape`` is the shape of the rows, and
``aiplatform.format`` the format of the first upload.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from aiplatform.data.column_kinds import has_extra
from aiplatform.data.conversations import EXTRA
from aiplatform.data.json_text import json_text, parse_json_text
from aiplatform.data.limits import MIB
from aiplatform.data.row_hashes import Hashes, Sizes, list_bounds, row_hashes, text_lengths
from aiplatform.protocol.enums import DataFormat, DataShape

ROW_GROUP_ROWS = 32_768
ROW_GROUP_BYTES = 6 * MIB
"""Largest content of a row group, in bytes.

To read a page of rows, one row group is decoded, which takes about 10 ms.
"""

ROW_GROUP_LEAST_BYTES = 2 * MIB
"""Content of a row group, in bytes, above which the hash of a row may end the group."""

CUT_BYTES = MIB
"""Average number of bytes between rows whose hash ends a row group."""

LOOKED_ROWS = 4096
"""Number of rows hashed at a time to find the end of a row group; most rows need no hash."""

FIXED_BYTES = 8
"""Number of bytes counted for any value other than text."""

DICTIONARY_COLUMNS = (
    *(f"{c}.list.element.role" for c in ("messages", "prompt", "completion", "chosen", "rejected")),
    "conversations.list.element.from",
    "label",
)

WRITTEN_BY = b"parquet-cpp-arrow version "
CREATED_BY = b"aiplatform version 2"


class CanonicalWriter:
    """A context manager that writes record batches of one schema to a canonical Parquet file.

    A separate thread encodes each row group while the next one is parsed.

    Attributes:
        path: The file to write.
        rows: The number of rows written.
        sha256: The hash of the file in hexadecimal, once it is complete.
        size: The size of the file in bytes, once it is complete.
    """

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.path = path
        self.rows = 0
        self.sha256 = ""
        self.size = 0
        self._digest = hashlib.sha256()
        self._read = bytearray(MIB)
        self._schema = schema
        self._batches: list[pa.RecordBatch] = []
        self._group_rows = 0
        self._group_bytes = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="parquet")
        self._in_flight: Future[None] | None = None
        self._writer = pq.ParquetWriter(
            path,
            schema,
            version="2.6",
            data_page_version="1.0",
            compression="none",
            use_dictionary=list(DICTIONARY_COLUMNS),
            data_page_size=MIB,
            write_batch_size=1024,
            store_schema=False,
            write_statistics=True,
        )
        # Only the platform's metadata is written (``store_schema=False``): Arrow's own copy of the
        # schema may change with its version.
        self._writer.add_key_value_metadata(dict(sorted((schema.metadata or {}).items())))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._write_group()
                self._wait()
        finally:
            self._thread.shutdown(wait=True)
            self._writer.close()
        if kind is None:
            _stamp(self.path)
            self._hash_written()
            self.sha256 = self._digest.hexdigest()

    def write(self, batch: pa.RecordBatch) -> None:
        """Add the rows of a batch that has the writer's schema."""
        if not batch.num_rows:
            return
        self.rows += batch.num_rows
        sizes = row_sizes(batch)
        running = np.cumsum(sizes)
        first, before = 0, 0
        while first < batch.num_rows:
            # The group ends with the row that fills it or, beyond the smallest size, with the first
            # row whose hash is below its limit (see _chance).
            room = before - self._group_bytes
            last = min(
                int(np.searchsorted(running, room + ROW_GROUP_BYTES)),
                first + ROW_GROUP_ROWS - self._group_rows - 1,
            )
            least = int(np.searchsorted(running, room + ROW_GROUP_LEAST_BYTES))
            bound = min(last, batch.num_rows - 1)
            chosen = _first_choosing(batch, sizes, max(least, first), bound)
            if chosen is not None:
                last = chosen
            is_end = last < batch.num_rows
            last = min(last, batch.num_rows - 1)
            self._batches.append(batch.slice(first, last + 1 - first))
            self._group_rows += last + 1 - first
            self._group_bytes += int(running[last]) - before
            first, before = last + 1, int(running[last])
            if is_end:
                self._write_group()

    def _write_group(self) -> None:
        if not self._batches:
            return
        table = pa.Table.from_batches(self._batches, self._schema)
        self._batches, self._group_rows, self._group_bytes = [], 0, 0
        self._wait()
        self._in_flight = self._thread.submit(self._encode, table)

    def _encode(self, table: pa.Table) -> None:
        # One contiguous array per column: Parquet pages would show where the batches ended.
        self._writer.write_table(table.combine_chunks(), row_group_size=ROW_GROUP_ROWS)
        self._hash_written()

    def _hash_written(self) -> None:
        """Hash the bytes that were added to the file.

        This happens after each row group, while the bytes are in the page cache and this thread is
        otherwise idle. Bytes outside the footer never change once they are written.
        """
        with self.path.open("rb", buffering=0) as file:
            file.seek(self.size)
            while count := file.readinto(self._read):
                self._digest.update(memoryview(self._read)[:count])
                self.size += count

    def _wait(self) -> None:
        if self._in_flight is not None:
            self._in_flight.result()
            self._in_flight = None


def row_sizes(batch: pa.RecordBatch) -> Sizes:
    """Return the content size in bytes of each row, regardless of the layout of the batch."""
    total: Sizes = np.zeros(batch.num_rows, np.int64)
    for column in batch.columns:
        if pa.types.is_string(column.type):
            total += text_lengths(column)
        elif pa.types.is_list(column.type):
            offsets, messages = list_bounds(column)
            running = np.zeros(len(messages) + 1, np.int64)
            for part in messages.flatten():
                running[1:] += text_lengths(part)
            total += np.diff(np.cumsum(running)[offsets])
        else:
            total += FIXED_BYTES
    return total


def _first_choosing(batch: pa.RecordBatch, sizes: Sizes, first: int, last: int) -> int | None:
    """Return the index of the first row from ``first`` to ``last`` whose hash ends a row group.

    Returns None if no row does.
    """
    for start in range(first, last + 1, LOOKED_ROWS):
        some = slice(start, min(start + LOOKED_ROWS, last + 1))
        hashes = row_hashes(batch.slice(start, some.stop - start))
        chosen = np.flatnonzero(hashes < _chance(sizes[some]))
        if len(chosen):
            return start + int(chosen[0])
    return None


def _chance(sizes: Sizes) -> Hashes:
    """Return the hash limit of each row: a row whose hash is below its limit ends a row group.

    The limit grows with the size of the row, so that long rows end row groups more often than
    short ones.
    """
    chance: Hashes = np.minimum(sizes, CUT_BYTES).astype(np.uint64)
    return chance * np.uint64(2**32 // CUT_BYTES)


def row_group_starts(path: Path) -> list[int]:
    """Return the offset of the first byte of each row group."""
    metadata = pq.read_metadata(path)
    starts = []
    for number in range(metadata.num_row_groups):
        first = metadata.row_group(number).column(0)
        starts.append(first.dictionary_page_offset or first.data_page_offset)
    return starts


def _stamp(path: Path) -> None:
    """Replace the name and version of the Parquet library in the footer.

    The footer is a Thrift structure in the compact protocol; the library's name is its last string,
    preceded by its length in one byte.
    """
    with path.open("r+b") as file:
        file.seek(-8, os.SEEK_END)
        length = int.from_bytes(file.read(4), "little")
        start = file.seek(-8 - length, os.SEEK_END)
        footer = file.read(length)
        at = footer.rfind(WRITTEN_BY)
        if at > 0:
            end = at + footer[at - 1]
            footer = footer[: at - 1] + bytes([len(CREATED_BY)]) + CREATED_BY + footer[end:]
            file.seek(start)
            file.write(footer + len(footer).to_bytes(4, "little") + b"PAR1")
            file.truncate()


def row_count(path: Path) -> int:
    """Return the number of rows; only the footer is read."""
    return int(pq.read_metadata(path).num_rows)


def metadata_of(schema: pa.Schema) -> dict[str, str]:
    """Return the metadata of a canonical schema, with the prefix removed from the keys."""
    prefix = b"aiplatform."
    return {
        key.removeprefix(prefix).decode(): value.decode()
        for key, value in (schema.metadata or {}).items()
        if key.startswith(prefix)
    }


def json_columns(schema: pa.Schema) -> list[str]:
    """Return the names of the columns whose values are JSON text."""
    named: list[str] = json.loads(metadata_of(schema).get("json", "[]"))
    return [name for name in named if name in schema.names]


def dated_columns(schema: pa.Schema) -> dict[str, str]:
    """Return the type (``date`` or ``timestamp``) of each text column that holds dates or times."""
    named: dict[str, str] = json.loads(metadata_of(schema).get("dated", "{}"))
    return {name: label for name, label in named.items() if name in schema.names}


def shape_of_schema(schema: pa.Schema) -> DataShape:
    """Return the shape of the rows."""
    return DataShape(metadata_of(schema)["shape"])


def format_of_schema(schema: pa.Schema) -> DataFormat:
    """Return the format of the first upload."""
    return DataFormat(metadata_of(schema)["format"])


def empty_columns(path: Path) -> set[str]:
    """Return the names of columns without a value in any row; nested columns are never included.

    Only the footer is read.
    """
    with pq.ParquetFile(path) as file:
        nested = {f.name for f in file.schema_arrow if pa.types.is_nested(f.type)}
        empty = set(file.schema_arrow.names) - nested
        for group in range(file.metadata.num_row_groups):
            group_metadata = file.metadata.row_group(group)
            for number in range(group_metadata.num_columns):
                column = group_metadata.column(number)
                missing = column.statistics.null_count if column.statistics else None
                if missing != column.num_values:
                    empty.discard(column.path_in_schema)
    return empty


def shape_of(path: Path) -> DataShape:
    """Return the shape of the rows of a file."""
    return shape_of_schema(pq.read_schema(path))


def iter_batches(path: Path, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Yield the rows in order, at most one row group at a time; :func:`rows_of` decodes them."""
    with pq.ParquetFile(path) as file:
        metadata = file.schema_arrow.metadata
        names = None if columns is None else list(columns)
        for group in range(file.metadata.num_row_groups):
            # One group at a time: otherwise a batch could contain large rows of many groups, and
            # Arrow would read ahead through the whole file.
            for batch in file.iter_batches(
                ROW_GROUP_ROWS, row_groups=[group], columns=names, use_threads=False
            ):
                yield batch.replace_schema_metadata(metadata)


def iter_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows in order, as they were uploaded; absent values are None."""
    for batch in iter_batches(path):
        yield from rows_of(batch)


def export_jsonl(path: Path) -> Iterator[bytes]:
    """Yield the rows as JSON Lines, a few hundred KiB at a time; absent values are ``null``."""
    for batch in iter_batches(path):
        for start in range(0, batch.num_rows, 1024):
            part = batch.slice(start, 1024)
            if _any_non_finite(part):
                lines = [json_text(row).encode() for row in rows_of(part)]
            else:
                lines = _fast_lines(part)
            yield b"\n".join(lines) + b"\n"


def rows_of(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """Return the rows of a canonical batch, as they were uploaded."""
    rows: list[dict[str, Any]] = batch.to_pylist()
    for name in json_columns(batch.schema):
        for row in rows:
            if row[name] is not None:
                row[name] = parse_json_text(row[name])
    _merge_extras(batch, rows)
    return rows


def _fast_lines(batch: pa.RecordBatch) -> list[bytes]:
    """Return the rows as lines of JSON; JSON text in columns is inserted without being parsed."""
    rows = batch.to_pylist()
    for name in json_columns(batch.schema):
        for row in rows:
            if row[name] is not None:
                row[name] = orjson.Fragment(row[name])
    _merge_extras(batch, rows)
    try:
        return [orjson.dumps(row) for row in rows]
    except orjson.JSONEncodeError:  # An integer beyond 64 bits in the extras of a message.
        return [json_text(row).encode() for row in rows_of(batch)]


def _merge_extras(batch: pa.RecordBatch, rows: list[dict[str, Any]]) -> None:
    for field in batch.schema:
        if not has_extra(field.type):
            continue
        for row in rows:
            for message in row[field.name] or ():
                extra = message.pop(EXTRA)
                if extra is not None:
                    message.update(parse_json_text(extra))


def _any_non_finite(batch: pa.RecordBatch) -> bool:
    return any(
        pa.types.is_floating(column.type)
        and pc.all(pc.is_finite(column), skip_nulls=True).as_py() is False
        for column in batch.columns
    )
