"""Batches in pieces of about one size, so that what is held for each character stays bounded."""

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
"""Checks are shown about so much content at once: some hold dozens of bytes for each character."""


def pieces_of(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """The rows of a batch, whose size their content chose, in pieces of :data:`LOOK_BYTES`."""
    number = np.cumsum(row_sizes(batch)) // LOOK_BYTES
    bounds = [0, *(np.flatnonzero(np.diff(number)) + 1).tolist(), batch.num_rows]
    if len(bounds) == 2:
        yield batch
        return
    for first, end in pairwise(bounds):
        # Copied, since a slice of conversations carries the messages of all rows with it.
        yield batch.take(pa.array(range(first, end), pa.int64()))


def once_a_piece(
    function: Callable[[pa.RecordBatch, Sequence[str]], Found],
) -> Callable[[pa.RecordBatch, Sequence[str]], Found]:
    """What several checks ask of a piece and its columns, one after another, computed once."""
    last: tuple[ref[pa.RecordBatch], tuple[str, ...], Found] | None = None

    @wraps(function)
    def answer(batch: pa.RecordBatch, names: Sequence[str]) -> Found:
        nonlocal last
        known, asked = last, tuple(names)
        if known is None or known[0]() is not batch or known[1] != asked:
            known = last = (ref(batch), asked, function(batch, names))
        return known[2]

    return answer
