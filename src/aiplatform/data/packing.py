"""Packing files into parts: what a known file has is referred to, what is like it is a difference.

See :mod:`~aiplatform.data.parts` for what parts are and how they are read.
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
"""A difference is kept when it is at most this much of the part packed alone."""

SURE = 0.03
"""A difference of at most this much of the part unpacked is kept without packing it alone."""

THREADS = min(4, os.cpu_count() or 1)
AT_ONCE = 4
"""Parts that are in memory while a file is packed."""

NEIGHBOURS = (1, -1, 2)
GIVE_UP_AFTER = 6
"""Parts in a row that are like none of the known ones: then the file is another one."""


@dataclass(slots=True)
class Packed:
    """A file in parts, and the blobs among them that are new: path, SHA-256 and size in bytes."""

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
    """Cut a file and pack what is not known of it.

    Args:
        path: the file.
        ends: where its parts end.
        prefix: new blobs become files whose names begin with it.
        known: the parts of the file it was made from.
        read: gives a blob of those.
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
    """Packs parts, some at once; their order and what becomes of them don't depend on who is first.

    Which known part one is compared with follows from those that were finished
    :data:`AT_ONCE` parts before it.
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
        """Put a finished part behind the others, and learn from it where known ones lie."""
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
            # A difference to the first of a long chain is larger, but read in two steps.
            chain = base.blobs if len(base.blobs) < MAX_CHAIN else base.blobs[:1]
            assert self.read is not None
            try:
                difference = _difference(data, unchain(chain, self.read))
            except BlobNotFoundError:  # collected since: the part is stored alone
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
        """The known part at the same place first, then its neighbours."""
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
    """What became of one part: a known chain, with a new blob behind it unless it is known whole.

    ``base`` is the known part that it is or was compared with, if it is like one.
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
    # Scattered changes leave many short stretches of the base between them, in each column. The
    # fast strategies of the low levels look at one earlier place only, and lose half of these; a
    # table of about a position in four, in which 32 places are tried, still fits the processor's
    # cache. See docs/adr/0006.
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
