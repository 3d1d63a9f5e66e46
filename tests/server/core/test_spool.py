"""Streams that become files, or nothing."""

import asyncio
import errno
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from aiplatform.server.core import spool
from aiplatform.server.core.errors import InsufficientStorage, TooLarge
from aiplatform.server.core.spool import Spooled, receive, workplace


async def stream(*chunks: bytes, then: Exception | None = None) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk
    if then is not None:
        raise then


def spooled(directory: Path, chunks: AsyncIterator[bytes], **options: Any) -> tuple[Spooled, bytes]:
    """Receive into a workplace; returns what was said of the file and what was in it."""

    async def run() -> tuple[Spooled, bytes]:
        async with workplace(directory) as prefix:
            result = await receive(chunks, prefix.with_suffix(".upload"), **options)
            return result, result.path.read_bytes()

    return asyncio.run(run())


def test_what_arrives_is_hashed_on_the_way(tmp_path: Path) -> None:
    parts = [bytes([n % 256]) * 100_000 for n in range(35)]
    result, content = spooled(tmp_path / "spool", stream(*parts), limit=10**9)
    assert content == b"".join(parts)
    assert result.sha256 == hashlib.sha256(content).hexdigest()
    assert result.size == len(content)
    assert list((tmp_path / "spool").iterdir()) == []
    assert (tmp_path / "spool").stat().st_mode & 0o777 == 0o700


def test_an_empty_stream(tmp_path: Path) -> None:
    result, content = spooled(tmp_path, stream(), limit=1)
    assert (result.size, content) == (0, b"")


@pytest.mark.parametrize("fault", [RuntimeError("gone"), asyncio.CancelledError()])
def test_a_stream_that_breaks(tmp_path: Path, fault: Exception) -> None:
    with pytest.raises(type(fault)):
        spooled(tmp_path, stream(b"x" * 3_000_000, then=fault), limit=10**9)
    assert list(tmp_path.iterdir()) == []


def test_a_stream_that_is_too_long_is_not_read_on(tmp_path: Path) -> None:
    def beyond() -> AsyncIterator[bytes]:
        return stream(b"x" * 6, b"x" * 6, then=AssertionError("read on"))

    with pytest.raises(TooLarge):
        spooled(tmp_path, beyond(), limit=10)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    opened = Path.open

    def onto_the_full_disk(self: Path, mode: str = "r", **options: Any) -> Any:
        return opened(full, "wb", **options) if mode == "xb" else opened(self, mode, **options)

    monkeypatch.setattr(spool.Path, "open", onto_the_full_disk)
    with pytest.raises(InsufficientStorage):
        spooled(tmp_path, stream(b"x" * 3_000_000), limit=10**9)


def test_other_errors_of_the_disk_are_not_explained_away(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("not a directory")
    with pytest.raises(FileExistsError):
        spooled(tmp_path / "spool", stream(b"x"), limit=10)
    assert errno.EEXIST not in spool.NO_ROOM


def test_uploads_side_by_side_do_not_take_each_others_files(tmp_path: Path) -> None:
    async def one(letter: bytes) -> bytes:
        async with workplace(tmp_path) as prefix:
            path = prefix.with_suffix(".upload")
            await receive(stream(*[letter * 10_000] * 300), path, limit=10**9)
            prefix.with_suffix(".parquet").write_bytes(letter)
            await asyncio.sleep(0.01)
            return path.read_bytes()[:1] + prefix.with_suffix(".parquet").read_bytes()

    async def many() -> list[bytes]:
        return await asyncio.gather(*(one(bytes([n])) for n in range(20)))

    assert asyncio.run(many()) == [bytes([n, n]) for n in range(20)]
    assert list(tmp_path.iterdir()) == []
