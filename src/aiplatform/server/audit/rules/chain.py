"""Seals: each covers a batch of audit rows and the seal before it.

A seal contains a hash of each row's canonical text: one line of JSON as PostgreSQL prints a
``jsonb`` object (:data:`ROW_TEXT`). Exports and archives contain the same line, so hashing the line
is enough to verify it. ``user_id`` is not part of the text, because it becomes NULL when the user
is deleted; ``details.actor`` keeps the name and uuid.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

from aiplatform.server.audit.rules.merkle import HASH_BYTES, leaf_hash, root_of

SEAL = b"\x02"
"""Prefix of the bytes that are hashed for a seal; :mod:`.merkle` uses 0x00 and 0x01."""

GENESIS = bytes(HASH_BYTES)
"""Value that the first seal contains in place of the hash of a previous seal."""

ROW_TEXT = """
jsonb_build_object(
    'id', l.id, 'uuid', e.uuid, 'action', l.action, 'resource_type', l.resource_type,
    'resource_id', l.resource_id, 'project', e.project_uuid, 'outcome', e.outcome,
    'details', l.details, 'ip_address', abbrev(l.ip_address), 'user_agent', l.user_agent,
    'created_at', to_char(l.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
)::text
"""
"""SQL expression for the canonical text of a row in ``audit_logs l`` and ``audit_entries e``."""

Ranges = list[tuple[int, int]]
"""A set of row numbers: ascending ranges without gaps, each with its first and last number."""


def row_leaf(text: str) -> bytes:
    """Return the leaf hash of a row's canonical text."""
    return leaf_hash(text.encode())


@dataclass(frozen=True, slots=True)
class Seal:
    """A sealed batch of rows.

    ``ranges`` are the numbers of the rows. ``leaves`` are the rows' hashes in the order of the
    numbers, and ``root`` is the hash over all leaves. ``previous`` is the hash of the seal before
    this one, and ``head`` the hash of this one. ``sealed_at`` is in ISO 8601, in UTC.
    """

    id: int
    sealed_at: str
    ranges: tuple[tuple[int, int], ...]
    leaves: tuple[bytes, ...]
    root: bytes
    previous: bytes
    head: bytes

    @classmethod
    def create(
        cls, number: int, sealed_at: str, rows: Sequence[tuple[int, bytes]], previous: bytes
    ) -> "Seal":
        """Create a seal over ``rows``, which are pairs of ascending row number and leaf hash."""
        leaves = tuple(leaf for _, leaf in rows)
        ranges = tuple(to_ranges(number for number, _ in rows))
        root = root_of(leaves)
        head = head_of(number, sealed_at, ranges, root, previous)
        return cls(number, sealed_at, ranges, leaves, root, previous, head)

    @property
    def size(self) -> int:
        """The number of rows that the seal covers."""
        return size_of(self.ranges)

    def fault(self) -> str | None:
        """Return a description of the fault if the seal's hashes are inconsistent, or None."""
        if self.head != head_of(self.id, self.sealed_at, self.ranges, self.root, self.previous):
            return "its own hash is not that of what it says"
        if len(self.leaves) != self.size or self.root != root_of(self.leaves):
            return "its rows' hashes do not give its root"
        return None


def head_of(
    number: int, sealed_at: str, ranges: Iterable[tuple[int, int]], root: bytes, previous: bytes
) -> bytes:
    """Return the hash of a seal, which the next seal contains."""
    ranges = list(ranges)
    content = {
        "id": number,
        "ids": ranges_text(ranges),
        "previous": previous.hex(),
        "root": root.hex(),
        "rows": size_of(ranges),
        "sealed_at": sealed_at,
        "version": 1,
    }
    return sha256(
        SEAL + json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    ).digest()


def to_ranges(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Group ascending numbers into ranges without gaps; yield the first and last of each."""
    first = last = None
    for number in numbers:
        if first is None or last is None:
            first = last = number
        elif number == last + 1:
            last = number
        else:
            yield first, last
            first = last = number
    if first is not None and last is not None:
        yield first, last


def size_of(ranges: Iterable[tuple[int, int]]) -> int:
    """Return how many numbers ``ranges`` contain."""
    return sum(last - first + 1 for first, last in ranges)


def numbers_in(ranges: Iterable[tuple[int, int]]) -> Iterator[int]:
    """Yield the numbers in ``ranges`` in ascending order."""
    for first, last in ranges:
        yield from range(first, last + 1)


def ranges_text(ranges: Iterable[tuple[int, int]]) -> str:
    """Return ``ranges`` as text, such as ``1..100,103``."""
    return ",".join(str(first) if first == last else f"{first}..{last}" for first, last in ranges)


def parse_ranges(text: str) -> Ranges:
    """Parse a text written by :func:`ranges_text`.

    Raises:
        ValueError: when the text has another form, or its ranges are not in ascending order.
    """
    found: Ranges = []
    for part in text.split(",") if text else ():
        first, dots, last = part.partition("..")
        run = (int(first), int(last) if dots else int(first))
        if run[0] > run[1] or (found and run[0] <= found[-1][1] + 1):
            raise ValueError("runs of numbers must ascend")
        found.append(run)
    return found


@dataclass(frozen=True, slots=True)
class Head:
    """The number and hash of the newest seal.

    Operators keep it outside the database in order to compare the trail with it later.
    """

    id: int
    hash: bytes

    def __str__(self) -> str:
        return f"{self.id}:{self.hash.hex()}"

    @classmethod
    def parse(cls, text: str) -> "Head":
        """Parse a text written by :meth:`__str__`.

        Raises:
            ValueError: when the text has another form.
        """
        number, _, digest = text.strip().partition(":")
        head = cls(int(number), bytes.fromhex(digest))
        if head.id < 1 or len(head.hash) != HASH_BYTES:
            raise ValueError("a head is a number, a colon and 64 hexadecimal digits")
        return head
