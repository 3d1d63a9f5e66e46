"""Hash the token pairs (shingles) of whole batches of rows.

Texts become arrays of code points. Runs of letters and digits are words; in writing systems without
spaces, each character is a word. The hash of a word is a difference of running sums, so that no
step has to handle words one by one.
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
"""Writing systems without spaces (Thai and Lao, kana, Chinese), whose characters are tokens."""
_SIZE = 0x11000
KEPT_POWERS = 1 << 20
"""Number of powers of a factor that are cached; a piece of rows normally has fewer characters."""


def _classes() -> np.ndarray:
    """Return the class of each code point: 0 not in words, 1 part of a word, 2 a whole word."""
    table = np.fromiter((chr(c).isalnum() for c in range(_SIZE)), np.uint8, _SIZE)
    for first, last in _SPACELESS:
        table[first : last + 1] *= 2
    return table


_CLASSES = _classes()


def shingles_of(batch: pa.RecordBatch, names: Iterable[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct shingles of each row; see :func:`shingles_of_tokens`."""
    tokens, rows = tokens_of(texts_of(batch, names))
    return shingles_of_tokens(tokens, rows, batch.num_rows)


def shingles_of_tokens(
    tokens: np.ndarray, rows: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct shingles of ``count`` rows, from their tokens.

    Args:
        tokens: The tokens returned by :func:`tokens_of`.
        rows: The row of each token.
        count: The number of rows.

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
    # np.unique would hash the values first, which takes four times as long.
    keyed.sort()
    keyed = keyed[np.concatenate(([True], keyed[1:] != keyed[:-1]))[: len(keyed)]]
    owners = (keyed >> np.uint64(32)).astype(np.int64)
    bounds = np.searchsorted(owners, np.arange(count + 1))
    return keyed.astype(np.uint32), bounds.astype(np.int64)


def tokens_of(texts_by_row: Iterable[tuple[pa.Array, pa.Array]]) -> tuple[np.ndarray, np.ndarray]:
    """Return a hash (uint64) and the row of each token, in the order of rows.

    Args:
        texts_by_row: Pairs of arrays: texts, and the row of each text.
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
    """Return a hash of each token of the texts, and the index of its text."""
    # NUL separates the texts, so it is replaced inside them.
    plain = pc.replace_substring(pc.utf8_lower(texts), "\x00", " ")
    joined = "\x00".join(plain.to_pylist())
    points = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), np.uint32)
    if not len(points):
        return np.zeros(0, np.uint64), np.zeros(0, np.int64)
    # Each character beyond the table (emoji, rare ideographs) is a token.
    kinds = np.where(points < _SIZE, _CLASSES[np.minimum(points, _SIZE - 1)], np.uint8(2))
    before = np.concatenate(([np.uint8(0)], kinds[:-1]))
    starts = np.flatnonzero((kinds == 2) | ((kinds == 1) & (before != 1)))
    after = np.concatenate((kinds[1:], [np.uint8(0)]))
    ends = np.flatnonzero((kinds == 2) | ((kinds == 1) & (after != 1))) + 1
    sums = np.concatenate(([np.uint64(0)], np.cumsum(points * powers(PRIME, len(points)))))
    # The sum of a word that starts at i has the factor PRIME^i, which the inverse removes, so that
    # the hash does not depend on the position.
    hashes = (sums[ends] - sums[starts]) * powers(INVERSE, len(points))[starts]
    hashes = (hashes ^ (hashes >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    texts_before = np.cumsum(points == 0)
    return hashes, texts_before[starts]


def powers(factor: np.uint64, count: int) -> np.ndarray:
    """Return the first ``count`` powers of ``factor``, starting with the 0th, modulo 2^64."""
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
