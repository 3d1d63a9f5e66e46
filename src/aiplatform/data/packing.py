"""Pack a file into parts, and store only the difference from a known file.

Parts that are in the known file are not stored again; parts that are similar to its parts are
stored as differences. :mod:`~aiplatform.data.parts` explains parts and reads them.
"""

import hashlib
import os
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import zstandard

from aiplatform.data.blobs import BlobNotFoundError
from aiplatform.data.parts import MAX_CHAIN, Part, ReadBlob, unchain

WORTH = 0.5
"""Largest size of a stored difference, as a fraction of the size of the part packed alone."""

SURE = 0.03
"""Size of a difference, as a fraction of the unpacked part, up to which it is always stored.

The part is then not packed alone for comparison.
"""

THREADS = min(4, os.cpu_count() or 1)
AT_ONCE = 4
"""Number of parts that are packed, and held in memory, at the same time."""

NEIGHBOURS = (1, -1, 2)
GIVE_UP_AFTER = 6
"""Number of consecutive parts without a similar known part after which the comparison stops."""


@dataclass(slots=True)
class Packed:
    """A packed file.

    Attributes:
        sha256: The hash of the whole file, in hexadecimal.
        size: The size of the whole file in bytes.
        parts: All parts of the file, in order.
        new: The new blobs: path, SHA-256 and size in bytes.
    """

    sha256: str
    size: int
    parts: list[Part] = field(default_factory=list)
    new: list[tuple[Path, str, int]] = field(default_factory=list)


def pack(
    path: Path,
    ends: Iterable[int],
    prefix: Path,
    *,
    known: Sequence[Part] = (),
    read: ReadBlob | None = None,
) -> Packed:
    """Cut a file into parts, and pack those that are not known.

    Args:
        path: The file.
        ends: The offsets at which its parts end.
        prefix: Path prefix of the files to write for new blobs.
        known: The parts of the file from which this one was made.
        read: Reads a blob of the known parts.
    """
    packer = _Packer(prefix, known, read)
    with path.open("rb") as file, ThreadPoolExecutor(THREADS, thread_name_prefix="pack") as pool:
        start = 0
        for end in ends:
            if end > start:
                packer.add(pool, start, file.read(end - start))
                start = end
        packer.finish()
    return Packed(packer.whole.hexdigest(), start, packer.parts, packer.new)


class _Packer:
    """A packer for several parts in parallel, with a result that does not depend on timing.

    The known part with which a part is compared depends only on the results that are at least
    :data:`AT_ONCE` parts older, never on which thread finishes first.
    """

    def __init__(self, prefix: Path, known: Sequence[Part], read: ReadBlob | None) -> None:
        self.prefix = prefix
        self.known = known if read is not None else ()
        self.by_content = {part.content: at for at, part in enumerate(known)}
        self.read = read
        self.whole = hashlib.sha256()
        self.parts: list[Part] = []
        self.new: list[tuple[Path, str, int]] = []
        self.stored: dict[str, tuple[str, ...]] = {}
        self.shift = 0
        self.misses = 0
        self.waiting: deque[Future[_Piece]] = deque()

    def add(self, pool: ThreadPoolExecutor, start: int, data: bytes) -> None:
        if len(self.waiting) == AT_ONCE:
            self._take(self.waiting.popleft().result())
        candidates = self._candidates(start, start + len(data))
        self.waiting.append(pool.submit(self._piece, start, data, candidates))
        self.whole.update(data)

    def finish(self) -> None:
        while self.waiting:
            self._take(self.waiting.popleft().result())

    def _take(self, piece: "_Piece") -> None:
        """Append a finished part, and update the offset between this file and the known one."""
        blobs = self.stored.get(piece.content)
        if blobs is None:
            blobs = piece.chain
            if piece.base is not None:
                self.shift = piece.base.stop - (piece.start + piece.size)
                self.misses = 0
            else:
                self.misses += 1
            if piece.blob is not None:
                blobs = (*blobs, self._store(piece.blob))
        self.stored[piece.content] = blobs
        self.parts.append(Part(piece.start, piece.size, piece.content, blobs))

    def _piece(self, start: int, data: bytes, candidates: Sequence[int]) -> "_Piece":
        content = hashlib.sha256(data).hexdigest()
        piece = _Piece(start, len(data), content)
        if content in self.stored:
            return piece
        if content in self.by_content:
            piece.base = self.known[self.by_content[content]]
            piece.chain = piece.base.blobs
            return piece
        alone: bytes | None = None
        for at in candidates:
            base = self.known[at]
            # At the end of a long chain, a difference from its first blob is larger, but needs only
            # two reads.
            chain = base.blobs if len(base.blobs) < MAX_CHAIN else base.blobs[:1]
            assert self.read is not None
            try:
                difference = _difference(data, unchain(chain, self.read))
            except BlobNotFoundError:  # Garbage collection has deleted it meanwhile.
                continue
            if len(difference) > SURE * len(data):
                alone = alone or _alone(data)
                if len(difference) > WORTH * len(alone):
                    continue
            piece.base, piece.chain, piece.blob = base, chain, difference
            return piece
        piece.blob = alone or _alone(data)
        return piece

    def _candidates(self, start: int, stop: int) -> list[int]:
        """Return the indices of the known parts to compare with, best first.

        The first is the known part at the same position in the file; its neighbours follow.
        """
        if not self.known or self.misses >= GIVE_UP_AFTER:
            return []
        start, stop = start + self.shift, stop + self.shift
        overlaps = [min(p.stop, stop) - max(p.start, start) for p in self.known]
        nearest = max(range(len(overlaps)), key=overlaps.__getitem__)
        if self.misses > 1:
            return [nearest]
        near = [nearest, *(nearest + step for step in NEIGHBOURS)]
        return [at for at in near if 0 <= at < len(self.known)]

    def _store(self, blob: bytes) -> str:
        sha256 = hashlib.sha256(blob).hexdigest()
        path = self.prefix.with_name(f"{self.prefix.name}.{len(self.new)}.part")
        path.write_bytes(blob)
        self.new.append((path, sha256, len(blob)))
        return sha256


@dataclass(slots=True)
class _Piece:
    """The result of packing one part.

    Attributes:
        start: The offset of the part in the file.
        size: Its size in bytes, unpacked.
        content: The SHA-256 of its bytes, unpacked.
        base: The known part that it equals or resembles; None if there is none.
        chain: The blobs of ``base`` on which it builds.
        blob: The new blob after them; None if the part is known as a whole.
    """

    start: int
    size: int
    content: str
    base: Part | None = None
    chain: tuple[str, ...] = ()
    blob: bytes | None = None


def _alone(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=1).compress(data)


def _difference(data: bytes, base: bytes) -> bytes:
    # Between scattered changes, many short stretches of each column equal the base. The fast
    # strategies of low levels try only one earlier position and miss half of them. A table with
    # about one entry for every four positions, of which 32 are tried, still fits into the
    # processor's cache. See docs/adr/0006.
    table = max(17, min(22, len(base).bit_length() - 2))
    parameters = zstandard.ZstdCompressionParameters.from_level(
        6,
        window_log=24,
        hash_log=table,
        chain_log=table,
        search_log=5,
        strategy=zstandard.STRATEGY_LAZY,
    )
    dictionary = zstandard.ZstdCompressionDict(base, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    compressor = zstandard.ZstdCompressor(compression_params=parameters, dict_data=dictionary)
    return compressor.compress(data)
