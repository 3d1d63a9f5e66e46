"""Reader of Parquet; :mod:`~aiplatform.data.formats.type_conversion` converts the typed columns."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from aiplatform.data.canonical import json_columns, metadata_of
from aiplatform.data.chunk import Chunk, Values, check_names
from aiplatform.data.column_kinds import has_extra
from aiplatform.data.conversations import EXTRA
from aiplatform.data.errors import MalformedData
from aiplatform.data.formats.source_file import Meter
from aiplatform.data.formats.type_conversion import LEAST_BYTES, batch_rows, chunks_of
from aiplatform.data.limits import COLUMNAR_BOMB_RATIO, MIB
from aiplatform.data.quarantine import Quarantine

MAX_HEADER_BYTES = 1 << 24
"""Largest size of a page header; the same limit as in Arrow."""

FIRST_READ_BYTES = 256
MAX_THRIFT_DEPTH = 16

DICTIONARY_PAGE = 2
TYPE, UNCOMPRESSED, COMPRESSED = 1, 2, 3
COUNTED_IN = (5, 7, 8)
"""Field numbers of the headers that contain a number of values.

They belong to data pages, dictionary pages and data pages of version 2.
"""

TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(1, 13)


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a Parquet column chunk, described by its header.

    Attributes:
        is_dictionary: True for a dictionary page.
        size: The unpacked size in bytes.
        values: The number of values.
    """

    is_dictionary: bool
    size: int
    values: int


class BrokenHeaderError(ValueError):
    """A page header is not valid."""


def pages_of(file: BinaryIO, start: int, length: int) -> Iterator[Page]:
    """Yield the pages of the column chunk at ``start``.

    Raises:
        BrokenHeaderError: a header can't be read.
    """
    end = start + length
    while start < end:
        fields, size = _header_at(file, start, end)
        try:
            unpacked, packed = fields[UNCOMPRESSED], fields[COMPRESSED]
        except KeyError:
            raise BrokenHeaderError("a page header lacks its sizes") from None
        if unpacked < 0 or packed < 0:
            raise BrokenHeaderError("a page header has a negative size")
        yield Page(fields.get(TYPE) == DICTIONARY_PAGE, unpacked, fields.get(-1, 0))
        start += size + packed


def _header_at(file: BinaryIO, start: int, end: int) -> tuple[dict[int, int], int]:
    wanted = FIRST_READ_BYTES
    while True:
        file.seek(start)
        data = file.read(min(wanted, end - start))
        reader = _Thrift(data)
        try:
            return reader.header(), reader.at
        except IndexError:
            if wanted >= MAX_HEADER_BYTES or len(data) < wanted:
                raise BrokenHeaderError("a page header is cut off") from None
            wanted *= 16


class _Thrift:
    """A parser for a single page header."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def header(self) -> dict[int, int]:
        """Return the fields of type i32 by number, and the number of values under the key -1."""
        found: dict[int, int] = {}
        for field, kind in self._fields():
            if kind == I32:
                found[field] = self._signed()
            elif kind == STRUCT and field in COUNTED_IN:
                for inner, inner_kind in self._fields():
                    if inner == 1 and inner_kind == I32:
                        found[-1] = self._signed()
                    else:
                        self._skip(inner_kind, 1)
            else:
                self._skip(kind, 0)
        return found

    def _fields(self) -> Iterator[tuple[int, int]]:
        field = 0
        while True:
            head = self._byte()
            if head == 0:
                return
            field = field + (head >> 4) if head >> 4 else self._signed()
            yield field, head & 0x0F

    def _byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def _unsigned(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
            if shift > 63:
                raise BrokenHeaderError("a page header holds a number of more than 64 bits")

    def _signed(self) -> int:
        value = self._unsigned()
        return (value >> 1) ^ -(value & 1)

    def _skip(self, kind: int, depth: int) -> None:
        if depth > MAX_THRIFT_DEPTH:
            raise BrokenHeaderError("a page header is nested too deep")
        match kind:
            case _ if kind in {TRUE, FALSE}:
                pass
            case _ if kind == BYTE:
                self.at += 1
            case _ if kind in {I16, I32, I64}:
                self._unsigned()
            case _ if kind == DOUBLE:
                self.at += 8
            case _ if kind == BINARY:
                length = self._unsigned()
                self.at += length
            case _ if kind == STRUCT:
                for _, inner in self._fields():
                    self._skip(inner, depth + 1)
            case _:
                # A page header has no lists, sets or maps.
                raise BrokenHeaderError("a page header holds what none has")
        if self.at > len(self.data):
            raise IndexError


class CanonicalJson:
    """The JSON text columns of a Parquet file that, according to its schema, the platform wrote.

    The file may have been changed since, or only claim to be canonical. Therefore a value that is
    not valid JSON is left unchanged.
    """

    def __init__(self, schema: pa.Schema) -> None:
        try:
            ours = "version" in metadata_of(schema)
            self._json = json_columns(schema) if ours else []
        except ValueError:
            ours, self._json = False, []
        self._extras = [f.name for f in schema if has_extra(f.type)] if ours else []

    def restore(self, chunk: Chunk) -> Chunk:
        """Return a chunk in which JSON text is replaced by nested values."""
        if not self._json and not self._extras:
            return chunk
        columns = dict(chunk.columns)
        for name in self._json:
            columns[name] = [_parsed(value) for value in _plain(columns[name])]
        for name in self._extras:
            columns[name] = [_with_extras(value) for value in _plain(columns[name])]
        return replace(chunk, columns=columns)


def _plain(values: Values) -> list[Any]:
    return values.to_pylist() if isinstance(values, pa.Array) else values


def _parsed(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value, parse_constant=_no_json)
    except (ValueError, RecursionError):
        return value


def _no_json(text: str) -> Any:
    raise ValueError(text)


def _with_extras(messages: Any) -> Any:
    if not isinstance(messages, list):
        return messages
    return [_merged(message) if isinstance(message, dict) else message for message in messages]


def _merged(message: dict[str, Any]) -> dict[str, Any]:
    extra = _parsed(message.get(EXTRA))
    rest = {key: value for key, value in message.items() if key != EXTRA}
    if extra is None:
        return rest
    return {**rest, **extra} if isinstance(extra, dict) else message


MAX_SPELT_BYTES = 256 * MIB
"""Largest number of bytes that dictionaries and prefixes may add to rows decoded together."""

DICTIONARY_ENCODINGS = {"PLAIN_DICTIONARY", "RLE_DICTIONARY"}
PREFIX_ENCODING = "DELTA_BYTE_ARRAY"
"""Encoding in which text that repeats the previous text takes up almost no space."""


class Parquet:
    """A reader for a Parquet file.

    Args:
        path: The file.
        quarantine: Receives rows with invalid values; if None, these are errors.
        packed: The size of the upload in bytes, if this file was unpacked from it.

    Raises:
        MalformedData: the file is not valid Parquet, has invalid column names, or is a
            decompression bomb.
    """

    hint = None

    def __init__(
        self, path: Path, quarantine: Quarantine | None = None, *, packed: int | None = None
    ) -> None:
        self.quarantine = quarantine
        self.packed = packed or path.stat().st_size
        try:
            self.file = pq.ParquetFile(path, memory_map=False, pre_buffer=False)
            self.schema = self.file.schema_arrow
            check_names(self.schema.names)
            self.rows_at_once, kept = self._examined(path)
            if kept:
                self.file = pq.ParquetFile(
                    path, memory_map=False, pre_buffer=False, read_dictionary=kept
                )
        except pa.ArrowMemoryError:
            raise
        except (pa.ArrowException, BrokenHeaderError, OSError) as error:
            raise _invalid(error) from error
        self.canonical_json = CanonicalJson(self.schema)

    def __iter__(self) -> Iterator[Chunk]:
        meter = Meter(self.packed, COLUMNAR_BOMB_RATIO)
        first = 1
        batches = self.file.iter_batches(batch_size=self.rows_at_once, use_threads=False)
        while True:
            try:
                batch = next(batches, None)
            except pa.ArrowMemoryError:
                raise
            except (pa.ArrowException, OSError) as error:
                raise _invalid(error) from error
            if batch is None:
                return
            if batch.num_rows == 0:
                continue
            for chunk in chunks_of(batch, first, self.quarantine, meter):
                yield self.canonical_json.restore(chunk)
            first += batch.num_rows

    def _examined(self, path: Path) -> tuple[int, list[str]]:
        """Check the page headers of text columns before any page is decoded.

        Returns:
            The number of rows to decode in one step, and the columns whose dictionaries are so
            large that Arrow must keep them encoded.
        """
        meta = self.file.metadata
        meter = Meter(self.packed, COLUMNAR_BOMB_RATIO)
        columns = len(self.schema.names)
        meter.check(meta.num_rows * columns * LEAST_BYTES, row=1)
        packed = unpacked = 0
        longest = max(sum(_fixed_length(meta, number) for number in range(meta.num_columns)), 1)
        kept: dict[str, None] = {}
        share = MAX_SPELT_BYTES // max(meta.num_columns, 1)
        rows = batch_rows(0, columns)
        with path.open("rb") as file:
            for number in range(meta.num_row_groups):
                group = meta.row_group(number)
                packed += group.total_byte_size
                prefixed = 0
                for position in range(group.num_columns):
                    chunk = group.column(position)
                    encodings = set(chunk.encodings)
                    if chunk.physical_type != "BYTE_ARRAY" or not (
                        encodings & DICTIONARY_ENCODINGS or PREFIX_ENCODING in encodings
                    ):
                        continue
                    start = chunk.data_page_offset
                    if chunk.dictionary_page_offset:
                        start = min(start, chunk.dictionary_page_offset)
                    dictionary = page_bytes = values = 0
                    for page in pages_of(file, start, chunk.total_compressed_size):
                        unpacked += page.size
                        meter.check(unpacked)
                        if page.is_dictionary:
                            dictionary = page.size
                        else:
                            page_bytes = max(page_bytes, page.size)
                            values += page.values
                    is_nested = meta.schema.column(position).max_repetition_level > 0
                    if dictionary * (values if is_nested else min(values, rows)) > share:
                        kept[chunk.path_in_schema] = None
                    if PREFIX_ENCODING in encodings:
                        prefixed += page_bytes
                longest = max(longest, prefixed)
        rows = batch_rows(packed // max(meta.num_rows, 1), columns)
        return max(1, min(rows, MAX_SPELT_BYTES // longest)), list(kept)


def _fixed_length(meta: pq.FileMetaData, number: int) -> int:
    """Return the length of a column's values if the type fixes it; otherwise 0."""
    column = meta.schema.column(number)
    return int(column.length) if column.physical_type == "FIXED_LEN_BYTE_ARRAY" else 0


def _invalid(error: Exception) -> MalformedData:
    return MalformedData("parquet_invalid", detail=str(error).splitlines()[0][:200])
