"""Attack: malformed GGUF files. Imports refuse them with a clear message, using little memory."""

import struct
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFWriter

from aiplatform.runtime.channel import JobError
from aiplatform.runtime.importing.gguf import read_header
from aiplatform.runtime.importing.gguf_layout import BadLayout, check_layout

UINT8, UINT32, STRING, ARRAY, UINT64 = 0, 4, 8, 9, 10
HUGE = 2**60


def text(value: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(value) if length is None else length) + value


def entry(key: bytes, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def tensor(name: bytes, shape: tuple[int, ...], offset: int = 0, kind: int = 0) -> bytes:
    sizes = struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
    return text(name) + sizes + struct.pack("<IQ", kind, offset)


def made(
    entries: list[bytes],
    tensors: list[bytes],
    *,
    data: int = 256,
    counts: tuple[int, int] | None = None,
    version: int = 3,
) -> bytes:
    found = (len(tensors), len(entries)) if counts is None else counts
    head = b"GGUF" + struct.pack("<IQQ", version, *found) + b"".join(entries + tensors)
    return head + bytes(-len(head) % 32 + data)


ARCHITECTURE = entry(b"general.architecture", STRING, text(b"llama"))
WEIGHT = tensor(b"a", (8,))


def array(kind: int, count: int, content: bytes = b"") -> bytes:
    return entry(b"x", ARRAY, struct.pack("<IQ", kind, count) + content)


def nested(depth: int) -> bytes:
    """Return arrays of one element nested to ``depth``; GGUF can't express a real cycle."""
    return entry(b"x", ARRAY, struct.pack("<IQ", ARRAY, 1) * depth + struct.pack("<IQ", 0, 0))


def number(key: bytes, value: int) -> bytes:
    return entry(key, UINT64, struct.pack("<Q", value))


MALFORMED: dict[str, bytes] = {
    "2**60 tensors": made([ARCHITECTURE], [WEIGHT], counts=(HUGE, 1)),
    "2**60 entries": made([ARCHITECTURE], [WEIGHT], counts=(1, HUGE)),
    "2**64 - 1 tensors and entries": made([], [], counts=(2**64 - 1, 2**64 - 1)),
    "array of 2**60 bytes": made([array(UINT8, HUGE)], [WEIGHT]),
    "array of 2**60 numbers": made([array(UINT64, HUGE)], [WEIGHT]),
    "array of 2**60 texts": made([array(STRING, HUGE)], [WEIGHT]),
    "array of 2**60 arrays": made([array(ARRAY, HUGE)], [WEIGHT]),
    "array of 2**64 - 1 bytes": made([array(UINT8, 2**64 - 1)], [WEIGHT]),
    "text of 2**60 bytes": made([entry(b"x", STRING, text(b"y", HUGE))], [WEIGHT]),
    "text of 2**63 bytes": made([entry(b"x", STRING, text(b"y", 2**63))], [WEIGHT]),
    "key of 2**60 bytes": made([text(b"x", HUGE)], [WEIGHT]),
    "tensor name of 2**60 bytes": made([ARCHITECTURE], [text(b"x", HUGE)]),
    "1,000 arrays within each other": made([nested(1_000)], [WEIGHT]),
    "100,000 arrays within each other": made([nested(100_000)], [WEIGHT]),
    "same entry twice": made([ARCHITECTURE, ARCHITECTURE], [WEIGHT]),
    "same tensor twice": made([ARCHITECTURE], [WEIGHT, tensor(b"a", (8,), 32)]),
    "overlapping tensors": made([ARCHITECTURE], [WEIGHT, tensor(b"b", (8,), 16)]),
    "two tensors in one place": made([ARCHITECTURE], [WEIGHT, tensor(b"b", (8,))]),
    "offset of 2**64 - 8": made([ARCHITECTURE], [tensor(b"a", (8,), 2**64 - 8)]),
    "offset behind the end": made([ARCHITECTURE], [tensor(b"a", (8,), 4096)]),
    "tensor longer than the file": made([ARCHITECTURE], [tensor(b"a", (8_000_000,))]),
    "shape that overflows": made([ARCHITECTURE], [tensor(b"a", (2**32, 2**32))]),
    "2**32 - 1 dimensions": made(
        [ARCHITECTURE], [text(b"a") + struct.pack("<I", 2**32 - 1) + bytes(64)]
    ),
    "tensor of no elements": made([ARCHITECTURE], [tensor(b"a", (0, 2**62))]),
    "unknown type of tensor": made([ARCHITECTURE], [tensor(b"a", (8,), kind=9_999)]),
    "unknown type of entry": made([entry(b"x", 77, b"")], [WEIGHT]),
    "alignment of 0": made([entry(b"general.alignment", UINT32, bytes(4))], [WEIGHT]),
    "alignment of 2**31": made(
        [entry(b"general.alignment", UINT32, struct.pack("<I", 2**31))], [WEIGHT]
    ),
    "2**40 layers": made([ARCHITECTURE, number(b"llama.block_count", 2**40)], [WEIGHT]),
    "width of 10**12": made([ARCHITECTURE, number(b"llama.embedding_length", 10**12)], [WEIGHT]),
    "vocabulary of 2**62": made([ARCHITECTURE, number(b"llama.vocab_size", 2**62)], [WEIGHT]),
    "version 2**31": made([ARCHITECTURE], [WEIGHT], version=2**31),
    "only the magic": b"GGUF",
    "nothing": b"",
}  # fmt: skip


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_file_is_refused(tmp_path: Path, name: str) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(MALFORMED[name])
    with pytest.raises(JobError, match=r"model.gguf is not a complete GGUF"):
        read_header(file)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    file = tmp_path / "good.gguf"
    writer = GGUFWriter(file, "llama")
    writer.add_block_count(1)
    writer.add_embedding_length(32)
    writer.add_array("tokenizer.ggml.tokens", ["a", "b", ""])
    writer.add_array("numbers", [1, 2, 3])
    for name in ("token_embd.weight", "blk.0.attn_q.weight"):
        writer.add_tensor(name, np.ones((4, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def test_good_file_is_read(good: Path) -> None:
    header = read_header(good)
    assert (header["architecture"], header["quantization"]) == ("llama", "F32")


def test_file_cut_at_any_byte_is_refused(good: Path, tmp_path: Path) -> None:
    content = good.read_bytes()
    cut = tmp_path / "cut.gguf"
    for length in range(0, len(content), 5):
        cut.write_bytes(content[:length])
        with pytest.raises(BadLayout):
            check_layout(cut)


def test_file_with_any_flipped_byte_is_refused_or_read(good: Path, tmp_path: Path) -> None:
    """Check that the file is either read or refused with :class:`JobError`."""
    content = good.read_bytes()
    flipped = tmp_path / "flipped.gguf"
    for at in range(0, 480, 3):
        changed = bytearray(content)
        changed[at] ^= 0xFF
        flipped.write_bytes(changed)
        try:
            read_header(flipped)
        except JobError:
            continue
