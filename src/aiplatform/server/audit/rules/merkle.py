"""Merkle trees over SHA-256, as in RFC 6962 (Certificate Transparency).

A leaf is hashed with the prefix 0x00 and a node with 0x01, so that a node can't be presented as a
leaf. RFC 6962 splits a tree of n leaves at the largest power of two below n. This module builds the
same tree level by level: it pairs the hashes from the left, and a last hash without a partner moves
up unchanged.
"""

from collections.abc import Sequence
from hashlib import sha256

LEAF, NODE = b"\x00", b"\x01"
HASH_BYTES = 32


def leaf_hash(content: bytes) -> bytes:
    """Return the hash of a leaf."""
    return sha256(LEAF + content).digest()


class Tree:
    """A Merkle tree over one or more leaf hashes, which keeps all levels to compute paths."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self._levels = [list(leaves)]
        while len(self._levels[-1]) > 1:
            self._levels.append(_above(self._levels[-1]))

    @property
    def root(self) -> bytes:
        """The hash that covers all leaves."""
        return self._levels[-1][0]

    def path(self, index: int) -> list[bytes]:
        """Return the sibling hashes from the leaf at ``index`` up to the root."""
        path = []
        for level in self._levels[:-1]:
            sibling = index ^ 1
            if sibling < len(level):
                path.append(level[sibling])
            index //= 2
        return path


def root_of(leaves: Sequence[bytes]) -> bytes:
    """Return the root of a tree over leaf hashes; without leaves, the hash of an empty string."""
    return Tree(leaves).root if leaves else sha256(b"").digest()


def root_by(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes | None:
    """Return the root to which ``path`` leads; None if the path does not fit ``size`` leaves."""
    if not 0 <= index < size:
        return None
    rest = list(path)
    while size > 1:
        if index ^ 1 < size:
            if not rest:
                return None
            sibling = rest.pop(0)
            pair = (sibling, leaf) if index & 1 else (leaf, sibling)
            leaf = sha256(NODE + pair[0] + pair[1]).digest()
        index //= 2
        size = (size + 1) // 2
    return None if rest else leaf


def _above(level: list[bytes]) -> list[bytes]:
    above = [sha256(NODE + level[i] + level[i + 1]).digest() for i in range(0, len(level) - 1, 2)]
    if len(level) % 2:
        above.append(level[-1])
    return above
