"""Read some rows of a canonical Parquet file: by position, by search, or as a random sample.

Row groups that can't contain a matching row, according to the file's footer, are skipped.
"""

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from io import RawIOBase
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow.types import is_list, is_string

from aiplatform.data.canonical import dated_columns, rows_of
from aiplatform.data.conditions import containing, matching, referenced_columns, required
from aiplatform.protocol.rows import Condition

Numbers = npt.NDArray[np.uint64]


def pseudo_random(positions: Numbers, seed: int) -> Numbers:
    """Return a pseudo-random number for each position (SplitMix64, Steele et al. 2014)."""
    state: Numbers = positions + np.uint64(seed * 0xD1342543DE82EF95 % 2**64)
    state = (state + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


Bounds = tuple[Any, Any]

WITHIN: dict[str, Callable[[Bounds, Any], bool]] = {
    "==": lambda bounds, value: bool(bounds[0] <= value <= bounds[1]),
    "<": lambda bounds, value: bool(bounds[0] < value),
    "<=": lambda bounds, value: bool(bounds[0] <= value),
    ">": lambda bounds, value: bool(bounds[1] > value),
    ">=": lambda bounds, value: bool(bounds[1] >= value),
    "in": lambda bounds, value: any(bounds[0] <= one <= bounds[1] for one in value),
}
"""Functions that return True if a value between the bounds may meet a condition, by operator."""


def may_match(
    group: pq.RowGroupMetaData, schema: pa.Schema, conditions: Sequence[Condition | str]
) -> bool:
    """Return True if a row group may contain rows that meet all conditions.

    Args:
        group: The metadata of the row group in the footer.
        schema: The schema of the file. The conditions must fit its columns.
        conditions: As in :func:`aiplatform.data.conditions.matching`.
    """
    return all(_may_meet(group, schema, condition) for condition in required(conditions))


def _may_meet(group: pq.RowGroupMetaData, schema: pa.Schema, condition: Condition) -> bool:
    if pa.types.is_nested(schema.field(condition.column).type):
        return True
    if condition.column in dated_columns(schema):
        return True  # The bounds are texts, whose order may differ from the order in time.
    before = schema.names.index(condition.column)
    column = group.column(sum(_leaves(schema.field(n).type) for n in range(before)))
    known = column.statistics
    if known is None:
        return True
    if condition.op == "missing":
        return not known.has_null_count or known.null_count > 0
    if condition.op not in {"present", *WITHIN}:
        return True
    if known.has_null_count and known.null_count == group.num_rows:
        return False
    if condition.op == "present" or not known.has_min_max:
        return True
    value = condition.value
    if condition.op == "in" and not isinstance(value, list):
        value = [value]
    return WITHIN[condition.op]((known.min, known.max), value)


def _leaves(kind: pa.DataType) -> int:
    """Return the number of Parquet columns in which a column is stored."""
    if pa.types.is_list(kind):
        return _leaves(kind.value_type)
    if pa.types.is_struct(kind):
        return sum(_leaves(field.type) for field in kind)
    return 1


Source = Path | RawIOBase
Positions: TypeAlias = "npt.NDArray[np.int64]"


@dataclass(slots=True)
class Found:
    """One page of search results.

    Attributes:
        rows: The matching rows.
        positions: Their positions in the file, from 0.
        following: The position from which to continue; None if the search reached the end.
    """

    rows: list[dict[str, Any]]
    positions: list[int]
    following: int | None


AT_ONCE = 8
"""Number of rows converted to Python objects at a time; a single row may be 16 MiB large."""


def rows_from(
    source: Source, offset: int, *, footer: pq.FileMetaData | None = None
) -> Generator[dict[str, Any], None, None]:
    """Yield the rows from position ``offset`` (counted from 0) to the end.

    Row groups are read only when their rows are requested. Floats may be NaN or infinite.

    Args:
        source: The canonical Parquet file.
        offset: The position of the first row.
        footer: The metadata of the file, if the caller has it; otherwise it is read.
    """
    with pq.ParquetFile(source, metadata=footer) as file:
        metadata = file.schema_arrow.metadata
        first = 0
        for group in range(file.metadata.num_row_groups):
            count = file.metadata.row_group(group).num_rows
            if offset < first + count:
                table = file.read_row_group(group, use_threads=False)
                table = table.replace_schema_metadata(metadata)
                for start in range(max(offset - first, 0), count, AT_ONCE):
                    for batch in table.slice(start, AT_ONCE).to_batches():
                        yield from rows_of(batch)
            first += count


def read_rows(source: Source, offset: int, limit: int) -> list[dict[str, Any]]:
    """Return up to ``limit`` rows from position ``offset`` (counted from 0)."""
    return list(islice(rows_from(source, offset), limit))


def rows_at(
    source: Source, positions: Sequence[int], *, footer: pq.FileMetaData | None = None
) -> list[dict[str, Any]]:
    """Return the rows at ``positions``, in that order; only row groups that contain them are read.

    Args:
        source: The canonical Parquet file.
        positions: Positions of rows, counted from 0.
        footer: As in :func:`rows_from`.

    Raises:
        IndexError: there is no such row.
    """
    found: dict[int, dict[str, Any]] = {}
    for here, part in batches_at(source, positions, footer=footer):
        found.update(zip(here, rows_of(part), strict=True))
    return [found[position] for position in positions]


def batches_at(
    source: Source, positions: Sequence[int], *, footer: pq.FileMetaData | None = None
) -> Generator[tuple[list[int], pa.RecordBatch], None, None]:
    """Yield the rows at ``positions`` in ascending order, as batches with their positions.

    Args:
        source: The canonical Parquet file.
        positions: Positions of rows, counted from 0.
        footer: As in :func:`rows_from`.

    Raises:
        IndexError: there is no such row.
    """
    wanted = sorted(set(positions))
    with pq.ParquetFile(source, metadata=footer) as file:
        metadata = file.schema_arrow.metadata
        first = begin = 0
        for group in range(file.metadata.num_row_groups):
            if begin == len(wanted):
                break
            count = file.metadata.row_group(group).num_rows
            end = int(np.searchsorted(wanted, first + count))
            if begin < end:
                table = file.read_row_group(group, use_threads=False)
                places = pa.array([place - first for place in wanted[begin:end]], pa.int64())
                part = table.take(places).replace_schema_metadata(metadata)
                for batch in part.to_batches():
                    yield wanted[begin : begin + batch.num_rows], batch
                    begin += batch.num_rows
            first += count
        if begin < len(wanted):
            raise IndexError(f"there are {first} rows")


def search(
    source: Source,
    first: int,
    limit: int,
    *,
    text: str | None = None,
    where: Sequence[Condition | str] = (),
    among: "Positions | None" = None,
    footer: pq.FileMetaData | None = None,
    seconds: float,
) -> Found:
    """Return up to ``limit`` rows from position ``first`` that match a text and all conditions.

    Row groups whose minimum and maximum can't meet a condition are not read. In the others, the
    columns that the search concerns are read first, and the rest only if rows match.

    Args:
        source: The canonical Parquet file.
        first: The position from which to search, counted from 0.
        limit: The largest number of rows to return.
        text: Text that a row must contain in any column, ignoring case.
        where: Conditions that a row must meet.
        among: Positions to which the search is limited, ascending; None for all rows.
        footer: As in :func:`rows_from`.
        seconds: Time after which the search stops. The result then has fewer rows, perhaps none,
            and the position from which to continue.

    Raises:
        MalformedData: a condition does not fit the columns.
    """
    until = time.monotonic() + seconds
    found = Found([], [], None)
    with pq.ParquetFile(source, metadata=footer) as file:
        schema = file.schema_arrow
        asked = referenced_columns(where)
        if text is not None:
            asked |= {f.name for f in schema if is_string(f.type) or is_list(f.type)}
        columns = [name for name in schema.names if name in asked] or schema.names[:1]
        # Evaluated on an empty batch, so that an invalid condition is an error even if no row group
        # is read.
        matching(pa.RecordBatch.from_pylist([], schema), where)
        start = 0
        for group in range(file.metadata.num_row_groups):
            group_metadata = file.metadata.row_group(group)
            here = slice(0, 0)
            if among is not None:
                here = slice(*np.searchsorted(among, [start, start + group_metadata.num_rows]))
            if (
                start + group_metadata.num_rows <= first
                or not may_match(group_metadata, schema, where)
                or (among is not None and here.start == here.stop)
            ):
                start += group_metadata.num_rows
                continue
            batch = _read(file, group, columns)
            met = matching(batch, where)
            if text is not None:
                met = pc.and_(met, containing(batch, text))
            hits = np.flatnonzero(met.to_numpy(zero_copy_only=False))
            if among is not None:
                hits = np.intersect1d(hits, among[here] - start, assume_unique=True)
            hits = hits[hits >= first - start][: limit - len(found.rows)]
            if len(hits):
                whole = batch if len(columns) == len(schema.names) else _read(file, group)
                found.rows += rows_of(whole.take(pa.array(hits)))
                found.positions += (hits + start).tolist()
            start += group_metadata.num_rows
            if len(found.rows) == limit:
                found.following = found.positions[-1] + 1
                break
            if time.monotonic() > until:
                found.following = start
                break
        if found.following is not None and found.following >= file.metadata.num_rows:
            found.following = None
    return found


def _read(file: pq.ParquetFile, group: int, columns: list[str] | None = None) -> pa.RecordBatch:
    table = file.read_row_group(group, columns=columns, use_threads=False)
    table = table.replace_schema_metadata(file.schema_arrow.metadata).combine_chunks()
    return table.to_batches()[0]


def sample_positions(total: int, count: int, seed: int) -> list[int]:
    """Draw ``count`` of ``total`` row positions without replacement, and return them ascending."""
    if count >= total:
        return list(range(total))
    positions: set[int] = set()
    step = 0
    while len(positions) < count:
        lots = pseudo_random(np.arange(step, step + 2 * count, dtype=np.uint64), seed) % np.uint64(
            total
        )
        for lot in lots.tolist():
            positions.add(lot)
            if len(positions) == count:
                break
        step += 2 * count
    return sorted(positions)
