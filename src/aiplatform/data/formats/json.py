"""Reader for JSON: one array of objects, or objects one after another, in any layout.

The array is never completely in memory. A scanner finds the end of each element by counting the
brackets outside strings; the elements are then parsed like JSON Lines. The scanner checks only
brackets, and the JSON parser checks the content of the elements.
"""

import re
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from aiplatform.data.chunk import Chunk
from aiplatform.data.errors import MalformedData, Words, type_words
from aiplatform.data.formats import arrow_json, objects
from aiplatform.data.formats.text_source import TextSource
from aiplatform.data.limits import BLOCK_BYTES, MAX_DEPTH, MAX_ROW_BYTES
from aiplatform.data.quarantine import Quarantine, decode_escaped
from aiplatform.protocol.enums import DataFormat

SPACE = re.compile(rb"[ \t\r\n]*+")

UP_TO_BRACKET = re.compile(
    rb'[^"{}\[\]]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"[^"{}\[\]]*+)*+',
    re.DOTALL,
)
"""Pattern of a text up to the next bracket outside a string, or up to an unclosed string."""

WRAPPERS = ("data", "rows", "examples", "instances", "train", "items", "records")
SCALARS = {b'"': "", b"t": True, b"f": False, b"n": None, b"[": []}


def open_text(
    _format: DataFormat, text: TextSource, _reading: object, quarantine: Quarantine | None
) -> tuple["JsonArray", dict[str, Any]]:
    """Return the reader of a file that contains JSON, and an empty dictionary of details."""
    return JsonArray(text, quarantine), {}


class JsonArray:
    """A reader for a JSON array of objects, or for a sequence of objects.

    Args:
        text: The text of the file.
        quarantine: Receives elements that are not valid rows; if None, they are errors. Brackets
            that do not match are always an error, because it is unknown where the next element
            begins.

    Attributes:
        hint: See :class:`~aiplatform.data.formats.jsonl.JsonLines`.
    """

    def __init__(self, text: TextSource, quarantine: Quarantine | None = None) -> None:
        self.text = text
        self.quarantine = quarantine
        self.hint: pa.Schema | None = None

    def __iter__(self) -> Iterator[Chunk]:
        scanner = _Scanner(self.text)
        texts: list[bytes] = []
        lines: list[int] = []
        offsets: list[int] = []
        held = rows = 0
        elements = scanner.elements()
        while True:
            try:
                element, line, offset = next(elements)
            except StopIteration:
                break
            except MalformedData:
                # An error in an earlier element is more likely to be the cause, so report it first.
                yield from self._parse(texts, lines, offsets)
                raise
            texts.append(element)
            lines.append(line)
            offsets.append(offset)
            rows += 1
            held += len(element)
            if held >= BLOCK_BYTES:
                yield from self._parse(texts, lines, offsets)
                texts, lines, offsets, held = [], [], [], 0
        if rows == 1 and not scanner.in_array:
            _refuse_wrapper(texts[0] if texts else b"")
        if texts:
            yield from self._parse(texts, lines, offsets)

    def _parse(self, texts: list[bytes], lines: list[int], offsets: list[int]) -> Iterator[Chunk]:
        if self.hint is not None:
            batch = arrow_json.parse(b"\n".join(texts), len(texts), self.hint)
            if batch is not None:
                columns = dict(zip(batch.schema.names, batch.columns, strict=True))
                raw = None if self.quarantine is None else lambda row: decode_escaped(texts[row])
                yield Chunk(columns, batch.num_rows, lines, raw=raw)
                return
        yield from objects.parse(texts, lines, offsets, self.quarantine)


class _Scanner:
    """A scanner that cuts a text into its elements, with one element and one block in memory."""

    def __init__(self, text: TextSource) -> None:
        self._chunks = text.chunks()
        self._buffer = b""
        self._at = 0
        self._offset = text.first_offset
        self._line = 1
        self._ended = False
        self.in_array = False

    def elements(self) -> Iterator[tuple[bytes, int, int]]:
        """Yield each element with its line and its byte offset."""
        if self._next() is None:
            return
        if self._next() == b"[":
            self.in_array = True
            self._at += 1
        first = True
        while (char := self._next()) is not None:
            if self.in_array and char == b"]" and first:
                self._close()
                return
            if self.in_array and not first:
                if char == b"]":
                    self._close()
                    return
                if char != b",":
                    raise self._unexpected("“,” / “]”", char)
                self._at += 1
                char = self._next()
                if char is None:
                    break
            if char != b"{":
                raise self._not_object(char)
            first = False
            line, offset = self._line, self._offset + self._at
            yield self._object(), line, offset
        if self.in_array:
            raise MalformedData("json_unclosed", line=self._line)

    def _next(self) -> bytes | None:
        """Skip white space and return the next byte; None at the end."""
        while True:
            match = SPACE.match(self._buffer, self._at)
            end = match.end() if match else self._at
            self._line += self._buffer.count(b"\n", self._at, end)
            self._at = end
            if end < len(self._buffer):
                return self._buffer[end : end + 1]
            if not self._more(BLOCK_BYTES):
                return None

    def _object(self) -> bytes:
        """Return the object at the current position, and move to its end."""
        while True:
            end = self._end_of_object()
            if end is not None:
                element = self._buffer[self._at : end]
                if len(element) > MAX_ROW_BYTES:
                    raise MalformedData("line_too_long", line=self._line, limit=MAX_ROW_BYTES)
                self._line += element.count(b"\n")
                self._at = end
                return element
            held = len(self._buffer) - self._at
            if held > MAX_ROW_BYTES:
                raise MalformedData("line_too_long", line=self._line, limit=MAX_ROW_BYTES)
            # The element is scanned again from its start, so read twice as much each time.
            if not self._more(max(held, BLOCK_BYTES)):
                raise MalformedData("json_unclosed", line=self._line)

    def _end_of_object(self) -> int | None:
        buffer, at, depth = self._buffer, self._at, 0
        scan = UP_TO_BRACKET.match
        while True:
            match = scan(buffer, at)
            at = match.end() if match else len(buffer)
            if at >= len(buffer):
                return None
            char = buffer[at]
            at += 1
            if char in b"{[":
                depth += 1
                if depth > MAX_DEPTH:
                    line = self._line + buffer.count(b"\n", self._at, at)
                    raise MalformedData("json_too_deep", line=line, limit=MAX_DEPTH)
            elif char in b"}]":
                depth -= 1
                if depth == 0:
                    return at
            else:  # A quote: the string is not closed in this buffer.
                return None

    def _more(self, size: int) -> bool:
        """Read ``size`` or more bytes, and drop those before the current position.

        Returns:
            True unless the text has ended.
        """
        if self._ended:
            return False
        parts = [self._buffer[self._at :]]
        wanted = size
        while wanted > 0:
            chunk = next(self._chunks, None)
            if chunk is None:
                self._ended = True
                break
            parts.append(chunk)
            wanted -= len(chunk)
        self._offset += self._at
        self._at = 0
        self._buffer = b"".join(parts)
        return wanted < size

    def _close(self) -> None:
        self._at += 1
        char = self._next()
        if char is not None:
            raise self._unexpected(Words("the end of the file", "文件结束"), char)

    def _unexpected(self, expected: str | Words, char: bytes) -> MalformedData:
        found = f"“{char.decode('utf-8', 'replace')}”"
        return MalformedData("json_separator", line=self._line, expected=expected, found=found)

    def _not_object(self, char: bytes) -> MalformedData:
        if char in SCALARS:
            found = type_words(SCALARS[char])
        elif char in b"-0123456789":
            found = type_words(0)
        else:
            return self._unexpected("“{”", char)
        return MalformedData("json_not_object", line=self._line, found=found)


def _refuse_wrapper(text: bytes) -> None:
    """Raise an error if the only object is a wrapper such as ``{"data": [{…}, {…}]}``.

    Such a file is a list of rows, not a dataset of one row.
    """
    if not any(f'"{key}"'.encode() in text for key in WRAPPERS):
        return
    for chunk in objects.parse([text], [1]):
        for key in WRAPPERS:
            match chunk.columns.get(key):
                case [[dict(), *_]]:
                    raise MalformedData("json_wrapped", key=key)
