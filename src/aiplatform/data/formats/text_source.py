"""Read a source as text: detect its encoding, convert it to UTF-8, and cut it at line ends."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from aiplatform.data.errors import MalformedData
from aiplatform.data.formats.encodings import detect, given_encoding, to_utf8
from aiplatform.data.formats.source_file import SourceFile
from aiplatform.data.limits import MAX_ROW_BYTES
from aiplatform.data.quarantine import decode_escaped

if TYPE_CHECKING:
    from aiplatform.protocol.reading_options import EncodingName

LINE_END = ord("\n")
LONE_SURROGATE = re.compile("[\udc80-\udcff]")
SNIFFED_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Block:
    """Whole lines of UTF-8.

    Attributes:
        data: The bytes of the lines.
        offset: The byte at which the first line begins, from 0.
        line: The number of the first line, from 1.
        lines: The number of lines.
    """

    data: bytes
    offset: int
    line: int
    lines: int

    def decode(self) -> str:
        """Return the block as text.

        Raises:
            MalformedData: it is not valid UTF-8.
        """
        try:
            return self.data.decode()
        except UnicodeDecodeError as error:
            raise self.error_at(error.start) from error

    def damaged(self) -> str:
        """Return the block as text, with each invalid byte as a lone surrogate."""
        return self.data.decode("utf-8", "surrogateescape")

    def error_at(self, position: int) -> MalformedData:
        """Return the error for an invalid byte at ``position`` of this block."""
        return MalformedData(
            "encoding_invalid",
            line=self.line + self.data.count(b"\n", 0, position),
            byte=self.offset + position,
            encoding="UTF-8",
            value=self.data[position],
        )


def text_error(text: str, line: int) -> MalformedData | None:
    """Return the error in text from :meth:`Block.damaged`; None if it is valid."""
    if "\x00" in text:
        return MalformedData("nul_byte", line=line)
    odd = LONE_SURROGATE.search(text)
    if odd is None:
        return None
    value = ord(odd[0]) & 0xFF
    return MalformedData("encoding_invalid", line=line, encoding="UTF-8", value=value)


def raw_text(text: str) -> str:
    """Return text from :meth:`Block.damaged` with invalid bytes escaped, for people."""
    return decode_escaped(text.encode("utf-8", "surrogateescape"))


class TextSource:
    """The text of a source.

    Args:
        source: The file.
        encoding: The encoding that the uploader named; None to detect it.
        lenient: True to leave errors in single lines to the reader.

    Raises:
        MalformedData: the encoding is not supported.
    """

    def __init__(
        self, source: SourceFile, encoding: "EncodingName | None" = None, *, lenient: bool = False
    ) -> None:
        self._source = source
        if encoding is None:
            self.encoding = detect(source.chunks(), lenient=lenient)
        else:
            self.encoding = given_encoding(encoding, source.chunks())

    def head(self, size: int = SNIFFED_BYTES) -> bytes:
        """Return at least the first ``size`` bytes as UTF-8, or fewer if the text is shorter."""
        parts: list[bytes] = []
        held = 0
        for chunk in self.chunks(size):
            parts.append(chunk)
            held += len(chunk)
            if held >= size:
                break
        return b"".join(parts)

    def chunks(self, size: int | None = None) -> Iterator[bytes]:
        """Yield UTF-8 in pieces, split at any byte; not validated if the file itself is UTF-8."""
        raw = self._source.chunks() if size is None else self._source.chunks(size)
        return to_utf8(raw, self.encoding)

    @property
    def first_offset(self) -> int:
        """The byte at which the text begins, after the byte order mark."""
        return self.encoding.mark

    def blocks(self) -> Iterator[Block]:
        """Yield blocks that end at a line end, except perhaps the last.

        Raises:
            MalformedData: a line is too long.
        """
        pending: list[bytes] = []
        held = 0
        offset, line = self.first_offset, 1
        for chunk in self.chunks():
            cut = chunk.rfind(b"\n") + 1
            if held + (chunk.find(b"\n") if cut else len(chunk)) > MAX_ROW_BYTES:
                raise MalformedData("line_too_long", line=line, limit=MAX_ROW_BYTES)
            if cut:
                data = b"".join([*pending, memoryview(chunk)[:cut]])
                # For short lines, this is several times as fast as ``data.count``.
                lines = int(np.count_nonzero(np.frombuffer(data, np.uint8) == LINE_END))
                yield Block(data, offset, line, lines)
                offset += len(data)
                line += lines
                pending, held = [], 0
            pending.append(chunk[cut:])
            held += len(pending[-1])
        if held:
            yield Block(b"".join(pending), offset, line, 1)
