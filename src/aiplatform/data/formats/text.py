"""Reader for plain text: one row per line, in a column ``text``; blank lines are skipped.

Corpora of sentences, logs and ``datasets.load_dataset("text")`` also have one row per line. Books
with wrapped lines are better uploaded as JSONL, with one paragraph or chapter per row.
"""

import io
from collections.abc import Iterator
from typing import Any

from aiplatform.data.chunk import Chunk
from aiplatform.data.errors import MalformedData
from aiplatform.data.formats.text_source import Block, TextSource, raw_text, text_error
from aiplatform.data.quarantine import Quarantine
from aiplatform.protocol.enums import DataFormat

COLUMN = "text"


def open_text(
    _format: DataFormat, text: TextSource, _reading: object, quarantine: Quarantine | None
) -> tuple["Text", dict[str, Any]]:
    """Return the reader of a file that contains text, and an empty dictionary of details."""
    return Text(text, quarantine), {}


class Text:
    """A reader for lines that end with LF, CRLF or CR; other white space is kept.

    Args:
        text: The text of the file.
        quarantine: Receives lines that are not valid text; if None, they are errors.
    """

    hint = None

    def __init__(self, text: TextSource, quarantine: Quarantine | None = None) -> None:
        self.text = text
        self.quarantine = quarantine

    def __iter__(self) -> Iterator[Chunk]:
        for block in self.text.blocks():
            decoded, is_damaged = self._decoded(block)
            texts: list[str] = []
            positions: list[int] = []
            for position, line_text in enumerate(io.StringIO(decoded, newline=None), block.line):
                if not line_text or line_text.isspace():
                    continue
                error = text_error(line_text, position) if is_damaged else None
                if error is not None and self.quarantine is not None:
                    self.quarantine.add(error, raw_text(line_text.removesuffix("\n")))
                    continue
                texts.append(line_text.removesuffix("\n"))
                positions.append(position)
            if texts:
                yield Chunk({COLUMN: texts}, len(texts), positions, raw=texts.__getitem__)

    def _decoded(self, block: Block) -> tuple[str, bool]:
        """Return the text of a block, and True if it has invalid lines."""
        try:
            decoded = block.decode()
        except MalformedData:
            if self.quarantine is None:
                raise
            return block.damaged(), True
        if "\x00" in decoded:
            if self.quarantine is None:
                line = block.line + decoded.count("\n", 0, decoded.index("\x00"))
                raise MalformedData("nul_byte", line=line)
            return decoded, True
        return decoded, False
