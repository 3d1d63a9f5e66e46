"""Files stored as lists of parts, so that a version stores only its changes.

The content of a file decides where it is cut. A Parquet file is cut at its row groups, whose ends
the canonical writer chooses by content. Any other file is cut at lines. A part that a known file
contains is not stored again. A part that is similar to a known one is stored as a difference
(Zstandard with the known bytes as dictionary). Therefore a part consists of a chain of blobs: the
first is unpacked alone, and each further one with the result of the blobs before it as dictionary.
"""

import hashlib
import io
import os
import zlib
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import zstandard

from aiplatform.data.blobs import BlobDamagedError, BlobNotFoundError, BlobStore
from aiplatform.data.limits import MIB

SMALLEST_PART = 2 * MIB
LARGEST_PART = 8 * MIB
"""Largest part, in bytes, of a file that is cut at lines; ``SMALLEST_PART`` is the smallest."""

CUT_LINES = 1024
"""Average number of lines between two lines at which a part may end."""

MAX_UNPACKED_PART = 64 * MIB
"""Largest unpacked size of a part in bytes. A longer row group is split into several parts."""

MAX_CHAIN = 6
"""Largest number of blobs in a part. Further differences are computed from its first blob."""

WINDOW_LOG = 27


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a file, stored as a chain of blobs.

    Attributes:
        start: The offset in the file.
        size: The unpacked size in bytes.
        content: The SHA-256 of the unpacked bytes.
        blobs: The chain of blobs, by their hashes.
    """

    start: int
    size: int
    content: str
    blobs: tuple[str, ...]

    @property
    def stop(self) -> int:
        """The offset in the file at which the part ends."""
        return self.start + self.size


ReadBlob = Callable[[str], bytes]


def row_group_ends(groups: Iterable[int], size: int) -> list[int]:
    """Return the offsets at which the parts of a Parquet file end.

    Each row group is a part; the footer belongs to the last one. Row groups longer than the largest
    part are split.

    Args:
        groups: The offset of the first byte of each row group.
        size: The size of the file in bytes.
    """
    ends = []
    start = 0
    for end in [*list(groups)[1:], size]:
        ends += [*range(start + MAX_UNPACKED_PART, end, MAX_UNPACKED_PART), end]
        start = end
    return ends


def line_ends(path: Path) -> Iterator[int]:
    """Yield the offsets at which the parts of a file other than Parquet end.

    A part ends after a line chosen by its hash, or at the latest after ``LARGEST_PART`` bytes.
    """
    start = at = 0
    with path.open("rb") as file:
        while True:
            file.seek(start + SMALLEST_PART)
            at = start + SMALLEST_PART + len(file.readline(LARGEST_PART - SMALLEST_PART))
            while at < start + LARGEST_PART:
                line = file.readline(start + LARGEST_PART - at)
                at += len(line)
                if not line:
                    yield file.seek(0, io.SEEK_END)
                    return
                if zlib.crc32(line) % CUT_LINES == 0:
                    break
            yield at
            start = at


def unchain(blobs: Sequence[str], read: ReadBlob) -> bytes:
    """Unpack a chain of blobs; the result is not checked against the hash of a part.

    Raises:
        BlobNotFoundError: a blob does not exist.
        BlobDamagedError: a blob can't be unpacked.
    """
    data = b""
    for sha256 in blobs:
        dictionary = None
        if data:
            dictionary = zstandard.ZstdCompressionDict(
                data, dict_type=zstandard.DICT_TYPE_RAWCONTENT
            )
        blob = read(sha256)
        try:
            if zstandard.frame_content_size(blob) > MAX_UNPACKED_PART:
                raise BlobDamagedError(f"{sha256} is not part of a file")
            data = zstandard.ZstdDecompressor(
                dict_data=dictionary, max_window_size=1 << WINDOW_LOG
            ).decompress(blob, max_output_size=MAX_UNPACKED_PART)
        except zstandard.ZstdError as error:
            raise BlobDamagedError(f"{sha256} can't be unpacked: {error}") from error
    return data


def unpack(part: Part, read: ReadBlob) -> bytes:
    """Return the bytes of a part.

    Raises:
        BlobNotFoundError: one of its blobs does not exist.
        BlobDamagedError: the bytes do not match the hash of the part.
    """
    data = unchain(part.blobs, read)
    if hashlib.sha256(data).hexdigest() != part.content:
        raise BlobDamagedError(f"the part {part.content} came out as something else")
    return data


def blob_reader(store: BlobStore) -> ReadBlob:
    """Return a function that reads a whole blob from ``store``; blobs of parts are small."""
    return lambda sha256: b"".join(store.read(sha256))


def read_parts(
    parts: Sequence[Part], read: ReadBlob, offset: int = 0, length: int | None = None
) -> Iterator[bytes]:
    """Return an iterator over ``length`` bytes of a file (default: all) from ``offset``.

    Only the parts that contain these bytes are read.

    Raises:
        BlobNotFoundError: a blob does not exist. For the first part, the call itself raises this.
    """
    stop = parts[-1].stop if length is None else min(parts[-1].stop, offset + length)
    wanted = [part for part in parts if part.start < stop and part.stop > offset]
    if not wanted or offset >= stop:
        return iter(())
    first = unpack(wanted[0], read)

    def chunks() -> Iterator[bytes]:
        for number, part in enumerate(wanted):
            data = first if number == 0 else unpack(part, read)
            begin = max(offset - part.start, 0)
            end = min(stop - part.start, part.size)
            for at in range(begin, end, MIB):
                yield data[at : min(at + MIB, end)]

    return chunks()


class PartsFile(io.RawIOBase):
    """A read-only, seekable file object for a file stored in parts; caches a few of them."""

    def __init__(self, parts: Sequence[Part], read: ReadBlob, *, kept: int = 3) -> None:
        self._parts = parts
        self._read = read
        self._size = parts[-1].stop if parts else 0
        self._at = 0
        self._kept = kept
        self._unpacked: OrderedDict[int, bytes] = OrderedDict()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(base + offset, 0)
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        left = self._size - self._at
        if size is not None and size >= 0:
            left = min(left, size)
        pieces = []
        while left > 0:
            number = self._number(self._at)
            part = self._parts[number]
            begin = self._at - part.start
            piece = self._part(number)[begin : begin + left]
            pieces.append(piece)
            self._at += len(piece)
            left -= len(piece)
        return b"".join(pieces)

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _number(self, position: int) -> int:
        low, high = 0, len(self._parts) - 1
        while low < high:
            middle = (low + high + 1) // 2
            if self._parts[middle].start <= position:
                low = middle
            else:
                high = middle - 1
        return low

    def _part(self, number: int) -> bytes:
        if number in self._unpacked:
            self._unpacked.move_to_end(number)
        else:
            while len(self._unpacked) >= self._kept:
                self._unpacked.popitem(last=False)
            self._unpacked[number] = unpack(self._parts[number], self._read)
        return self._unpacked[number]


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
        new: The path, SHA-256 and size in bytes of each new blob.
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
            except BlobNotFoundError:  # Garbage collection has deleted the blob.
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
        chain: The blobs of ``base`` on which the part builds.
        blob: The new blob after these; None if the part equals ``base``.
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
