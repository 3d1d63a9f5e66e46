"""Split the rows of a version into parts: seeded, stratified, and without leakage.

Rows that belong together form a unit and go to the same part: rows with the same question, equal
rows, rows with the same value in the group column, and on request near duplicates. Questions and
rows are compared in the same way as by the leakage check (:mod:`~aiplatform.data.quality.leakage`),
so that the check finds no overlap between the parts. Units are shuffled within their stratum, and
cut where their cumulative number of rows reaches the fractions. The order depends only on the seed
and on the positions of the rows, so that the same version is always split in the same way.
"""

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from aiplatform.data.canonical import iter_batches, row_count, shape_of_schema
from aiplatform.data.errors import MalformedData
from aiplatform.data.row_access import Numbers, pseudo_random
from aiplatform.data.shapes import CONTENT_COLUMNS
from aiplatform.data.tables import content_hashes
from aiplatform.protocol.enums import DataShape
from aiplatform.protocol.rows import RowSplit


def assign_parts(path: Path, split: RowSplit) -> npt.NDArray[np.int64]:
    """Return the part number of each row; ``split.fractions`` gives the order of the parts.

    Raises:
        MalformedData: the group or stratum column does not exist.
    """
    whole: list[Numbers] = []
    asked: list[Numbers] = []
    groups: list[Numbers] = []
    strata: list[Numbers] = []
    for batch in iter_batches(path):
        for column in (split.group, split.stratify):
            if column is not None and column not in batch.schema.names:
                raise MalformedData("column_unknown", column=column)
        if split.by == "row":
            whole.append(content_hashes(batch))
        else:
            of_rows, of_questions = question_keys(batch)
            whole.append(of_rows)
            asked.append(of_questions)
        if split.group is not None:
            groups.append(_group_keys(batch, split.group, whole[-1]))
        strata.append(
            np.zeros(batch.num_rows, np.uint64)
            if split.stratify is None
            else content_hashes(batch, [split.stratify])
        )
    keys = [np.concatenate(part) for part in (whole, asked, groups) if part]
    if split.near:
        keys.append(_near_roots(path))
    rows = pl.DataFrame({"unit": connected_components(keys), "stratum": np.concatenate(strata)})
    rows = rows.with_row_index("place")
    found = rows.group_by("unit").agg(
        pl.len().alias("rows"),
        pl.col("place").min().alias("first"),
        pl.col("stratum").first().alias("stratum"),
    )
    # The order depends on the first row of each unit, not on its key: the hashes of Polars may
    # change with its version.
    lots = pseudo_random(found["first"].to_numpy().astype(np.uint64), split.seed)
    strata_first = found.group_by("stratum").agg(pl.col("first").min().alias("stratum_first"))
    found = (
        found.with_columns(pl.Series("lot", lots))
        .join(strata_first, on="stratum")
        .sort("stratum_first", "lot", "first")
        .with_columns(
            (pl.col("rows").cum_sum().over("stratum") - pl.col("rows") / 2).alias("middle"),
            pl.col("rows").sum().over("stratum").alias("all"),
        )
    )
    bounds = np.array(list(accumulate(split.fractions.values()))[:-1])
    part = np.searchsorted(bounds, (found["middle"] / found["all"]).to_numpy(), side="left")
    dealt = rows.join(
        found.select("unit", pl.Series("part", part.astype(np.int64))), on="unit"
    ).sort("place")
    numbers: npt.NDArray[np.int64] = dealt["part"].to_numpy()
    return numbers


def question_keys(batch: pa.RecordBatch) -> tuple[Numbers, Numbers]:
    """Return two keys for each row: one for its words, and one for its question.

    Rows with the same words have the same first key, and rows with the same question the same
    second key. For a row without a question, both keys are equal.
    """
    # Imported late, because code that does not split rows must not load the checks.
    from aiplatform.data.quality.leakage import LEAST_ASKED, RowFeatures  # noqa: PLC0415

    shape = shape_of_schema(batch.schema)
    known = CONTENT_COLUMNS.get(shape, batch.schema.names)
    rows = RowFeatures(batch, [name for name in known if name in batch.schema.names])
    # A table does not say which text is a question; one or two words are more likely a label.
    least = LEAST_ASKED if shape is DataShape.TABLE else 1
    whole = np.where(rows.whole == 0, content_hashes(batch), rows.whole)
    return whole, np.where(rows.asked_counts >= least, rows.asked_by_all, whole)


def _group_keys(batch: pa.RecordBatch, group: str, alone: Numbers) -> Numbers:
    """Return a key for each row; all rows of a group have the same key.

    A row without a group gets its key from ``alone``.
    """
    keys = content_hashes(batch, [group])
    missing = batch.column(group).is_null().to_numpy(zero_copy_only=False)
    return np.where(missing, alone, keys)


def _near_roots(path: Path) -> Numbers:
    """Return the first row of each row's cluster of near duplicates."""
    from aiplatform.data.quality.check import Context  # noqa: PLC0415
    from aiplatform.data.quality.near_duplicates import NearDuplicates  # noqa: PLC0415
    from aiplatform.data.quality.pieces import pieces_of  # noqa: PLC0415

    schema = pq.read_schema(path)
    check = NearDuplicates(Context(shape_of_schema(schema), schema, row_count(path)))
    first = 0
    for batch in iter_batches(path):
        for piece in pieces_of(batch):
            check.look(piece, first)
            first += piece.num_rows
    roots = np.arange(first, dtype=np.uint64)
    for others, of_others in check.clusters().others():
        roots[others] = of_others.astype(np.uint64)
    return roots


def connected_components(keys: Sequence[Numbers]) -> Numbers:
    """Return the number of the connected component of each row.

    Two rows are in the same component if a chain of rows with equal keys connects them.

    Args:
        keys: One array for each way in which rows can belong together.
    """
    if len(keys) == 1:
        return keys[0]
    numbered = [np.unique(key, return_inverse=True)[1] for key in keys]
    labels = np.arange(len(keys[0]))
    while True:
        before = labels
        for numbers in numbered:
            least = np.full(int(numbers.max(initial=0)) + 1, len(labels))
            np.minimum.at(least, numbers, labels)
            labels = least[numbers]
        labels = labels[labels]
        if np.array_equal(labels, before):
            found: Numbers = labels.astype(np.uint64)
            return found
