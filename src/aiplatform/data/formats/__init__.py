"""Readers for the file formats of uploaded datasets.

Each text format is a member of ``DataFormat``, and has a module of the same name with a function
``open_text``.

Every reader streams: it yields one :class:`~aiplatform.data.chunk.Chunk` after another, uses no
more memory than the limits allow, and can be iterated again from the beginning. Every error in a
file is a :class:`~aiplatform.data.errors.MalformedData` with its position.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa

from aiplatform.data.chunk import Chunk
from aiplatform.data.errors import MalformedData
from aiplatform.data.formats.source_file import SourceFile
from aiplatform.data.formats.text_source import TextSource
from aiplatform.data.quarantine import Quarantine
from aiplatform.protocol.enums import DataFormat

if TYPE_CHECKING:
    from aiplatform.protocol.reading_options import Reading

__all__ = ["Chunk", "Opened", "Reader", "open_file"]

SUFFIXES = {suffix: found for found in DataFormat for suffix in found.suffixes}
PACKED_SUFFIXES = {".gz", ".gzip", ".zst", ".zstd"}
BINARY = {
    DataFormat.ARROW: ("arrow_invalid", "it begins with neither ARROW1 nor a message"),
    DataFormat.PARQUET: ("parquet_invalid", "it does not begin with PAR1"),
}
MODULES = {DataFormat.TSV: "csv"}
"""Names of modules that differ from the name of their format."""

CSV_FORMATS = {DataFormat.CSV, DataFormat.TSV}
JSON_FORMATS = {DataFormat.JSON, DataFormat.JSONL}


class Reader(Protocol):
    """A reader for the rows of one file.

    Attributes:
        hint: Columns to expect, for faster reading; some readers ignore it.
    """

    hint: pa.Schema | None

    def __iter__(self) -> Iterator[Chunk]: ...


@dataclass(frozen=True, slots=True)
class Opened:
    """A file whose format has been recognised.

    Attributes:
        reader: The reader of its rows.
        format: Its format.
        compression: ``gzip`` or ``zstd``; None if it is not compressed.
        encoding: The encoding of the text; None for binary formats.
        details: Other properties, such as the dialect of a CSV file.
    """

    reader: Reader
    format: DataFormat
    compression: str | None
    encoding: str | None
    details: dict[str, Any] = field(default_factory=dict)


def open_file(
    path: Path,
    *,
    filename: str,
    claimed: DataFormat | None = None,
    scratch: Path,
    reading: "Reading | None" = None,
    quarantine: Quarantine | None = None,
) -> Opened:
    """Recognise the format of a file and create its reader.

    Args:
        path: The file as uploaded.
        filename: The name under which it was uploaded. Only its suffix counts, and the content
            overrides it.
        claimed: The format that the uploader gave; None to decide by content and suffix.
        scratch: The path to which a compressed Parquet or Arrow file is unpacked, because its
            reader needs random access.
        reading: The uploader's options for reading.
        quarantine: Receives rows that can't be read; if None, the first such row is an error.

    Raises:
        MalformedData: the file is empty, its format is unknown, or it is not in the claimed format.
    """
    encoding = reading.encoding if reading else None
    csv_options = reading.csv_options if reading else []
    source = SourceFile(path)
    if source.is_parquet or source.is_arrow:
        found = DataFormat.PARQUET if source.is_parquet else DataFormat.ARROW
        if claimed not in {None, found}:
            raise MalformedData("format_mismatch", claimed=claimed, found=found)
        _refuse_options(["encoding"] if encoding else csv_options, found)
        if source.compression is not None:
            _unpack(source, scratch)
            path = scratch
        reader = _columnar(found, path, quarantine, source.size)
        return Opened(reader, found, source.compression, None)
    chosen = claimed or _by_suffix(filename)
    if chosen in BINARY:
        reason, detail = BINARY[chosen]
        raise MalformedData(reason, detail=detail)
    text = TextSource(source, encoding, lenient=quarantine is not None)
    start = text.head(1024).lstrip()[:1]
    if not start and not text.head().strip():
        raise MalformedData("no_rows")
    if claimed is None:
        chosen = _by_content(chosen, start)
        if csv_options and chosen in {None, DataFormat.TEXT}:
            chosen = DataFormat.CSV
    if chosen not in CSV_FORMATS:
        _refuse_options(csv_options, chosen or DataFormat.TEXT)
    reader, details = _text_reader(chosen or DataFormat.TEXT, text, reading, quarantine)
    return Opened(
        reader, chosen or DataFormat.TEXT, source.compression, text.encoding.name, details
    )


def _refuse_options(given: list[str], found: DataFormat) -> None:
    if given:
        raise MalformedData("option_misplaced", option=given[0], found=found)


def _columnar(found: DataFormat, path: Path, quarantine: Quarantine | None, packed: int) -> Reader:
    # Imported late, like the CSV reader, because they import modules that JSON does not need.
    from aiplatform.data.formats.arrow import Arrow  # noqa: PLC0415
    from aiplatform.data.formats.parquet import Parquet  # noqa: PLC0415

    if found is DataFormat.PARQUET:
        return Parquet(path, quarantine, packed=packed)
    return Arrow(path, quarantine, packed=packed)


def _text_reader(
    chosen: DataFormat, text: TextSource, reading: "Reading | None", quarantine: Quarantine | None
) -> tuple[Reader, dict[str, Any]]:
    # Imported late, because the CSV reader imports modules that JSON does not need.
    module = import_module(f"{__name__}.{MODULES.get(chosen, chosen)}")
    opened: tuple[Reader, dict[str, Any]] = module.open_text(chosen, text, reading, quarantine)
    return opened


def _by_suffix(filename: str) -> DataFormat | None:
    suffixes = [suffix.lower() for suffix in Path(filename).suffixes]
    if suffixes and suffixes[-1] in PACKED_SUFFIXES:
        suffixes.pop()
    return SUFFIXES.get(suffixes[-1]) if suffixes else None


def _by_content(by_suffix: DataFormat | None, start: bytes) -> DataFormat | None:
    """Return the format suggested by the suffix, corrected by the first character.

    Many JSONL files are called ``.json``, and many arrays ``.jsonl``.
    """
    if by_suffix is None or by_suffix in JSON_FORMATS:
        if start == b"[":
            return DataFormat.JSON
        if start == b"{" and by_suffix is None:
            return DataFormat.JSONL
    return by_suffix


def _unpack(source: SourceFile, target: Path) -> None:
    with target.open("xb") as file:
        for chunk in source.chunks():
            file.write(chunk)
