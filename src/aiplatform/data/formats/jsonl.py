"""JSON Lines: one object a line; blank lines are skipped."""

from collections.abc import Iterator

import pyarrow as pa

from aiplatform.data.chunk import Chunk
from aiplatform.data.formats import arrow_json, objects
from aiplatform.data.formats.text_source import Block, TextSource


class JsonLines:
    """Reads JSON Lines.

    Attributes:
        hint: columns that later blocks are likely to have; set by whoever knows, for speed only.
    """

    def __init__(self, text: TextSource) -> None:
        self.text = text
        self.hint: pa.Schema | None = None

    def __iter__(self) -> Iterator[Chunk]:
        for block in self.text.blocks():
            batch = self._quickly(block)
            if batch is not None:
                columns = dict(zip(batch.schema.names, batch.columns, strict=True))
                lines = range(block.line, block.line + batch.num_rows)
                yield Chunk(columns, batch.num_rows, lines)
            else:
                yield from _carefully(block)

    def _quickly(self, block: Block) -> pa.RecordBatch | None:
        if self.hint is None or not arrow_json.is_one_per_line(block.data):
            return None
        return arrow_json.parse(block.data, block.lines, self.hint)


def _carefully(block: Block) -> Iterator[Chunk]:
    texts: list[bytes] = []
    lines: list[int] = []
    offsets: list[int] = []
    offset = block.offset
    for number, text in enumerate(block.data.split(b"\n"), block.line):
        if text and not text.isspace():
            texts.append(text)
            lines.append(number)
            offsets.append(offset)
        offset += len(text) + 1
    yield from objects.parse(texts, lines, offsets)
