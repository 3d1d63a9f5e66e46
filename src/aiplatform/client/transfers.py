"""Upload bodies and parameters, and files that are written completely or not at all."""

import json
import os
import secrets
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from io import TextIOBase
from pathlib import Path
from typing import Any, BinaryIO, Protocol, Self, cast

from aiplatform.client.errors import ClientError
from aiplatform.language import tr
from aiplatform.protocol.encoding import dumps, jsonable
from aiplatform.protocol.reading_options import Reading


class ArrowTable(Protocol):
    """A table that can be read through Arrow's C stream, such as a DataFrame or an Arrow table."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...


def parquet_of(data: object) -> BinaryIO | None:
    """Write a pandas, Polars, Arrow or ``datasets`` table to a temporary Parquet file.

    Returns:
        The file, to be read from its start; None if ``data`` is not such a table.

    Raises:
        TypeError: for a ``datasets.DatasetDict``, which contains several tables.
        ClientError: if the package that writes Parquet is missing.
    """
    if not is_table(data):
        return None
    file = cast("BinaryIO", tempfile.TemporaryFile())  # noqa: SIM115  (closed with its last reader)
    try:
        _write(data, file)
    except ImportError as error:
        refusal = ClientError(
            tr(
                "a {kind} is uploaded as Parquet, and {package} is not installed",
                kind=type(data).__name__,
                package=error.name,
            )
        )
        refusal.hint = tr("Install it: pip install pyarrow")
        raise refusal from error
    file.seek(0)
    return file


def is_table(data: object) -> bool:
    """Return True if :func:`parquet_of` can write ``data``."""
    if isinstance(data, type):
        return False
    return hasattr(data, "__arrow_c_stream__") or (
        _library(data) in {"pandas", "polars", "datasets"}
        and type(data).__name__ in {"DataFrame", "LazyFrame", "Dataset", "DatasetDict"}
    )


def _library(data: object) -> str:
    return type(data).__module__.partition(".")[0]


def _write(table: Any, file: BinaryIO) -> None:
    match _library(table), type(table).__name__:
        case "pandas", "DataFrame":
            # An unnamed index usually contains only row numbers left over from filtering.
            named = any(name is not None for name in table.index.names)
            table.to_parquet(file, index=named)
        case "polars", "LazyFrame":
            table.collect().write_parquet(file)
        case "polars", "DataFrame":
            table.write_parquet(file)
        case "datasets", "DatasetDict":
            splits = ", ".join(f"data[{name!r}]" for name in table)
            raise TypeError(f"a DatasetDict is several datasets; upload one of {splits}")
        case "datasets", "Dataset":
            table.to_parquet(file)
        case _:
            pa, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
            parquet.write_table(pa.table(table), file)


def reading_params(reading: Mapping[str, Any]) -> dict[str, Any]:
    """Convert the options for reading rows to parameters of an upload request.

    Raises:
        TypeError: for an unknown option.
        pydantic.ValidationError: for an invalid value.
    """
    unknown = sorted(set(reading) - set(Reading.model_fields))
    if unknown:
        raise TypeError(f"an upload has no option {unknown[0]!r}")
    given = Reading(**{key: value for key, value in reading.items() if value is not None})
    params = given.model_dump(mode="json", exclude_defaults=True)
    for name in ("map", "types"):
        if getattr(given, name):
            params[name] = dumps(getattr(given, name))
    return params


CHUNK_BYTES = 1024 * 1024
_ROWS_CHUNK_BYTES = 256 * 1024
_MAX_STEM_BYTES = 200

ProgressCallback = Callable[[int, int | None], None]
"""A function called with the bytes done and the total bytes (None if unknown)."""

UploadData = str | os.PathLike[str] | bytes | BinaryIO | ArrowTable | Iterable[Mapping[str, Any]]
"""The data of an upload.

It is a path, the content itself, a file opened for reading bytes, a table (a DataFrame of pandas or
Polars, an Arrow table, a ``datasets.Dataset``), or rows, which are written as JSONL.
"""


@dataclass(frozen=True)
class Body:
    """The content of an upload, read in chunks.

    Attributes:
        chunks: returns an iterator over the content, from the beginning.
        length: the size in bytes, if known in advance.
        replayable: True if ``chunks`` may be called again.
        filename: a name that shows the format, if the source has one.
    """

    chunks: Callable[[], Iterator[bytes]]
    length: int | None
    replayable: bool
    filename: str | None


def body_of(data: UploadData, progress: ProgressCallback | None = None) -> Body:
    """Create the body of an upload from any supported data, without loading files into memory.

    Tables are written to a temporary Parquet file first.

    Raises:
        TypeError: for a file opened as text, and for rows that are not mappings.
        ClientError: if the package that writes a table as Parquet is missing.
        OSError: if a file cannot be read.
    """
    if isinstance(data, str | os.PathLike):
        path = Path(data)
        length = path.stat().st_size
        if path.is_dir():
            raise IsADirectoryError(tr("{path} is a directory; give one file", path=path))
        return Body(lambda: _of_path(path, length, progress), length, True, path.name)
    if isinstance(data, bytes | bytearray | memoryview):
        content = bytes(data)
        return Body(lambda: _of_bytes(content, progress), len(content), True, None)
    # The checks below depend on attributes, which the type checker can't follow.
    other: Any = data
    if isinstance(other, TextIOBase):
        raise TypeError("open the file for reading bytes: open(path, 'rb')")
    table = parquet_of(other)
    if table is not None:
        return replace(_of_file(table, progress), filename="table.parquet")
    if isinstance(other, Mapping):
        raise TypeError("give several rows, each a mapping, not one mapping")
    if hasattr(other, "read"):
        return _of_file(other, progress)
    return Body(lambda: _of_rows(other, progress), None, isinstance(other, list | tuple), None)


def _of_path(path: Path, length: int, progress: ProgressCallback | None) -> Iterator[bytes]:
    done = 0
    with path.open("rb") as file:
        # A file that grows during the upload is sent up to the announced size.
        while done < length:
            chunk = file.read(min(CHUNK_BYTES, length - done))
            if not chunk:
                raise ClientError(tr("{path} became shorter while it was uploaded", path=path))
            yield chunk
            done += len(chunk)
            if progress:
                progress(done, length)


def _of_bytes(content: bytes, progress: ProgressCallback | None) -> Iterator[bytes]:
    for start in range(0, len(content), CHUNK_BYTES):
        yield content[start : start + CHUNK_BYTES]
        if progress:
            progress(min(start + CHUNK_BYTES, len(content)), len(content))


def _of_file(file: BinaryIO, progress: ProgressCallback | None) -> Body:
    name = getattr(file, "name", None)
    start = length = None
    if file.seekable():
        start = file.tell()
        length = file.seek(0, os.SEEK_END) - start
        file.seek(start)

    def chunks() -> Iterator[bytes]:
        if start is not None:
            file.seek(start)
        done = 0
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
            done += len(chunk)
            if progress:
                progress(done, length)

    filename = Path(name).name if isinstance(name, str) else None
    return Body(chunks, length, start is not None, filename)


def _of_rows(
    rows: Iterable[Mapping[str, Any]], progress: ProgressCallback | None
) -> Iterator[bytes]:
    buffer = bytearray()
    done = 0
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, Mapping):
            raise TypeError(f"row {number} is {type(row).__name__}; each row must be a mapping")
        buffer += _line(row)
        if len(buffer) >= _ROWS_CHUNK_BYTES:
            yield bytes(buffer)
            done += len(buffer)
            buffer.clear()
            if progress:
                progress(done, None)
    if buffer:
        yield bytes(buffer)
        if progress:
            progress(done + len(buffer), None)


def _line(row: Mapping[str, Any]) -> bytes:
    """Return one row as JSONL. NaN requires the platform's encoder, which is slower."""
    try:
        text = json.dumps(row, ensure_ascii=False, allow_nan=False, default=jsonable)
        return text.encode() + b"\n"
    except ValueError:
        return dumps(row).encode("utf-8", "replace") + b"\n"


class AtomicFile:
    """A file that appears under its name only once it is complete.

    It is written in the same directory, so that the last step is a rename within one filesystem.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # A file name may have up to 255 bytes on most filesystems; the temporary name must fit,
        # too.
        start = path.name.encode("utf-8", "surrogateescape")[:_MAX_STEM_BYTES]
        stem = start.decode("utf-8", "ignore")
        self._temporary = path.with_name(f".{stem}.{secrets.token_hex(6)}.part")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._temporary.open("xb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Remove the file if it was not committed."""
        self._file.close()
        self._temporary.unlink(missing_ok=True)

    def write(self, chunk: bytes) -> None:
        """Append ``chunk``."""
        self._file.write(chunk)

    def restart(self) -> None:
        """Discard the bytes written so far."""
        self._file.seek(0)
        self._file.truncate()

    def commit(self) -> Path:
        """Move the file to its final path, replacing an existing file there."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return self._temporary.replace(self.path)
