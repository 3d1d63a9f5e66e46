"""Readers of the formats that datasets are uploaded in, one small file each.

Every reader streams: it yields :class:`~aiplatform.data.chunk.Chunk` after chunk in memory that
the limits bound, and can be iterated again from the beginning. Every fault is a
:class:`~aiplatform.data.errors.MalformedData` that names its place.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from aiplatform.data.chunk import Chunk
from aiplatform.data.errors import MalformedData
from aiplatform.data.formats.csv import Csv
from aiplatform.data.formats.json import JsonArray
from aiplatform.data.formats.jsonl import JsonLines
from aiplatform.data.formats.parquet import Parquet
from aiplatform.data.formats.source import Source
from aiplatform.data.formats.text import Text
from aiplatform.data.formats.text_source import TextSource
from aiplatform.protocol.enums import DataFormat

__all__ = ["Chunk", "Opened", "Reader", "open_file"]

SUFFIXES = {
    ".csv": DataFormat.CSV,
    ".json": DataFormat.JSON,
    ".jsonl": DataFormat.JSONL,
    ".ndjson": DataFormat.JSONL,
    ".parquet": DataFormat.PARQUET,
    ".pq": DataFormat.PARQUET,
    ".tab": DataFormat.TSV,
    ".text": DataFormat.TEXT,
    ".tsv": DataFormat.TSV,
    ".txt": DataFormat.TEXT,
}
PACKED_SUFFIXES = {".gz", ".gzip", ".zst", ".zstd"}
JSON_FORMATS = {DataFormat.JSON, DataFormat.JSONL}


class Reader(Protocol):
    """Rows of one file.

    Attributes:
        hint: columns to expect; readers that can use it do, and none needs it.
    """

    hint: pa.Schema | None

    def __iter__(self) -> Iterator[Chunk]: ...


@dataclass(frozen=True, slots=True)
class Opened:
    """A file, recognised.

    Attributes:
        encoding: None for binary formats.
        details: what else was found out, such as the dialect of a CSV.
    """

    reader: Reader
    format: DataFormat
    compression: str | None
    encoding: str | None
    details: dict[str, Any] = field(default_factory=dict)


def open_file(
    path: Path, *, filename: str, claimed: DataFormat | None = None, scratch: Path
) -> Opened:
    """Recognise a file and make its reader.

    Args:
        path: the bytes as uploaded.
        filename: the name it was uploaded under; only its suffix counts, and less than the content.
        claimed: what the uploader says it is; otherwise the content and the suffix decide.
        scratch: where a compressed Parquet file is unpacked, which must be read from its end.

    Raises:
        MalformedData: it is empty, of another kind, or not what was claimed.
    """
    source = Source(path)
    if source.is_parquet:
        if claimed not in {None, DataFormat.PARQUET}:
            raise MalformedData("format_mismatch", claimed=claimed, found=DataFormat.PARQUET)
        if source.compression is not None:
            _unpack(source, scratch)
            path = scratch
        return Opened(Parquet(path), DataFormat.PARQUET, source.compression, None)
    chosen = claimed or _by_suffix(filename)
    if chosen is DataFormat.PARQUET:
        raise MalformedData("parquet_invalid", detail="no PAR1 at its beginning")
    text = TextSource(source)
    start = text.head(1024).lstrip()[:1]
    if not start and not text.head().strip():
        raise MalformedData("no_rows")
    if claimed is None:
        chosen = _by_content(chosen, start)
    reader, details = _text_reader(chosen or DataFormat.TEXT, text)
    return Opened(
        reader, chosen or DataFormat.TEXT, source.compression, text.encoding.name, details
    )


def _text_reader(chosen: DataFormat, text: TextSource) -> tuple[Reader, dict[str, Any]]:
    match chosen:
        case DataFormat.JSONL:
            return JsonLines(text), {}
        case DataFormat.JSON:
            return JsonArray(text), {}
        case DataFormat.CSV | DataFormat.TSV:
            reader = Csv(text, tabs=chosen is DataFormat.TSV)
            return reader, {"dialect": reader.dialect.as_dict()}
    return Text(text), {}


def _by_suffix(filename: str) -> DataFormat | None:
    suffixes = [suffix.lower() for suffix in Path(filename).suffixes]
    if suffixes and suffixes[-1] in PACKED_SUFFIXES:
        suffixes.pop()
    return SUFFIXES.get(suffixes[-1]) if suffixes else None


def _by_content(by_suffix: DataFormat | None, start: bytes) -> DataFormat | None:
    """Correct the suffix: much JSONL is called ``.json``, and arrays are called ``.jsonl``."""
    if by_suffix is None or by_suffix in JSON_FORMATS:
        if start == b"[":
            return DataFormat.JSON
        if start == b"{" and by_suffix is None:
            return DataFormat.JSONL
    return by_suffix


def _unpack(source: Source, target: Path) -> None:
    with target.open("xb") as file:
        for chunk in source.chunks():
            file.write(chunk)
