"""Token pairs of rows as hashes, computed over whole batches at once.

Texts become arrays of code points; runs of letters and digits are words, a character of a script
without spaces is a word of its own. A word's hash is a difference of running sums, so that no step
looks at words one by one.
"""

from collections.abc import Iterable
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from aiplatform.data.quality.texts import texts_of

PRIME = np.uint64(0x100000001B3)
INVERSE = np.uint64(pow(int(PRIME), -1, 1 << 64))
_SPACELESS = ((0x0E00, 0x0EFF), (0x3040, 0x30FF), (0x3400, 0x9FFF), (0xF900, 0xFAFF))
"""Thai and Lao, kana, Chinese characters: each character is a token."""
_SIZE = 0x11000
KEPT_POWERS = 1 << 20
"""Powers of a factor that are kept: more than a piece of a row has characters."""


def _classes() -> np.ndarray:
    """0 no part of a word, 1 part of a word, 2 a word by itself; by code point."""
    table = np.fromiter((chr(c).isalnum() for c in range(_SIZE)), np.uint8, _SIZE)
    for first, last in _SPACELESS:
        table[first : last + 1] *= 2
    return table


_CLASSES = _classes()


def shingles_of(batch: pa.RecordBatch, names: Iterable[str]) -> tuple[np.ndarray, np.ndarray]:
    """The distinct shingles of each row in the columns ``names``; see :func:`shingled`."""
    tokens, rows = tokens_of(texts_of(batch, names))
    return shingled(tokens, rows, batch.num_rows)


def shingled(tokens: np.ndarray, rows: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The distinct shingles of ``count`` rows, whose tokens :func:`tokens_of` gives.

    Returns:
        Hashes (uint32), sorted within each row, and the bounds of the rows among them (int64, one
        more than there are rows).
    """
    pairs = (tokens[:-1] * PRIME) ^ (tokens[1:] + np.uint64(0x9E3779B9))
    pairs = (pairs ^ (pairs >> np.uint64(31))) * np.uint64(0x9FB21C651E98DF25)
    within = rows[:-1] == rows[1:]
    keyed = (rows[:-1][within].astype(np.uint64) << np.uint64(32)) | (
        pairs[within] >> np.uint64(32)
    )
    # NumPy's unique would hash them first, which takes four times as long.
    keyed.sort()
    keyed = keyed[np.concatenate(([True], keyed[1:] != keyed[:-1]))[: len(keyed)]]
    owners = (keyed >> np.uint64(32)).astype(np.int64)
    bounds = np.searchsorted(owners, np.arange(count + 1))
    return keyed.astype(np.uint32), bounds.astype(np.int64)


def tokens_of(texts_by_row: Iterable[tuple[pa.Array, pa.Array]]) -> tuple[np.ndarray, np.ndarray]:
    """A hash (uint64) for each token in the order of rows, and each token's row.

    Args:
        texts_by_row: texts, and the row that each is in.
    """
    tokens, rows = [], []
    for texts, owners in texts_by_row:
        present = texts.is_valid()
        found, owner = _tokens(texts.filter(present))
        tokens.append(found)
        rows.append(owners.filter(present).to_numpy()[owner])
    if not tokens:
        return np.zeros(0, np.uint64), np.zeros(0, np.int64)
    all_rows = np.concatenate(rows)
    order = np.argsort(all_rows, kind="stable")
    return np.concatenate(tokens)[order], all_rows[order]


def _tokens(texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """The tokens of texts one after another, and the index of the text that each is in."""
    # Texts are told apart by NUL, which one of them may hold, too.
    plain = pc.replace_substring(pc.utf8_lower(texts), "\x00", " ")
    joined = "\x00".join(plain.to_pylist())
    points = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), np.uint32)
    if not len(points):
        return np.zeros(0, np.uint64), np.zeros(0, np.int64)
    # Beyond the table are emoji and rare characters; the latter stand for themselves.
    kinds = np.where(points < _SIZE, _CLASSES[np.minimum(points, _SIZE - 1)], np.uint8(2))
    before = np.concatenate(([np.uint8(0)], kinds[:-1]))
    starts = np.flatnonzero((kinds == 2) | ((kinds == 1) & (before != 1)))
    after = np.concatenate((kinds[1:], [np.uint8(0)]))
    ends = np.flatnonzero((kinds == 2) | ((kinds == 1) & (after != 1))) + 1
    sums = np.concatenate(([np.uint64(0)], np.cumsum(points * powers(PRIME, len(points)))))
    # A word that starts at i has its sum times PRIME^i, wherever in the batch that is.
    hashes = (sums[ends] - sums[starts]) * powers(INVERSE, len(points))[starts]
    hashes = (hashes ^ (hashes >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    texts_before = np.cumsum(points == 0)
    return hashes, texts_before[starts]


def powers(factor: np.uint64, count: int) -> np.ndarray:
    """The powers of ``factor`` from 0 on, modulo 2^64."""
    if count > KEPT_POWERS:
        return _powers(factor, count)
    return _kept_powers(factor)[:count]


@cache
def _kept_powers(factor: np.uint64) -> np.ndarray:
    return _powers(factor, KEPT_POWERS)


def _powers(factor: np.uint64, count: int) -> np.ndarray:
    powers = np.full(count, factor, np.uint64)
    powers[0] = 1
    return np.multiply.accumulate(powers)
