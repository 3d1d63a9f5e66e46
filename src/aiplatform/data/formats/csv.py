"""CSV and TSV: a header, then records; the dialect is told from the first records.

CSV has no types: every value stays the text it is, ``007`` and ``1.10`` included. An empty field is
a missing value. Line numbers are those of an editor, also behind fields that hold line breaks.
"""

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from aiplatform.data.chunk import Chunk, check_names
from aiplatform.data.errors import MalformedData
from aiplatform.data.formats.text_source import TextSource
from aiplatform.data.limits import BLOCK_BYTES, MAX_CELLS, MAX_ROW_BYTES

DELIMITERS = ",\t;|"
SNIFFED_RECORDS = 100


@dataclass(frozen=True, slots=True)
class Dialect:
    """How the fields of a record are told apart."""

    delimiter: str
    quoted: bool = True

    def reader(self, lines: Iterable[str]) -> Any:
        """A reader of the standard library for this dialect."""
        return csv.reader(
            lines,
            delimiter=self.delimiter,
            quoting=csv.QUOTE_MINIMAL if self.quoted else csv.QUOTE_NONE,
            strict=True,
        )

    def as_dict(self) -> dict[str, Any]:
        """For the report of an upload."""
        return {"delimiter": self.delimiter, "quote": '"' if self.quoted else None}


def sniff(sample: str, *, delimiters: str = DELIMITERS) -> Dialect:
    """The dialect under which the first records are most like a table.

    A dialect fits when all its records have as many fields as the first. Of those that fit, the one
    with most fields wins, then the first in the order of ``delimiters``, then unquoted tabs.
    When none fits, the first delimiter that occurs in the header is taken, so that the reader
    reports the ragged row.
    """
    best: tuple[int, Dialect] | None = None
    candidates = [Dialect(d) for d in delimiters]
    if "\t" in delimiters:  # much TSV is written without a thought of quotes
        candidates.append(Dialect("\t", quoted=False))
    for candidate in candidates:
        width = _common_width(sample, candidate)
        if width is not None and width > 1 and (best is None or width > best[0]):
            best = (width, candidate)
    if best is not None:
        return best[1]
    header = sample.partition("\n")[0]
    return Dialect(next((d for d in delimiters if d in header), delimiters[0]))


def _common_width(sample: str, dialect: Dialect) -> int | None:
    width = None
    count = 0
    records = dialect.reader(io.StringIO(sample, newline=""))
    try:
        for record in records:
            if not record:
                continue
            if width is None:
                width = len(record)
            elif len(record) != width:
                return None
            count += 1
            if count == SNIFFED_RECORDS:
                break
    except csv.Error:
        return None
    return width


class Csv:
    """Reads CSV or TSV.

    Attributes:
        dialect: what was found.
    """

    hint = None

    def __init__(self, text: TextSource, *, tabs: bool = False) -> None:
        self.text = text
        csv.field_size_limit(MAX_ROW_BYTES)
        head = text.head().decode("utf-8", "ignore")
        whole_lines, newline, _ = head.rpartition("\n")
        delimiters = "\t" if tabs else DELIMITERS
        self.dialect = sniff(whole_lines + newline or head, delimiters=delimiters)

    def __iter__(self) -> Iterator[Chunk]:
        feed = _Lines(self.text)
        records = self.dialect.reader(feed)
        header: list[str] | None = None
        rows: list[list[str]] = []
        places: list[int] = []
        start = 1
        try:
            for record in records:
                line, start = start, records.line_num + 1
                feed.in_record = 0
                if not record:
                    continue
                if header is None:
                    header = _header(record, line)
                    continue
                if len(record) != len(header):
                    raise MalformedData(
                        "csv_ragged", line=line, expected=len(header), found=len(record)
                    )
                rows.append(record)
                places.append(line)
                if feed.since_chunk >= BLOCK_BYTES or len(rows) * len(header) >= MAX_CELLS:
                    yield _chunk(header, rows, places)
                    rows, places = [], []
                    feed.since_chunk = 0
        except csv.Error as error:
            raise MalformedData("csv_quote", line=start, detail=str(error)) from error
        if header is not None and rows:
            yield _chunk(header, rows, places)


class _Lines:
    """The lines of a text, counted, for the standard library's reader."""

    def __init__(self, text: TextSource) -> None:
        self.text = text
        self.in_record = 0
        self.since_chunk = 0

    def __iter__(self) -> Iterator[str]:
        for block in self.text.blocks():
            decoded = block.decode()
            if "\x00" in decoded:
                line = block.line + decoded.count("\n", 0, decoded.index("\x00"))
                raise MalformedData("nul_byte", line=line)
            # newline="" splits at CR, LF and CRLF and keeps them, as the csv module wants.
            for line_text in io.StringIO(decoded, newline=""):
                self.in_record += len(line_text)
                self.since_chunk += len(line_text)
                if self.in_record > MAX_ROW_BYTES:
                    # A quote that is never closed swallows the rest of the file.
                    raise csv.Error(f"a record longer than {MAX_ROW_BYTES} characters")
                yield line_text


def _header(record: list[str], line: int) -> list[str]:
    names = [name.strip() or f"column_{number}" for number, name in enumerate(record, 1)]
    check_names(names, line=line)
    return names


def _chunk(header: list[str], rows: list[list[str]], places: list[int]) -> Chunk:
    columns = zip(*rows, strict=True)
    return Chunk(
        {
            name: [value or None for value in values]
            for name, values in zip(header, columns, strict=True)
        },
        len(rows),
        places,
    )
