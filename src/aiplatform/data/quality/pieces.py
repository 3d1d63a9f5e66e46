"""Cut batches into pieces of similar size, to bound the memory of checks."""

from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from itertools import pairwise
from typing import TypeVar
from weakref import ref

import numpy as np
import pyarrow as pa

from aiplatform.data.canonical import row_sizes
from aiplatform.data.limits import MIB

Found = TypeVar("Found")

LOOK_BYTES = MIB
"""Approximate size of a piece; some checks need dozens of bytes per character."""


def pieces_of(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a batch in pieces of about :data:`LOOK_BYTES`."""
    number = np.cumsum(row_sizes(batch)) // LOOK_BYTES
    bounds = [0, *(np.flatnonzero(np.diff(number)) + 1).tolist(), batch.num_rows]
    if len(bounds) == 2:
        yield batch
        return
    for first, end in pairwise(bounds):
        # Copied, because a slice of conversations would keep the messages of all rows alive.
        yield batch.take(pa.array(range(first, end), pa.int64()))


def cache_last_piece(
    function: Callable[[pa.RecordBatch, Sequence[str]], Found],
) -> Callable[[pa.RecordBatch, Sequence[str]], Found]:
    """Cache the result for the last piece and columns, because several checks need it in turn."""
    last: tuple[ref[pa.RecordBatch], tuple[str, ...], Found] | None = None

    @wraps(function)
    def answer(batch: pa.RecordBatch, names: Sequence[str]) -> Found:
        nonlocal last
        known, asked = last, tuple(names)
        if known is None or known[0]() is not batch or known[1] != asked:
            known = last = (ref(batch), asked, function(batch, names))
        return known[2]

    return answer
