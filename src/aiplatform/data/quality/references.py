"""Other data that a version is compared with: evaluation data and benchmarks, as sorted hashes.

Whatever is kept of them lies in unnamed files that are mapped into memory: a reference may be as
large as the data itself.
"""

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from aiplatform.data.canonical import iter_batches, row_count, shape_of_schema
from aiplatform.data.quality.pieces import pieces_of
from aiplatform.data.quality.shingles import tokens_of
from aiplatform.data.quality.texts import sides_of, texts_of
from aiplatform.data.shapes import CONTENT_COLUMNS

Role = Literal["evaluation", "benchmark"]


@dataclass(frozen=True, slots=True)
class Reference:
    """A version that the data is compared with.

    Attributes:
        label: how people call it: ``held-out@v2``.
        role: ``evaluation``: no row of it may be trained on; ``benchmark``: nor any passage.
        path: its canonical Parquet.
        dataset: the uuid of its dataset; passed on to the report.
    """

    label: str
    role: Role
    path: Path
    dataset: str | None = None

    @property
    def rows(self) -> int:
        """How many it has."""
        return row_count(self.path)

    def batches(self) -> Iterator[tuple[pa.RecordBatch, list[str]]]:
        """Its rows in small pieces, and the columns that training would read."""
        schema = pq.read_schema(self.path)
        known = CONTENT_COLUMNS.get(shape_of_schema(schema), schema.names)
        names = [name for name in known if name in schema.names]
        for batch in iter_batches(self.path):
            for piece in pieces_of(batch):
                yield piece, names


def all_tokens(batch: pa.RecordBatch, names: Iterable[str]) -> tuple[np.ndarray, np.ndarray]:
    """The tokens of whole rows; see :func:`tokens_of`."""
    return tokens_of(texts_of(batch, names))


def asked_tokens(batch: pa.RecordBatch, names: Iterable[str]) -> tuple[np.ndarray, np.ndarray]:
    """The tokens of what is asked: all texts but those that a model learns to say."""
    sides = sides_of(batch, [name for name in names if name != "label"])
    return tokens_of(
        (texts.filter(asked), rows.filter(asked))
        for texts, rows, said in sides
        for asked in (pc.invert(said),)
    )


STEP = np.uint64(0x9E3779B97F4A7C15)


def fingerprints(tokens: np.ndarray, rows: np.ndarray, count: int) -> np.ndarray:
    """For each of ``count`` rows one hash (uint64) of its tokens in their order; 0 without any.

    Case, punctuation and white space make no difference, since they are in no token.
    """
    starts = np.searchsorted(rows, np.arange(count + 1))
    found = np.zeros(count, np.uint64)
    if not len(tokens):
        return found
    places = np.arange(len(tokens)) - starts[rows]
    powers = np.full(int(places.max()) + 1, STEP, np.uint64)
    powers = np.multiply.accumulate(powers)
    some = starts[1:] > starts[:-1]
    sums = np.add.reduceat(tokens * powers[places], starts[:-1][some])
    found[some] = (sums ^ (sums >> np.uint64(32))) | np.uint64(1)
    return found


class SortedKeys:
    """Rows by a key (uint64), to look many up at once. Rows with the key 0 have none."""

    def __init__(self, keys: np.ndarray, rows: np.ndarray | None = None) -> None:
        rows = np.arange(len(keys), dtype=np.uint32) if rows is None else rows
        known = np.flatnonzero(keys)
        order = known[np.argsort(keys[known], kind="stable")]
        self.keys = on_disk(keys[order])
        self.rows = on_disk(rows[order])

    def places(self, wanted: np.ndarray) -> np.ndarray:
        """Where each key is first, or -1 where it is not; a wanted 0 never is."""
        if not len(self.keys):
            return np.full(len(wanted), -1, np.int64)
        at = np.searchsorted(self.keys, wanted)
        inside = np.minimum(at, len(self.keys) - 1)
        hit = (self.keys[inside] == wanted) & (wanted != 0)
        return np.where(hit, at, -1)

    def first_rows(self, wanted: np.ndarray) -> np.ndarray:
        """The first row with each key, or -1."""
        places = self.places(wanted)
        found = np.full(len(wanted), -1, np.int64)
        hit = places >= 0
        found[hit] = self.rows[places[hit]]
        return found


def spill() -> IO[bytes]:
    """A file without a name: it goes with the process, however that ends."""
    return tempfile.TemporaryFile()


def on_disk(array: np.ndarray) -> np.ndarray:
    """The same values, read from an unnamed file as they are needed."""
    if not len(array):
        return array
    file = spill()
    file.write(np.ascontiguousarray(array).data)
    return mapped(file, array.dtype)


def mapped(file: IO[bytes], kind: np.dtype | type) -> np.ndarray:
    """What was written to a file, as an array; an empty file gives an empty one."""
    file.flush()
    if not file.tell():
        return np.zeros(0, kind)
    return np.memmap(file, kind, mode="r")
