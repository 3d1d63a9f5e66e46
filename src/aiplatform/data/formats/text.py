"""Reader of plain text: one row per line, in a column ``text``; blank lines are skipped.

Corpora of sentences, logs and ``datasets.load_dataset("text")`` also have one row per line. Books
with wrapped lines are better uploaded as JSONL, with one paragraph or chapter per row.
"""

import io
from collections.abc import Iterator

from aiplatform.data.chunk import Chunk
from aiplatform.data.errors import MalformedData
from aiplatform.data.formats.text_source import Block, TextSource, fault_of_text, raw_text
from aiplatform.data.quarantine import Quarantine

COLUMN = "text"


class Text:
    """A reader of lines that end with LF, CRLF or CR; other white space is kept.

    Args:
        text: The text of the file.
        aside: Takes lines that are not valid text; if None, they are errors.
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
        """Return the text of a block, and True if it has invalid lines."""
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
