"""Plain text: one row a line, in a column ``text``; blank lines separate and are no rows.

One line a row is what corpora of sentences, logs and ``datasets.load_dataset("text")`` have. Books
whose lines are wrapped are better uploaded as JSONL, a paragraph or a chapter a row.
"""

import io
from collections.abc import Iterator

from aiplatform.data.chunk import Chunk
from aiplatform.data.errors import MalformedData
from aiplatform.data.formats.text_source import Block, TextSource, fault_of_text, raw_text
from aiplatform.data.quarantine import Quarantine

COLUMN = "text"


class Text:
    """Reads lines. Line ends may be LF, CRLF or CR; other white space is kept.

    Args:
        aside: takes lines that are no text; without it they are faults.
    """

    hint = None

    def __init__(self, text: TextSource, aside: Quarantine | None = None) -> None:
        self.text = text
        self.aside = aside

    def __iter__(self) -> Iterator[Chunk]:
        for block in self.text.blocks():
            decoded, is_damaged = self._decoded(block)
            texts: list[str] = []
            places: list[int] = []
            for place, line_text in enumerate(io.StringIO(decoded, newline=None), block.line):
                if not line_text or line_text.isspace():
                    continue
                fault = fault_of_text(line_text, place) if is_damaged else None
                if fault is not None and self.aside is not None:
                    self.aside.add(fault, raw_text(line_text.removesuffix("\n")))
                    continue
                texts.append(line_text.removesuffix("\n"))
                places.append(place)
            if texts:
                yield Chunk({COLUMN: texts}, len(texts), places, raw=texts.__getitem__)

    def _decoded(self, block: Block) -> tuple[str, bool]:
        """The text, and whether lines of it are none."""
        try:
            decoded = block.decode()
        except MalformedData:
            if self.aside is None:
                raise
            return block.damaged(), True
        if "\x00" in decoded:
            if self.aside is None:
                line = block.line + decoded.count("\n", 0, decoded.index("\x00"))
                raise MalformedData("nul_byte", line=line)
            return decoded, True
        return decoded, False
