"""Check for rows that are exact copies of an earlier row."""

import hashlib
from array import array
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from aiplatform.data.errors import Words
from aiplatform.data.quality.check import (
    MAX_EXAMPLES,
    Check,
    Context,
    Example,
    Finding,
    Severity,
    row_numbers,
)
from aiplatform.data.quality.disk_buckets import Buckets, RowSet
from aiplatform.data.quality.pieces import cache_last_piece
from aiplatform.data.quality.texts import is_conversation

DIGEST_BYTES = 16

Slice = Callable[[int], "bytes | memoryview"]


class Duplicates(Check):
    """A check for rows that are equal in all columns that training reads.

    Identifiers and other columns may differ.
    """

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._copies = Copies(context.rows)

    def look(self, batch: pa.RecordBatch, first_row: int) -> None:
        self._copies.add(row_digests(batch, self.context.content), first_row)

    def findings(self) -> list[Finding]:
        shown = self._copies.close()
        repeats = self._copies.rows
        if not shown:
            return []
        return [
            Finding(
                "duplicates",
                Severity.WARNING,
                len(repeats),
                Words("exact copies of an earlier row", "与前面的数据完全相同"),
                Words(
                    "The model memorises repeated rows. If copies are in both the training data "
                    "and the held-out data, the results look better than they are.",
                    "模型会死记重复的数据；若副本同时出现在训练数据和留出数据中，评估结果会虚高。",
                ),
                examples=[Example(row, f"= {first}") for row, first in shown],
                rows=row_numbers(repeats.rows()) if self.context.keeps_rows else array("I"),
            )
        ]


class Copies:
    """The rows that repeat an earlier row, found by comparing digests that are kept on disk.

    Attributes:
        rows: The set of these rows; complete after :meth:`close`.
    """

    def __init__(self, rows: int) -> None:
        self.rows = RowSet(rows)
        self._digests = Buckets(rows, [("key", "<u8"), ("rest", "<u8"), ("row", "<u4")])
        self._near: list[tuple[int, int, int]] = []

    def add(self, digests: bytes, first_row: int) -> None:
        """Add the ``digests`` of consecutive rows, starting with ``first_row``."""
        halves = halves_of(digests)
        # Copies within this batch are removed immediately; otherwise, a row that occurs a million
        # times would overfill its bucket.
        repeats, _ = repeated(halves)
        self.rows.add(repeats + first_row)
        for row in np.sort(repeats)[: MAX_EXAMPLES - len(self._near)].tolist():
            self._near.append((first_row + row, int(halves[row, 0]), int(halves[row, 1])))
        kept = np.delete(np.arange(len(halves)), repeats)
        self._digests.add(
            self._digests.records(key=halves[kept, 0], rest=halves[kept, 1], row=kept + first_row)
        )

    def close(self) -> list[tuple[int, int]]:
        """Find all copies, and return the first few, each with the row that it repeats."""
        shown: list[tuple[int, int]] = []
        for records in self._digests.whole():
            digests = np.stack([records["key"], records["rest"]], axis=1)
            repeats, firsts = repeated(digests)
            rows = records["row"].astype(np.int64)
            self.rows.add(rows[repeats])
            order = np.argsort(repeats)[:MAX_EXAMPLES]
            shown += zip(rows[repeats[order]].tolist(), rows[firsts[order]].tolist(), strict=True)
            for row, *digest in self._near:
                found = np.flatnonzero((digests == np.array(digest, np.uint64)).all(axis=1))
                if len(found):
                    shown.append((row, int(rows[found[0]])))
        self._digests.close()
        return sorted(shown)[:MAX_EXAMPLES]


@cache_last_piece
def row_digests(batch: pa.RecordBatch, names: Sequence[str]) -> bytes:
    """Return the concatenated 16-byte digests of all rows, computed over the columns ``names``."""
    slices = [part for name in names for part in _slices(batch.column(name))]
    digest = hashlib.blake2b
    return b"".join(
        digest(b"".join([part(row) for part in slices]), digest_size=DIGEST_BYTES).digest()
        for row in range(batch.num_rows)
    )


def halves_of(digests: bytes) -> np.ndarray:
    """Return digests as two columns of uint64."""
    return np.frombuffer(digests, dtype="<u8").reshape(-1, 2)


def repeated(halves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of rows that repeat an earlier row, and the first row equal to each."""
    order = np.lexsort((halves[:, 1], halves[:, 0]))  # Stable: equal rows stay in their order.
    same = (halves[order[1:]] == halves[order[:-1]]).all(axis=1)
    starts = np.concatenate(([True], ~same)) if len(order) else np.zeros(0, dtype=bool)
    first_of_group = order[np.flatnonzero(starts)]
    group = np.cumsum(starts) - 1
    return order[~starts], first_of_group[group[~starts]]


def _slices(column: pa.Array) -> list[Slice]:
    """Return functions that each map a row to bytes; together, the bytes identify its value."""
    if not is_conversation(column):
        return _text_slices(column if pa.types.is_string(column.type) else column.cast(pa.string()))
    bounds = column.offsets.to_pylist()
    parts = column.values.flatten()
    return [each for part in parts for each in _message_slices(part, bounds)]


def _text_slices(texts: pa.Array) -> list[Slice]:
    return _message_slices(texts, range(len(texts) + 1))


def _message_slices(texts: pa.Array, bounds: "list[int] | range") -> list[Slice]:
    """Return two functions that map a row to the lengths of its texts, and to their bytes.

    Texts are stored one after another in an Arrow array, so the texts of a row are one slice of its
    buffer.
    """
    lengths = pc.fill_null(pc.binary_length(texts), -1).cast(pa.int32())
    length_bytes = memoryview(lengths.buffers()[1])[4 * lengths.offset :]
    _, offset_buffer, data_buffer = texts.buffers()
    offsets = np.frombuffer(offset_buffer, dtype=np.int32)[texts.offset :]
    cuts = offsets[np.asarray(bounds)].tolist() if len(bounds) else []
    data = memoryview(data_buffer) if data_buffer is not None else memoryview(b"")
    return [
        lambda row: length_bytes[4 * bounds[row] : 4 * bounds[row + 1]],
        lambda row: data[cuts[row] : cuts[row + 1]],
    ]
