"""Reader for CSV and TSV, which detects the dialect from the first records.

The uploader's options for delimiter, quote and header take precedence. All values are yielded as
text; :mod:`~aiplatform.data.column_types` decides on the types of columns. An empty field is a
missing value. Line numbers match those in an editor, even after fields that contain line breaks.
"""

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from aiplatform.data.chunk import Chunk, check_names
from aiplatform.data.errors import MalformedData
from aiplatform.data.formats.text_source import TextSource, raw_text, text_error
from aiplatform.data.limits import BLOCK_BYTES, MAX_CELLS, MAX_ROW_BYTES
from aiplatform.data.quarantine import Quarantine
from aiplatform.protocol.enums import DataFormat
from aiplatform.protocol.reading_options import NO_QUOTE, Reading

DELIMITERS = ",\t;|"
QUOTE = '"'
SNIFFED_RECORDS = 100


@dataclass(frozen=True, slots=True)
class Dialect:
    """The delimiter and the quote of a CSV file."""

    delimiter: str
    quote: str | None = QUOTE

    def reader(self, lines: Iterable[str]) -> Any:
        """Return a ``csv.reader`` for this dialect."""
        return csv.reader(
            lines,
            delimiter=self.delimiter,
            quotechar=self.quote,
            quoting=csv.QUOTE_NONE if self.quote is None else csv.QUOTE_MINIMAL,
            strict=True,
        )


def sniff(sample: str, *, delimiters: str = DELIMITERS, quote: str | None = None) -> Dialect:
    """Return the dialect in which the first records look most like a table.

    A dialect fits if all records have as many fields as the first. Of those that fit, the one with
    the most fields is chosen; then the first in the order of ``delimiters``; then tabs without
    quotes. If none fits, the first delimiter that occurs in the header is chosen, so that the
    reader reports the row with a wrong number of fields.

    Args:
        sample: The beginning of the file.
        delimiters: The possible delimiters.
        quote: The quote, if it is known; ``none`` for no quotes.
    """
    best: tuple[int, Dialect] | None = None
    known = None if quote == NO_QUOTE else quote or QUOTE
    candidates = [Dialect(d, known) for d in delimiters]
    if "\t" in delimiters and quote is None:  # Many TSV files do not use quoting at all.
        candidates.append(Dialect("\t", None))
    for candidate in candidates:
        width = _common_width(sample, candidate)
        if width is not None and width > 1 and (best is None or width > best[0]):
            best = (width, candidate)
    if best is not None:
        return best[1]
    header = sample.partition("\n")[0]
    return Dialect(next((d for d in delimiters if d in header), delimiters[0]), known)


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


def open_text(
    chosen: DataFormat, text: TextSource, reading: Reading | None, quarantine: Quarantine | None
) -> tuple["Csv", dict[str, Any]]:
    """Return the reader of a CSV or TSV file, and its dialect."""
    tabs = chosen is DataFormat.TSV
    reader = Csv(text, tabs=tabs, reading=reading, quarantine=quarantine)
    return reader, {"dialect": reader.describe()}


class Csv:
    """A reader for CSV or TSV.

    Args:
        text: The text of the file.
        tabs: True if only a tab is a delimiter.
        reading: The uploader's options for the dialect.
        quarantine: Receives rows that can't be read; if None, they are errors.

    Attributes:
        dialect: The dialect, given or detected.
    """

    hint = None

    def __init__(
        self,
        text: TextSource,
        *,
        tabs: bool = False,
        reading: Reading | None = None,
        quarantine: Quarantine | None = None,
    ) -> None:
        reading = reading or Reading()
        self.text = text
        self.quarantine = quarantine
        self.has_header = reading.header is not False
        csv.field_size_limit(MAX_ROW_BYTES)
        head = text.head().decode("utf-8", "ignore")
        whole_lines, newline, _ = head.rpartition("\n")
        delimiters = reading.delimiter or ("\t" if tabs else DELIMITERS)
        sample = whole_lines + newline or head
        self.dialect = sniff(sample, delimiters=delimiters, quote=reading.quote)

    def describe(self) -> dict[str, Any]:
        """Return the options with which the file is read, to show them to the uploader."""
        return {
            "delimiter": self.dialect.delimiter,
            "quote": self.dialect.quote,
            "header": self.has_header,
        }

    def __iter__(self) -> Iterator[Chunk]:
        feed = _Lines(self.text, lenient=self.quarantine is not None)
        records = self.dialect.reader(feed)
        header: list[str] | None = None
        rows: list[list[str]] = []
        positions: list[int] = []
        raws: list[str] | None = None if self.quarantine is None else []
        for record, line, found in self._records(records, feed):
            error = found
            if header is None and error is None:
                names = record if self.has_header else [""] * len(record)
                header = _header(names, line)
                if self.has_header:
                    continue
            if error is None and header is not None and len(record) != len(header):
                error = MalformedData(
                    "csv_ragged", line=line, expected=len(header), found=len(record)
                )
            if error is not None:
                if self.quarantine is None or header is None:
                    raise error
                self.quarantine.add(error, feed.raw())
                continue
            rows.append(record)
            positions.append(line)
            if raws is not None:
                raws.append(feed.raw())
            if feed.since_chunk >= BLOCK_BYTES or len(rows) * len(header or ()) >= MAX_CELLS:
                yield _chunk(header or [], rows, positions, raws)
                rows, positions = [], []
                raws = None if raws is None else []
                feed.since_chunk = 0
        if header is not None and rows:
            yield _chunk(header, rows, positions, raws)

    def _records(
        self, records: Any, feed: "_Lines"
    ) -> Iterator[tuple[list[str], int, MalformedData | None]]:
        """Yield each record with its line number, and with its error if it is not valid.

        Raises:
            MalformedData: a quote is never closed, so it is unknown where the next row begins.
        """
        start = 1
        while True:
            feed.begin_record()
            error: MalformedData | None = None
            try:
                record = next(records)
                error = feed.error(start)
            except StopIteration:
                return
            except csv.Error as cause:
                record, error = [""], MalformedData("csv_quote", line=start, detail=str(cause))
                if self.quarantine is None or feed.ended or feed.in_record > MAX_ROW_BYTES:
                    raise error from cause
            line, start = start, records.line_num + 1
            if record:
                yield record, line, error


class _Lines:
    """The lines of a text, for the standard library's CSV reader.

    Args:
        text: The text of the file.
        lenient: True to yield invalid lines as well, whose errors :meth:`error` then returns.
    """

    def __init__(self, text: TextSource, *, lenient: bool) -> None:
        self.text = text
        self.lenient = lenient
        self.in_record = 0
        self.since_chunk = 0
        self.ended = False
        self._record: list[str] = []
        self._damaged = False

    def begin_record(self) -> None:
        """Start a new record with the next line."""
        self.in_record = 0
        self._record.clear()

    def raw(self) -> str:
        """Return the text of the current record."""
        return raw_text("".join(self._record).rstrip("\r\n"))

    def error(self, line: int) -> MalformedData | None:
        """Return the error in the text of the current record, if there is one."""
        return text_error("".join(self._record), line) if self._damaged else None

    def __iter__(self) -> Iterator[str]:
        for block in self.text.blocks():
            try:
                decoded = block.decode()
            except MalformedData:
                if not self.lenient:
                    raise
                decoded = block.damaged()
                self._damaged = True
            if "\x00" in decoded:
                if not self.lenient:
                    line = block.line + decoded.count("\n", 0, decoded.index("\x00"))
                    raise MalformedData("nul_byte", line=line)
                self._damaged = True
            # newline="" splits at CR, LF and CRLF and keeps them, as the csv module requires.
            for line_text in io.StringIO(decoded, newline=""):
                self.in_record += len(line_text)
                self.since_chunk += len(line_text)
                if self.in_record > MAX_ROW_BYTES:
                    # With a quote that is never closed, the record would be the rest of the file.
                    raise csv.Error(f"a record longer than {MAX_ROW_BYTES} characters")
                if self.lenient:
                    self._record.append(line_text)
                yield line_text
        self.ended = True


def _header(record: list[str], line: int) -> list[str]:
    names = [name.strip() or f"column_{number}" for number, name in enumerate(record, 1)]
    check_names(names, line=line)
    return names


def _chunk(
    header: list[str], rows: list[list[str]], positions: list[int], raws: list[str] | None
) -> Chunk:
    columns = zip(*rows, strict=True)
    return Chunk(
        {
            name: [value or None for value in values]
            for name, values in zip(header, columns, strict=True)
        },
        len(rows),
        positions,
        raw=None if raws is None else raws.__getitem__,
    )
