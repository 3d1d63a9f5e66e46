"""``python -m aiplatform.data.diff``: compare two versions row by row.

Rows are paired by a key column, or by their whole content. If several rows have the same key or
content, they are paired in order: the first of one version with the first of the other, and so on.
Apart from that, the order of rows does not matter.

Files are read one row group at a time. Memory holds a hash, a position and the key of each row:
about 20 bytes per row without the key. If there are not too many rows, a hash of each cell is also
in memory, so that changed rows need not be read a second time. The result is an index of
differences (kind, position before, position after), from which pages of rows and cells are read.
"""

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from aiplatform.data.canonical import iter_batches, row_count
from aiplatform.data.diff_index import ADDED, CHANGED, REMOVED, SUMMARY
from aiplatform.data.errors import MalformedData
from aiplatform.data.ingest import prepare_process, run_program
from aiplatform.data.row_hashes import PRIME, Hashes
from aiplatform.data.tables import (
    content_hashes,
    convert_batch,
    describe_columns,
    frame,
    unify_schemas,
)
from aiplatform.protocol.encoding import dumps
from aiplatform.protocol.specs import Strict

INDEX_GROUP_ROWS = 65_536

HASH_BYTES = 8
CELLS_BYTES = 256 << 20
"""Largest total size of both versions' cell hashes that is kept in memory."""


class Job(Strict):
    """The versions to compare, and the path of the index to write."""

    before: Path
    after: Path
    output: Path
    key: str | None = None


def compare(job: Job) -> dict[str, Any]:
    """Write the index for a job, and return the summary, which the index also contains.

    Raises:
        MalformedData: the key column does not exist, or its type is not allowed for keys.
    """
    first, second = pq.read_schema(job.before), pq.read_schema(job.after)
    wide = unify_schemas(first, second)
    if job.key is not None:
        for schema in (first, second):
            if job.key not in schema.names:
                raise MalformedData("column_unknown", column=job.key)
        if pa.types.is_nested(wide.field(job.key).type):
            raise MalformedData("key_type", column=job.key)
    with ThreadPoolExecutor(2) as pool:
        rows = row_count(job.before) + row_count(job.after)
        keep_cells = rows * len(wide.names) * HASH_BYTES <= CELLS_BYTES
        sides = pool.map(
            lambda path: _side(path, wide, job.key, keep_cells=keep_cells), (job.before, job.after)
        )
        before, after = sides
        index = _paired(before, after, keyed=job.key is not None)
        changed = index.filter(pl.col("kind") == CHANGED)
        cells = _changed_cells(job, wide, (before, after), changed, pool)
    counts = dict(index.group_by("kind").len().iter_rows())
    summary = {
        "key": job.key,
        "added": counts.get(ADDED, 0),
        "removed": counts.get(REMOVED, 0),
        "changed": counts.get(CHANGED, 0),
        "unchanged": len(after.table) - counts.get(ADDED, 0) - counts.get(CHANGED, 0),
        "rows_before": len(before.table),
        "rows_after": len(after.table),
        "cells": cells,
        "columns": _column_changes(first, second),
    }
    table = index.to_arrow().replace_schema_metadata({SUMMARY: dumps(summary).encode()})
    pq.write_table(table, job.output, row_group_size=INDEX_GROUP_ROWS, compression="zstd")
    return summary


def _side(path: Path, wide: pa.Schema, key: str | None, *, keep_cells: bool) -> "_Side":
    """Read the hash, the position and the key of each row of a version."""
    hashes: list[Hashes] = []
    seconds: list[Hashes] = []
    keys: list[pl.DataFrame] = []
    cells: dict[str, list[Hashes]] = {name: [] for name in wide.names if name != key}
    for plain in iter_batches(path):
        rows = frame(convert_batch(plain, wide))
        if key is None:
            # Rows are paired by these hashes alone, so they have 128 bits.
            hashes.append(rows.hash_rows().to_numpy())
            seconds.append(rows.hash_rows(1).to_numpy())
            continue
        keys.append(rows.select(pl.col(key).alias("key")))
        if not keep_cells:
            hashes.append(rows.hash_rows().to_numpy())
            continue
        whole: Hashes = np.zeros(len(rows), np.uint64)
        for name, kept in cells.items():
            kept.append(rows.select(name).hash_rows().to_numpy())
            whole = (whole ^ (whole >> np.uint64(29))) * PRIME + kept[-1]
        hashes.append(whole)
    table = pl.DataFrame({"hash": np.concatenate(hashes)})
    if key is None:
        table = table.with_columns(
            pl.col("hash").alias("key"), pl.Series("key2", np.concatenate(seconds))
        )
    else:
        table = table.with_columns(pl.concat(keys)["key"])
    joined = {name: np.concatenate(kept) for name, kept in cells.items() if kept}
    return _Side(
        table.with_row_index("place"),
        joined if keep_cells else None,
        is_unique=table["key"].n_unique() == len(table),
    )


def _paired(before: "_Side", after: "_Side", *, keyed: bool) -> pl.DataFrame:
    """Return the index: one entry for each row that was added, removed or changed."""
    found = None
    if before.is_unique and after.is_unique:
        found = _joined(before.table, after.table, ["key"])
        # The join used only half of the 128 bits; if the other half differs, pair by both.
        if not keyed and (found["key2"] != found["key2_2"]).any():
            found = None
    if found is None:
        pairing = ["key"] if keyed else ["key", "key2"]
        nth = pl.int_range(pl.len(), dtype=pl.UInt32).over(pairing).alias("nth")
        found = _joined(
            before.table.with_columns(nth), after.table.with_columns(nth), [*pairing, "nth"]
        )
    differs = (
        pl.col("place").is_null()
        | pl.col("place_2").is_null()
        | (pl.col("hash") != pl.col("hash_2"))
    )
    kind = (
        pl.when(pl.col("place").is_null())
        .then(pl.lit(ADDED, pl.UInt8))
        .when(pl.col("place_2").is_null())
        .then(pl.lit(REMOVED, pl.UInt8))
        .otherwise(pl.lit(CHANGED, pl.UInt8))
    )
    return (
        found.filter(differs)
        .select(
            kind.alias("kind"),
            pl.col("place").cast(pl.UInt32).alias("before"),
            pl.col("place_2").cast(pl.UInt32).alias("after"),
        )
        .sort(pl.coalesce("after", "before"), "kind")
    )


def _joined(before: pl.DataFrame, after: pl.DataFrame, on: list[str]) -> pl.DataFrame:
    return before.join(after, on=on, how="full", nulls_equal=True, coalesce=True, suffix="_2")


@dataclass(slots=True)
class _Side:
    """The hashes and keys of the rows of one version.

    Attributes:
        table: Position, hash and key of each row.
        cells: A hash of each cell, by column, without the key column; None if they would take too
            much memory.
        is_unique: True if no key occurs twice.
    """

    table: pl.DataFrame
    cells: dict[str, Hashes] | None
    is_unique: bool


def _changed_cells(
    job: Job,
    wide: pa.Schema,
    sides: "tuple[_Side, _Side]",
    changed: pl.DataFrame,
    pool: ThreadPoolExecutor,
) -> dict[str, int]:
    """Return the number of changed cells of each column."""
    if changed.is_empty():
        return {}
    positions = (changed["before"].to_numpy(), changed["after"].to_numpy())
    first, second = pool.map(
        lambda path, side, at: (
            _cells(path, wide, at)
            if side.cells is None
            else {name: cells[at] for name, cells in side.cells.items()}
        ),
        (job.before, job.after), sides, positions,
    )  # fmt: skip
    return {
        name: int((first[name] != second[name]).sum())
        for name in first
        if (first[name] != second[name]).any()
    }


def _cells(
    path: Path, wide: pa.Schema, positions: npt.NDArray[np.uint32]
) -> dict[str, npt.NDArray[np.uint64]]:
    """Return, for each column, the hashes of its cells in the rows at ``positions``, in order."""
    order = np.argsort(positions)
    wanted = positions[order].astype(np.int64)
    pieces: dict[str, list[npt.NDArray[np.uint64]]] = {name: [] for name in wide.names}
    first = 0
    for plain in iter_batches(path):
        begin, end = np.searchsorted(wanted, [first, first + plain.num_rows])
        if end > begin:
            rows = convert_batch(plain.take(pa.array(wanted[begin:end] - first)), wide)
            for name in wide.names:
                pieces[name].append(content_hashes(rows, [name]))
        first += plain.num_rows
    found = {}
    for name, hashes in pieces.items():
        column = np.empty(len(positions), np.uint64)
        column[order] = np.concatenate(hashes)
        found[name] = column
    return found


def _column_changes(first: pa.Schema, second: pa.Schema) -> dict[str, Any]:
    before = {column["name"]: column["type"] for column in describe_columns(first)}
    after = {column["name"]: column["type"] for column in describe_columns(second)}
    return {
        "added": [{"name": n, "type": t} for n, t in after.items() if n not in before],
        "removed": [{"name": n, "type": t} for n, t in before.items() if n not in after],
        "changed": [
            {"name": n, "before": before[n], "after": t}
            for n, t in after.items()
            if n in before and before[n] != t
        ],
    }


def main(arguments: list[str] | None = None) -> int:
    """Run the program: print the summary as one line of JSON."""
    parser = argparse.ArgumentParser(prog="aiplatform.data.diff", description=__doc__)
    parser.add_argument("--job", type=Path, required=True, help="a Job as JSON")
    options = parser.parse_args(arguments)
    prepare_process()
    try:
        answer = {"ok": True, **compare(Job.model_validate_json(options.job.read_bytes()))}
    except MalformedData as error:
        answer = {"ok": False, **error.as_dict()}
    sys.stdout.write(dumps(answer) + "\n")
    return 0


if __name__ == "__main__":
    run_program(main)
