"""Dealing the rows of a version out to parts: seeded, stratified, and without leaks.

Rows that belong together are a unit and go to the same part: equal rows, or those with an equal
value in the column of groups; of the rows without a group, each is by itself, with its equals.
Units are shuffled within their stratum and cut where the rows before them reach the fractions. The
order depends on the seed and on places alone, so the same version is dealt out the same way for
ever.
"""

from itertools import accumulate
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from aiplatform.data.canonical import iter_batches
from aiplatform.data.errors import MalformedData
from aiplatform.data.tables import content_hashes
from aiplatform.protocol.rows import RowSplit

Numbers = npt.NDArray[np.uint64]


def deal(path: Path, split: RowSplit) -> npt.NDArray[np.int64]:
    """The number of the part of each row, in the order of ``split.fractions``.

    Raises:
        MalformedData: there is no such column.
    """
    units: list[Numbers] = []
    strata: list[Numbers] = []
    for batch in iter_batches(path):
        for column in (split.group, split.stratify):
            if column is not None and column not in batch.schema.names:
                raise MalformedData("column_unknown", column=column)
        units.append(units_of(batch, split.group))
        strata.append(
            np.zeros(batch.num_rows, np.uint64)
            if split.stratify is None
            else content_hashes(batch, [split.stratify])
        )
    rows = pl.DataFrame({"unit": np.concatenate(units), "stratum": np.concatenate(strata)})
    rows = rows.with_row_index("place")
    found = rows.group_by("unit").agg(
        pl.len().alias("rows"),
        pl.col("place").min().alias("first"),
        pl.col("stratum").first().alias("stratum"),
    )
    # A unit lies where its first row does: what Polars hashes to may change with its version.
    lots = mixed(found["first"].to_numpy().astype(np.uint64), split.seed)
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


def units_of(batch: pa.RecordBatch, group: str | None) -> Numbers:
    """A number for each row that rows of one unit share."""
    if group is None:
        return content_hashes(batch)
    units = content_hashes(batch, [group])
    if batch.column(group).null_count:
        alone = batch.column(group).is_null().to_numpy(zero_copy_only=False)
        units = np.where(alone, content_hashes(batch), units)
    return units


def mixed(places: Numbers, seed: int) -> Numbers:
    """A random-looking number for each place: SplitMix64, Steele et al. 2014."""
    state: Numbers = places + np.uint64(seed * 0xD1342543DE82EF95 % 2**64)
    state = (state + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))
