"""Reader for JSON Lines: one object per line; blank lines are skipped."""

import itertools
import re
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pyarrow as pa

from aiplatform.data.chunk import Chunk
from aiplatform.data.errors import MalformedData
from aiplatform.data.formats import arrow_json, objects
from aiplatform.data.formats.text_source import Block, TextSource
from aiplatform.data.quarantine import Quarantine, decode_escaped
from aiplatform.protocol.enums import DataFormat

ROW = re.compile(rb"\S[^\n]*")
"""Pattern of a line that is not blank; it skips millions of empty lines quickly."""

AHEAD = 2
"""Number of blocks that are parsed in advance, each in a thread."""


def open_text(
    _format: DataFormat, text: TextSource, _reading: object, quarantine: Quarantine | None
) -> tuple["JsonLines", dict[str, Any]]:
    """Return the reader of a file that contains JSON Lines, and an empty dictionary of details."""
    return JsonLines(text, quarantine), {}


class JsonLines:
    """A reader for JSON Lines.

    Args:
        text: The text of the file.
        quarantine: Receives lines that are not valid rows; if None, they are errors.

    Attributes:
        hint: Columns that later blocks probably have. The caller may set it to make reading faster.
    """

    def __init__(self, text: TextSource, quarantine: Quarantine | None = None) -> None:
        self.text = text
        self.quarantine = quarantine
        self.hint: pa.Schema | None = None

    def __iter__(self) -> Iterator[Chunk]:
        blocks = self.text.blocks()
        waiting: deque[tuple[Block, Future[pa.RecordBatch | None]]] = deque()
        with ThreadPoolExecutor(AHEAD, thread_name_prefix="json") as pool:
            while True:
                try:
                    block = next(blocks, None)
                except MalformedData:
                    # Report errors in earlier lines first.
                    while waiting:
                        yield from self._chunks(*waiting.popleft())
                    raise
                if block is not None:
                    waiting.append((block, pool.submit(self._quickly, block)))
                # Without a hint there is nothing to parse ahead.
                while len(waiting) > (AHEAD if block is not None and self.hint else 0):
                    yield from self._chunks(*waiting.popleft())
                if block is None:
                    return

    def _chunks(self, block: Block, parsed: "Future[pa.RecordBatch | None]") -> Iterator[Chunk]:
        batch = parsed.result()
        if batch is None:
            yield from _carefully(block, self.quarantine)
            return
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        lines = range(block.line, block.line + batch.num_rows)
        raw = None if self.quarantine is None else _RawLines(block.data)
        yield Chunk(columns, batch.num_rows, lines, raw=raw)

    def _quickly(self, block: Block) -> pa.RecordBatch | None:
        if self.hint is None or not arrow_json.is_one_per_line(block.data):
            return None
        return arrow_json.parse(block.data, block.lines, self.hint)


class _RawLines:
    """The lines of a block, which is split when the first of them is requested."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._lines: list[bytes] = []

    def __call__(self, row: int) -> str:
        self._lines = self._lines or self._data.split(b"\n")
        return decode_escaped(self._lines[row])


def _carefully(block: Block, quarantine: Quarantine | None) -> Iterator[Chunk]:
    texts: list[bytes] = []
    lines: list[int] = []
    offsets: list[int] = []
    if arrow_json.is_one_per_line(block.data):
        texts = block.data.removesuffix(b"\n").split(b"\n")
        positions = itertools.accumulate((len(text) + 1 for text in texts), initial=block.offset)
        lines = list(range(block.line, block.line + len(texts)))
        yield from objects.parse(texts, lines, list(positions)[:-1], quarantine)
        return
    number, counted = block.line, 0
    for found in ROW.finditer(block.data):
        start = block.data.rfind(b"\n", 0, found.start()) + 1
        number += block.data.count(b"\n", counted, start)
        counted = start
        texts.append(block.data[start : found.end()])
        lines.append(number)
        offsets.append(block.offset + start)
    yield from objects.parse(texts, lines, offsets, quarantine)
