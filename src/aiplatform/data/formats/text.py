"""Plain text: one row a line, in a column ``text``; blank lines separate and are no rows.

One line a row is what corpora of sentences, logs and ``datasets.load_dataset("text")`` have. Books
whose lines are wrapped are better uploaded as JSONL, a paragraph or a chapter a row.
"""

import io
from collections.abc import Iterator

from aiplatform.data.chunk import Chunk
from aiplatform.data.errors import MalformedData
from aiplatform.data.formats.text_source import TextSource

COLUMN = "text"


class Text:
    """Reads lines. Line ends may be LF, CRLF or CR; other white space is kept."""

    hint = None

    def __init__(self, text: TextSource) -> None:
        self.text = text

    def __iter__(self) -> Iterator[Chunk]:
        for block in self.text.blocks():
            decoded = block.decode()
            if "\x00" in decoded:
                line = block.line + decoded.count("\n", 0, decoded.index("\x00"))
                raise MalformedData("nul_byte", line=line)
            texts: list[str] = []
            places: list[int] = []
            for place, line_text in enumerate(io.StringIO(decoded, newline=None), block.line):
                if line_text and not line_text.isspace():
                    texts.append(line_text.removesuffix("\n"))
                    places.append(place)
            if texts:
                yield Chunk({COLUMN: texts}, len(texts), places)
