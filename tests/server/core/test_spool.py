"""Tests of the spool, where uploads are written to temporary files."""

import asyncio
import errno
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from aiplatform.server.core import spool
from aiplatform.server.core.errors import InsufficientStorage, TooLarge
from aiplatform.server.core.spool import Spooled, receive, upload_prefix


async def stream(*chunks: bytes, then: Exception | None = None) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
    if then is not None:
        raise then


def spooled(directory: Path, chunks: AsyncIterator[bytes], **options: Any) -> tuple[Spooled, bytes]:
    """Receive a stream into a spooled file; return the result and the file's content."""

    async def run() -> tuple[Spooled, bytes]:
        async with upload_prefix(directory) as prefix:
            result = await receive(chunks, prefix.with_suffix(".upload"), **options)
            return result, result.path.read_bytes()

    return asyncio.run(run())


def test_receive_stores_and_hashes_the_stream(tmp_path: Path) -> None:
    parts = [bytes([n % 256]) * 100_000 for n in range(35)]
    result, content = spooled(tmp_path / "spool", stream(*parts), limit=10**9)
    assert content == b"".join(parts)
    assert result.sha256 == hashlib.sha256(content).hexdigest()
    assert result.size == len(content)
    assert list((tmp_path / "spool").iterdir()) == []
    assert (tmp_path / "spool").stat().st_mode & 0o777 == 0o700


def test_receive_empty_stream(tmp_path: Path) -> None:
    result, content = spooled(tmp_path, stream(), limit=1)
    assert (result.size, content) == (0, b"")


@pytest.mark.parametrize("fault", [RuntimeError("gone"), asyncio.CancelledError()])
def test_receive_broken_stream_leaves_no_file(tmp_path: Path, fault: Exception) -> None:
    with pytest.raises(type(fault)):
        spooled(tmp_path, stream(b"x" * 3_000_000, then=fault), limit=10**9)
    assert list(tmp_path.iterdir()) == []


def test_receive_too_long_stream_stops_reading(tmp_path: Path) -> None:
    def beyond() -> AsyncIterator[bytes]:
        return stream(b"x" * 6, b"x" * 6, then=AssertionError("read on"))

    with pytest.raises(TooLarge):
        spooled(tmp_path, beyond(), limit=10)
    assert list(tmp_path.iterdir()) == []


def test_receive_on_full_disk_raises_insufficient_storage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    opened = Path.open

    def onto_the_full_disk(self: Path, mode: str = "r", **options: Any) -> Any:
        return opened(full, "wb", **options) if mode == "xb" else opened(self, mode, **options)

    monkeypatch.setattr(spool.Path, "open", onto_the_full_disk)
    with pytest.raises(InsufficientStorage):
        spooled(tmp_path, stream(b"x" * 3_000_000), limit=10**9)


def test_receive_passes_other_disk_errors_on(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("not a directory")
    with pytest.raises(FileExistsError):
        spooled(tmp_path / "spool", stream(b"x"), limit=10)
    assert errno.EEXIST not in spool.DISK_FULL_ERRORS


def test_simultaneous_uploads_keep_their_own_files(tmp_path: Path) -> None:
    async def one(letter: bytes) -> bytes:
        async with upload_prefix(tmp_path) as prefix:
            path = prefix.with_suffix(".upload")
            await receive(stream(*[letter * 10_000] * 300), path, limit=10**9)
            prefix.with_suffix(".parquet").write_bytes(letter)
            await asyncio.sleep(0.01)
            return path.read_bytes()[:1] + prefix.with_suffix(".parquet").read_bytes()

    async def many() -> list[bytes]:
        return await asyncio.gather(*(one(bytes([n])) for n in range(20)))

    assert asyncio.run(many()) == [bytes([n, n]) for n in range(20)]
    assert list(tmp_path.iterdir()) == []
