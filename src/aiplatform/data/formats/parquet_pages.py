"""Read the page headers of a Parquet file without the pages.

A page header contains the decoded size of the page, and Arrow allocates that much memory. The sizes
in the footer may be wrong. The headers are ``PageHeader`` structures of the Parquet format, in the
compact Thrift protocol:
https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

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
