"""Read the unpacked bytes of a file, with limits against decompression bombs."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from aiplatform.data.errors import MalformedData, Words
from aiplatform.data.limits import BLOCK_BYTES, BOMB_FREE_BYTES, BOMB_RATIO, current_limits

COMPRESSIONS = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}

PARQUET_MAGIC = b"PAR1"
ARROW_FILE_MAGIC = b"ARROW1"
ARROW_STREAM_MAGIC = b"\xff\xff\xff\xff"
"""Beginning of each message of an Arrow stream; no text in a supported encoding begins with it."""

ARCHIVES = {
    b"PK\x03\x04": Words("a ZIP archive or an Office file", "ZIP 压缩包或 Office 文件"),
    b"PK\x05\x06": Words("an empty ZIP archive", "空的 ZIP 压缩包"),
    b"BZh": Words("a bzip2 file", "bzip2 文件"),
    b"\xfd7zXZ\x00": Words("an xz file", "xz 文件"),
    b"7z\xbc\xaf\x27\x1c": Words("a 7-Zip archive", "7-Zip 压缩包"),
    b"Rar!\x1a\x07": Words("a RAR archive", "RAR 压缩包"),
    b"%PDF-": Words("a PDF", "PDF 文档"),
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": Words("an old Office file", "旧版 Office 文件"),
    b"SQLite format 3\x00": Words("an SQLite database", "SQLite 数据库"),
    b"\x89PNG\r\n\x1a\n": Words("a PNG image", "PNG 图片"),
    b"\xff\xd8\xff": Words("a JPEG image", "JPEG 图片"),
}
TAR = Words("a tar archive", "tar 归档")
TAR_MARK = slice(257, 262)


class SourceFile:
    """A file on disk, possibly compressed, which can be read several times.

    The first bytes determine the compression; the name has no influence.

    Raises:
        MalformedData: the file is empty, or is an archive, an image or a document.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = path.stat().st_size
        if self.size == 0:
            raise MalformedData("file_empty")
        with path.open("rb") as file:
            head = file.read(512)
        self.compression = next(
            (name for magic, name in COMPRESSIONS.items() if head.startswith(magic)), None
        )
        if self.compression is not None:
            head = self.head(512)
            if any(head.startswith(magic) for magic in COMPRESSIONS):
                raise MalformedData("nested_compression")
            if not head:
                raise MalformedData("file_empty")
        _refuse_archives(head)
        self.is_parquet = head.startswith(PARQUET_MAGIC)
        self.is_arrow = head.startswith((ARROW_FILE_MAGIC, ARROW_STREAM_MAGIC))

    def head(self, size: int) -> bytes:
        """Return the first ``size`` unpacked bytes, or fewer if the file is shorter."""
        parts: list[bytes] = []
        missing = size
        for chunk in self.chunks(size):
            parts.append(chunk[:missing])
            missing -= len(parts[-1])
            if missing <= 0:
                break
        return b"".join(parts)

    def chunks(self, size: int = BLOCK_BYTES) -> Iterator[bytes]:
        """Yield the unpacked bytes in pieces of ``size``; the last one may be shorter.

        Raises:
            MalformedData: the compressed data is damaged, the file is a decompression bomb, or
                there is too much data.
        """
        meter = Meter(self.size)
        with self.path.open("rb") as file:
            if self.compression is None:
                while chunk := file.read(size):
                    yield chunk
            else:
                for chunk in _unpack(file, self.compression, size):
                    meter.add(len(chunk))
                    yield chunk


class Meter:
    """A counter for the decoded bytes of an upload, which stops decompression bombs.

    Args:
        packed: The size of the upload in bytes.
        ratio: The largest ratio of decoded to uploaded size; the limits of this process override
            it.
    """

    def __init__(self, packed: int, ratio: int = BOMB_RATIO) -> None:
        limits = current_limits()
        self.packed = packed
        self.ratio = limits.ratio or ratio
        self.allowed = max(packed * self.ratio, BOMB_FREE_BYTES)
        self.limit = limits.unpacked_bytes
        self.total = 0

    def add(self, count: int, *, row: int | None = None) -> None:
        """Count ``count`` more bytes, which belong to the rows from ``row`` on.

        Raises:
            MalformedData: the total is too large.
        """
        self.total += count
        self.check(self.total, row=row)

    def check(self, total: int, *, row: int | None = None) -> None:
        """Raise an error if ``total`` decoded bytes are too many.

        Raises:
            MalformedData: there are too many.
        """
        byte = self.total if row is None else None
        if total > self.allowed:
            raise MalformedData(
                "bomb", row=row, byte=byte, ratio=self.ratio, packed=self.packed, limit=self.allowed
            )
        if total > self.limit:
            raise MalformedData("too_large", row=row, byte=byte, limit=self.limit)


def _unpack(file: BinaryIO, compression: str, size: int) -> Iterator[bytes]:
    """Yield the unpacked bytes of all members or frames of the file, in pieces of ``size``."""
    parts: list[bytes] = []
    held = 0
    try:
        with pa.CompressedInputStream(pa.PythonFile(file, mode="r"), compression) as stream:
            while part := stream.read(size - held):
                parts.append(part)
                held += len(part)
                if held >= size:
                    yield b"".join(parts)
                    parts, held = [], 0
    except OSError as error:  # Arrow raises this for damaged streams.
        raise MalformedData(
            "compression_broken", compression=compression, detail=str(error)
        ) from error
    if parts:
        yield b"".join(parts)


def _refuse_archives(head: bytes) -> None:
    for magic, kind in ARCHIVES.items():
        if head.startswith(magic):
            raise MalformedData("archive", kind=kind)
    if head[TAR_MARK] == b"ustar":
        raise MalformedData("archive", kind=TAR)
