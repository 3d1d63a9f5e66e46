"""Tests of reading compressed files, and of the limits against decompression bombs."""

import gzip
import os
import zlib
from pathlib import Path

import pytest
import zstandard

from aiplatform.data import limits
from aiplatform.data.errors import MalformedData
from aiplatform.data.formats import source_file as source_file_module
from aiplatform.data.formats.source_file import Meter, SourceFile
from tests.data.conftest import Upload

CONTENT = os.urandom(100_000) + b"tail"


def made(path: Path, data: bytes) -> SourceFile:
    (path / "file").write_bytes(data)
    return SourceFile(path / "file")


PACKED = {
    "gzip": gzip.compress(CONTENT[:50_000]) + gzip.compress(CONTENT[50_000:]),
    "zstd": zstandard.compress(CONTENT[:50_000]) + zstandard.compress(CONTENT[50_000:]),
}


@pytest.mark.parametrize(
    ("data", "name"), [(CONTENT, None), *((data, name) for name, data in PACKED.items())]
)
def test_chunks_unpacks_all_members(tmp_path: Path, data: bytes, name: str | None) -> None:
    source = made(tmp_path, data)
    assert source.compression == name
    chunks = list(source.chunks(1000))
    assert b"".join(chunks) == CONTENT
    assert {len(chunk) for chunk in chunks[:-1]} == {1000}
    assert source.head(10) == CONTENT[:10]
    assert source.head(10**9) == CONTENT
    assert b"".join(source.chunks()) == CONTENT  # Reading again starts from the beginning.


@pytest.mark.parametrize("name", ["gzip", "zstd"])
@pytest.mark.parametrize("damage", ["cut", "flipped", "garbage behind it"])
def test_damaged_compression_is_refused(tmp_path: Path, name: str, damage: str) -> None:
    data = PACKED[name]
    match damage:
        case "cut":
            data = data[:-5]
        case "flipped":
            data = data[: len(data) // 4] + bytes([data[len(data) // 4] ^ 255]) * 9 + data[-9:]
        case _:
            data += b"garbage"
    with pytest.raises(MalformedData) as caught:
        b"".join(made(tmp_path, data).chunks())
    assert caught.value.reason == "compression_broken"
    assert name in caught.value.message


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_bombs_are_stopped_early(tmp_path: Path, pack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_file_module, "BOMB_FREE_BYTES", 3_000_000)
    source = made(tmp_path, pack(bytes(50_000_000)))
    chunks = source.chunks(1_000_000)
    seen: list[int] = []
    with pytest.raises(MalformedData) as caught:
        seen.extend(map(len, chunks))
    assert caught.value.reason == "bomb"
    assert sum(seen) <= max(3_000_000, source.size * source_file_module.BOMB_RATIO) + 1_000_000


def test_small_repetitive_file_is_not_a_bomb(tmp_path: Path) -> None:
    source = made(tmp_path, gzip.compress(bytes(20_000_000)))
    assert sum(map(len, source.chunks())) == 20_000_000


def test_meter_beyond_the_unpacked_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_limits", limits.Limits(unpacked_bytes=1000))
    with pytest.raises(MalformedData) as caught:
        Meter(10**9).add(1001)
    assert caught.value.reason == "too_large"


@pytest.mark.parametrize("data", [b"", gzip.compress(b"", mtime=0)])
def test_empty_file_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(MalformedData) as caught:
        made(tmp_path, data)
    assert caught.value.reason == "file_empty"


def test_file_compressed_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MalformedData) as caught:
        made(tmp_path, gzip.compress(zstandard.compress(b"x")))
    assert caught.value.reason == "nested_compression"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"PK\x03\x04rest", "ZIP"),
        (b"%PDF-1.7", "PDF"),
        (b"7z\xbc\xaf\x27\x1c", "7-Zip"),
        (gzip.compress(bytes(257) + b"ustar" + bytes(300), mtime=0), "tar archive"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "Office"),
    ],
)
def test_archive_or_document_is_refused_by_its_name(tmp_path: Path, data: bytes, said: str) -> None:
    with pytest.raises(MalformedData) as caught:
        made(tmp_path, data)
    assert caught.value.reason == "archive"
    assert said in caught.value.message


def test_chunks_of_a_bomb_are_never_larger_than_requested(tmp_path: Path) -> None:
    """Check that a long run of zeros is unpacked in pieces, never as a whole."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    block = packer.compress(bytes(64 << 20))
    data = block + packer.flush()
    source = made(tmp_path, data)
    assert max(len(chunk) for chunk in source.chunks(1 << 20)) == 1 << 20


@pytest.mark.parametrize("byte", [b"\x00", b"\n"])
def test_ten_gigabytes_of_blank_data_are_refused(upload: Upload, byte: bytes) -> None:
    """Check a file of many gzip members, which is refused long before 10 GB are unpacked."""
    member = gzip.compress(byte * (64 << 20))
    path = upload.directory / "upload"
    with path.open("wb") as file:
        for _ in range(160):
            file.write(member)
    error = upload.error(path, "x.jsonl.gz")
    assert error.reason in {"bomb", "line_too_long", "no_rows", "nul_byte", "encoding_unknown"}
