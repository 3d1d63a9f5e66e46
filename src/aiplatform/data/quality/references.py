"""Evaluation data and benchmarks with which a version is compared, as sorted hashes.

The hashes are kept in unnamed files that are mapped into memory, because a reference may be as
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
    """A version with which the data is compared.

    Attributes:
        label: The name of the version for users, such as ``held-out@v2``.
        role: ``evaluation`` if none of its rows may occur in training data, or ``benchmark`` if
            none of its passages may.
        path: Its canonical Parquet file.
        dataset: The uuid of its dataset, for the report.
    """

    label: str
    role: Role
    path: Path
    dataset: str | None = None

    @property
    def rows(self) -> int:
        """The number of rows in the version."""
        return row_count(self.path)

    def batches(self) -> Iterator[tuple[pa.RecordBatch, list[str]]]:
        """Yield the version's rows in small pieces, each with the columns that training reads."""
        schema = pq.read_schema(self.path)
        known = CONTENT_COLUMNS.get(shape_of_schema(schema), schema.names)
        names = [name for name in known if name in schema.names]
        for batch in iter_batches(self.path):
            for piece in pieces_of(batch):
                yield piece, names


def all_tokens(batch: pa.RecordBatch, names: Iterable[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the tokens of whole rows; see :func:`tokens_of`."""
    return tokens_of(texts_of(batch, names))


def asked_tokens(batch: pa.RecordBatch, names: Iterable[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the tokens of the questions: all texts except the answers, which a model learns."""
    sides = sides_of(batch, [name for name in names if name != "label"])
    return tokens_of(
        (texts.filter(asked), rows.filter(asked))
        for texts, rows, is_answer in sides
        for asked in (pc.invert(is_answer),)
    )


STEP = np.uint64(0x9E3779B97F4A7C15)


def fingerprints(tokens: np.ndarray, rows: np.ndarray, count: int) -> np.ndarray:
    """Return a hash (uint64) of the tokens of each of ``count`` rows; 0 if a row has no tokens.

    Tokens do not include case, punctuation or white space, so these don't matter.
    """
    starts = np.searchsorted(rows, np.arange(count + 1))
    found = np.zeros(count, np.uint64)
    if not len(tokens):
        return found
    positions = np.arange(len(tokens)) - starts[rows]
    powers = np.full(int(positions.max()) + 1, STEP, np.uint64)
    powers = np.multiply.accumulate(powers)
    some = starts[1:] > starts[:-1]
    sums = np.add.reduceat(tokens * powers[positions], starts[:-1][some])
    found[some] = (sums ^ (sums >> np.uint64(32))) | np.uint64(1)
    return found


class SortedKeys:
    """An index of rows by a key (uint64), to look up many keys together; 0 means no key."""

    def __init__(self, keys: np.ndarray, rows: np.ndarray | None = None) -> None:
        rows = np.arange(len(keys), dtype=np.uint32) if rows is None else rows
        known = np.flatnonzero(keys)
        order = known[np.argsort(keys[known], kind="stable")]
        self.keys = move_to_disk(keys[order])
        self.rows = move_to_disk(rows[order])

    def positions(self, wanted: np.ndarray) -> np.ndarray:
        """Return the first index in ``keys`` of each wanted key; -1 if it is unknown or 0."""
        if not len(self.keys):
            return np.full(len(wanted), -1, np.int64)
        at = np.searchsorted(self.keys, wanted)
        inside = np.minimum(at, len(self.keys) - 1)
        hit = (self.keys[inside] == wanted) & (wanted != 0)
        return np.where(hit, at, -1)

    def first_rows(self, wanted: np.ndarray) -> np.ndarray:
        """Return the first row with each wanted key; -1 if the key is unknown or 0."""
        positions = self.positions(wanted)
        found = np.full(len(wanted), -1, np.int64)
        hit = positions >= 0
        found[hit] = self.rows[positions[hit]]
        return found


def unnamed_file() -> IO[bytes]:
    """Create a file without a name, which the system deletes when the process ends."""
    return tempfile.TemporaryFile()


def move_to_disk(array: np.ndarray) -> np.ndarray:
    """Move an array to an unnamed file, and return it mapped from there."""
    if not len(array):
        return array
    file = unnamed_file()
    file.write(np.ascontiguousarray(array).data)
    return map_file(file, array.dtype)


def map_file(file: IO[bytes], kind: np.dtype | type) -> np.ndarray:
    """Return the content of a file as a mapped array; an empty array for an empty file."""
    file.flush()
    if not file.tell():
        return np.zeros(0, kind)
    return np.memmap(file, kind, mode="r")
