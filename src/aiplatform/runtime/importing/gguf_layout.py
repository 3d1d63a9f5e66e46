"""Validation of a GGUF file's layout, before a library reads it.

The library trusts the file's counts and offsets. A file that claims to have an array of 2**60
elements would keep the library busy until memory runs out. This module therefore compares each
count and offset with the size of the file.
"""

import mmap
import struct
from pathlib import Path

MAGIC = b"GGUF"
STRING, ARRAY = 8, 9
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Size in bytes of a value of each type number; strings and arrays store their own lengths."""

INTEGERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 10: "Q", 11: "q"}
MOST_ENTRIES = 100_000
"""Largest number of metadata entries and of tensors; large models have a few thousand tensors."""

MOST_DIMENSIONS = 4
DEEPEST = 4
"""Largest nesting depth of arrays."""

MOST_KEY_BYTES = 65_535
"""Length in bytes of the longest metadata key that the format allows."""

LENGTHS = (".embedding_length", ".feed_forward_length", ".vocab_size", ".attention.head_count")
"""Suffixes of the metadata keys that determine the width of the model's layers."""


class BadLayout(ValueError):
    """A GGUF file whose counts or offsets don't match its size."""


def check_layout(file: Path) -> None:
    """Raise an error unless all parts that the header of ``file`` describes fit into the file.

    Raises:
        BadLayout: A part doesn't fit; the text says which.
    """
    with file.open("rb") as opened:
        if file.stat().st_size < 24 or opened.read(4) != MAGIC:
            raise BadLayout("it does not begin as a GGUF file does")
        with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
            _Walk(data).run()


class _Walk:
    """A reader that walks through a file: header, metadata, and tensor descriptions."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._at = 4
        self._order = "<"
        self._numbers: dict[str, int] = {}

    def run(self) -> None:
        (version,) = struct.unpack_from("<I", self._data, 4)
        if version & 0xFFFF == 0:
            self._order = ">"
        if self._integer("I") not in {2, 3}:
            raise BadLayout("its version is neither 2 nor 3")
        tensors, entries = self._integer("Q"), self._integer("Q")
        if max(tensors, entries) > MOST_ENTRIES:
            raise BadLayout(f"it claims more than {MOST_ENTRIES} tensors or entries")
        seen = set()
        for _ in range(entries):
            key = self._text()
            if key in seen:
                raise BadLayout("a metadata entry is there twice")
            seen.add(key)
            self._value(self._integer("I"), key.decode("utf-8", "replace"), 0)
        self._tensors(tensors)

    def _tensors(self, count: int) -> None:
        from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

        places: list[tuple[int, int]] = []
        names, widest = set(), 0
        for _ in range(count):
            name = self._text()
            if name in names:
                raise BadLayout("a tensor is there twice")
            names.add(name)
            dimensions = self._integer("I")
            if dimensions > MOST_DIMENSIONS:
                raise BadLayout(f"a tensor has more than {MOST_DIMENSIONS} dimensions")
            elements = 1
            for _ in range(dimensions):
                length = self._integer("Q")
                widest = max(widest, length)
                elements *= length
            try:
                block, size = GGML_QUANT_SIZES[GGMLQuantizationType(self._integer("I"))]
            except ValueError as error:
                raise BadLayout("a tensor is of an unknown type") from error
            if elements == 0 or elements % block:
                raise BadLayout("a tensor has no elements, or a part of a block")
            places.append((self._integer("Q"), elements // block * size))
        alignment = self._numbers.get("general.alignment", 32)
        if alignment <= 0 or alignment & (alignment - 1):
            raise BadLayout("its alignment is not a power of two")
        room = len(self._data) - (self._at + -self._at % alignment)
        end = 0
        for offset, size in sorted(places):
            if offset < end:
                raise BadLayout("two tensors share bytes of the file")
            end = offset + size
        if end > max(room, 0):
            raise BadLayout("a tensor goes on behind the end of the file")
        self._require_built_from(len(places), widest)

    def _require_built_from(self, tensors: int, widest: int) -> None:
        """Raise an error if the metadata contain sizes that no tensor has.

        transformers creates the model from the metadata before it reads the tensors.
        """
        for key, value in self._numbers.items():
            if key.endswith(".block_count"):
                most = tensors
            elif key.endswith(LENGTHS):
                most = widest
            else:
                continue
            if tensors and not 0 <= value <= most:
                raise BadLayout(f"{key} is {value}, which does not fit its tensors")

    def _value(self, kind: int, key: str, depth: int) -> None:
        if kind in INTEGERS and depth == 0:
            self._numbers[key] = self._integer(INTEGERS[kind])
        elif kind in SIZES:
            self._skip(SIZES[kind])
        elif kind == STRING:
            self._skip(self._integer("Q"))
        elif kind == ARRAY and depth < DEEPEST:
            inner, count = self._integer("I"), self._integer("Q")
            if inner in SIZES:
                self._skip(SIZES[inner] * count)
                return
            # The loop ends, because even an empty string or array takes up eight bytes of the file.
            for _ in range(count):
                self._value(inner, key, depth + 1)
        else:
            raise BadLayout("a metadata entry is of an unknown type, or its arrays are too deep")

    def _text(self) -> bytes:
        length = self._integer("Q")
        if length > MOST_KEY_BYTES:
            raise BadLayout("a name is too long")
        start = self._at
        self._skip(length)
        return self._data[start : self._at]

    def _integer(self, form: str) -> int:
        start = self._at
        self._skip(struct.calcsize(f"<{form}"))
        found: int = struct.unpack_from(self._order + form, self._data, start)[0]
        return found

    def _skip(self, size: int) -> None:
        if size > len(self._data) - self._at:
            raise BadLayout("it ends in the middle of its header")
        self._at += size
