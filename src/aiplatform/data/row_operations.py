"""``python -m aiplatform.data.row_operations``: apply an operation to the rows of a canonical file.

Appending, changing, deleting, filtering and splitting all read the base file once, in batches. The
program prints one line of JSON, as :mod:`~aiplatform.data.ingest` does, and leaves no output behind
on an error.
"""

import argparse
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from aiplatform.data.canonical import (
    CanonicalWriter,
    dated_columns,
    empty_columns,
    format_of_schema,
    iter_batches,
    iter_rows,
    json_columns,
    row_count,
    rows_of,
    shape_of_schema,
)
from aiplatform.data.chunk import Chunk, Values
from aiplatform.data.column_kinds import has_extra
from aiplatform.data.column_types import UNTYPED
from aiplatform.data.conditions import matching
from aiplatform.data.errors import MalformedData
from aiplatform.data.formats import Opened
from aiplatform.data.formats.type_conversion import batch_rows
from aiplatform.data.ingest import convert, ingest, prepare_process, run_program
from aiplatform.data.json_text import json_text
from aiplatform.data.operation_specs import (
    Append,
    Delete,
    Filter,
    Fix,
    Job,
    Map,
    Patch,
    Split,
    Upsert,
)
from aiplatform.data.plan import Typing
from aiplatform.data.row_access import read_rows
from aiplatform.data.splits import assign_parts
from aiplatform.data.tables import convert_batch, describe_columns, unify_schemas
from aiplatform.data.type_alignment import (
    aligned_schema,
    check_content,
    convert_batches,
    convert_texts,
)
from aiplatform.protocol.encoding import dumps
from aiplatform.protocol.enums import DataFormat
from aiplatform.protocol.rows import RowFilter, RowPatch, RowSplit


class CanonicalRows:
    """A reader that yields a canonical Parquet file as chunks, like an uploaded file.

    Args:
        path: The Parquet file.
        as_text: Columns of numbers and booleans to read as text.
    """

    def __init__(self, path: Path, as_text: Collection[str] = ()) -> None:
        self.path = path
        self.as_text = as_text
        self.hint: pa.Schema | None = None

    def __iter__(self) -> Iterator[Chunk]:
        first = 1
        for batch in iter_batches(self.path):
            step = batch_rows(batch.nbytes // max(batch.num_rows, 1), batch.num_columns)
            for start in range(0, batch.num_rows, step):
                part = batch.slice(start, step)
                positions = range(first, first + part.num_rows)
                columns = _columns(part)
                for name in self.as_text:
                    columns[name] = part.column(name).cast(pa.string())
                yield Chunk(columns, part.num_rows, positions, unit="row")
                first += part.num_rows


def _columns(batch: pa.RecordBatch) -> dict[str, Values]:
    as_json = set(json_columns(batch.schema))
    spelt = [f.name for f in batch.schema if f.name in as_json or has_extra(f.type)]
    rows = rows_of(batch.select(spelt)) if spelt else []
    return {
        name: [row[name] for row in rows] if name in spelt else batch.column(name)
        for name in batch.schema.names
    }


def map_columns(base: Path, output: Path, mapped: Mapping[str, str]) -> dict[str, Any]:
    """Write the rows of ``base`` with renamed columns to ``output``, and return a description.

    Args:
        base: The canonical Parquet file to read.
        output: The canonical Parquet file to write.
        mapped: Canonical names, keyed by column name.

    Raises:
        MalformedData: the columns don't fit the mapping.
    """
    schema = pq.read_schema(base)
    # A CSV file has no types. Its numbers were text, so they become text again if the mapping
    # makes them part of the content, such as answers.
    as_text = [
        name
        for name, target in mapped.items()
        if format_of_schema(schema) in UNTYPED
        and target != "label"
        and name in schema.names
        and pa.types.is_primitive(schema.field(name).type)
    ]
    opened = Opened(CanonicalRows(base, as_text), format_of_schema(schema), None, None)
    dated = {mapped.get(name, name): label for name, label in dated_columns(schema).items()}
    try:
        found = convert(opened, output, mapped=mapped, typing=Typing(previous_types=dated))
    except MalformedData:
        output.unlink(missing_ok=True)
        raise
    return {key: found[key] for key in ("rows", "format", "shape", "columns", "sha256", "size")}


Positions = npt.NDArray[np.int64]


@dataclass(slots=True)
class Change:
    """The changes to the rows of the base.

    Attributes:
        source: Returns, for each row of a batch, the index in ``rows`` of the row that replaces it;
            -1 if it is kept, -2 if it is deleted. Its first argument is the position of the first
            row of the batch.
        rows: The replacement rows and the added rows.
        added: The indices in ``rows`` of the rows to add after the base.
    """

    source: Callable[[int, pa.RecordBatch], Positions]
    rows: pa.Table | None = None
    added: Positions = field(default_factory=lambda: np.zeros(0, np.int64))


UNCHANGED, DELETED = -1, -2


def execute(job: Job, progress: Callable[[float], None] = lambda _: None) -> dict[str, Any]:
    """Execute a job; see :class:`Job`.

    Args:
        job: The job.
        progress: Called during a fix with the fraction that is done, from 0 to 1.

    Returns:
        A description of the outputs, and the numbers of added, changed and deleted rows.

    Raises:
        MalformedData: the operation does not fit these rows.
    """
    schema = pq.read_schema(job.base)
    match job.do:
        case Split(split=split):
            return _split(job, schema, split)
        case Fix() as fix:
            return _fix(job, schema, fix, progress)
        case Map(map=mapped):
            output = job.output.with_name(f"{job.output.name}.0")
            return {"outputs": [{"path": str(output), **map_columns(job.base, output, mapped)}]}
        case Append(rows=rows, explicit_columns=explicit):
            return _append(job, schema, rows, explicit)
        case Upsert(rows=rows, key=key, explicit_columns=explicit):
            change = _upsert(job.base, schema, pq.read_table(rows), key, explicit)
        case Delete(rows=rows, key=key):
            change = _delete(schema, pq.read_table(rows), key)
        case Patch(patch=patch):
            change = _patch(job, schema, patch)
            if change.rows is not None:
                change.rows = _align_rows(schema, change.rows)
        case Filter(filter=wanted):
            change = Change(lambda _, batch: _by_condition(batch, wanted))
    return _write(job, schema, change)


def _append(job: Job, schema: pa.Schema, rows: Path, explicit: list[str]) -> dict[str, Any]:
    """Append rows batch by batch, because they may be larger than memory."""
    found = pq.read_schema(rows)
    _same_shape(schema, found)
    given = aligned_schema(schema, found, lambda names: iter_batches(rows, names), explicit)
    wide = unify_schemas(schema, given, empty_columns(rows))
    check_content(schema, wide)
    with ExitStack() as stack:
        output = Output(job.output.with_name(f"{job.output.name}.0"), wide, stack)
        for batch in chain(iter_batches(job.base), convert_batches(iter_batches(rows), given)):
            output.writer.write(convert_batch(batch, wide))
        if not output.writer.rows:
            raise MalformedData("no_rows_left")
    return {"outputs": [output.describe()], "added": row_count(rows), "changed": 0, "deleted": 0}


def _upsert(base: Path, schema: pa.Schema, rows: pa.Table, key: str, explicit: list[str]) -> Change:
    if not set(rows.schema.names) <= set(schema.names):
        _same_shape(schema, rows.schema)
    rows = _align_rows(schema, rows, explicit)
    keys = _keys(rows, key, schema)
    # Write the keys in the type in which they were matched, so that 7 and "7" are one key.
    metadata = rows.schema.metadata
    rows = rows.set_column(rows.schema.names.index(key), key, keys).replace_schema_metadata(
        metadata
    )

    def source(_: int, batch: pa.RecordBatch) -> Positions:
        positions: Positions = pc.fill_null(
            pc.index_in(batch.column(key), keys), UNCHANGED
        ).to_numpy()
        return positions.astype(np.int64)

    seen = np.zeros(rows.num_rows, bool)
    for batch in iter_batches(base, [key]):
        found = source(0, batch)
        seen[found[found >= 0]] = True
    return Change(source, rows, np.flatnonzero(~seen))


def _align_rows(schema: pa.Schema, rows: pa.Table, explicit: Sequence[str] = ()) -> pa.Table:
    given = aligned_schema(
        schema, rows.schema, lambda names: rows.select(names).to_batches(), explicit
    )
    return pa.Table.from_batches(convert_batches(rows.to_batches(), given), given)


def _delete(schema: pa.Schema, rows: pa.Table, key: str) -> Change:
    keys = _keys(rows, key, schema)
    return Change(
        lambda _, batch: np.where(
            pc.is_in(batch.column(key), keys).to_numpy(zero_copy_only=False), DELETED, UNCHANGED
        )
    )


def _keys(rows: pa.Table, key: str, schema: pa.Schema) -> pa.Array:
    for names in (schema.names, rows.schema.names):
        if key not in names:
            raise MalformedData("column_unknown", column=key)
    if key in {*json_columns(schema), *json_columns(rows.schema)}:
        # As JSON, text is quoted, so the same value as text and as JSON would not be equal.
        raise MalformedData("key_type", column=key)
    column = rows.column(key).combine_chunks()
    kind = schema.field(key).type
    if pa.types.is_nested(kind) or pa.types.is_floating(kind):
        raise MalformedData("key_type", column=key)
    if column.type != kind:
        try:
            # A cast by Arrow would read 007 and 0x7 as 7, which is the key of another row.
            is_text = pa.types.is_string(column.type)
            column = convert_texts(column, kind) if is_text else column.cast(kind)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise MalformedData("key_type", column=key) from error
        if column is None:
            raise MalformedData("key_type", column=key)
    if column.null_count:
        raise MalformedData("key_missing", column=key)
    counts = column.value_counts()
    if len(counts) < len(column):
        twice = counts.field("values").filter(pc.greater(counts.field("counts"), 1))[0].as_py()
        raise MalformedData("key_twice", column=key, value=str(twice)[:80])
    return column


def _by_condition(batch: pa.RecordBatch, wanted: RowFilter) -> Positions:
    met = matching(batch, wanted.where).to_numpy(zero_copy_only=False)
    return np.where(met != wanted.drop, UNCHANGED, DELETED)


def _patch(job: Job, schema: pa.Schema, patch: RowPatch) -> Change:
    total = row_count(job.base)
    positions = [change.row for change in patch.set]
    for position in (*positions, *patch.delete):
        if position >= total:
            raise MalformedData("row_unknown", position=position, rows=total)
    written: list[dict[str, Any]] = []
    for change in patch.set:
        row = read_rows(job.base, change.row, 1)[0]
        unknown = next((name for name in change.values if name not in schema.names), None)
        if unknown is not None:
            raise MalformedData("column_unknown", column=unknown)
        written.append({**row, **change.values})
    written += patch.add
    rows = None if not written else _ingested(job, schema, written)
    sources = {position: number for number, position in enumerate(positions)}
    sources |= dict.fromkeys(patch.delete, DELETED)
    where = np.array(sorted(sources), np.int64)
    values = np.array([sources[position] for position in where], np.int64)

    def source(first: int, batch: pa.RecordBatch) -> Positions:
        found = np.full(batch.num_rows, UNCHANGED, np.int64)
        begin, end = np.searchsorted(where, [first, first + batch.num_rows])
        found[where[begin:end] - first] = values[begin:end]
        return found

    return Change(source, rows, np.arange(len(positions), len(written)))


def _ingested(job: Job, schema: pa.Schema, written: list[dict[str, Any]]) -> pa.Table:
    """Write rows that were given as JSON to a table, with the same validation as an upload.

    A row of the base is ingested along with them, so that the shape is recognised.
    """
    lines = job.output.with_name(f"{job.output.name}.patch.jsonl")
    parquet = job.output.with_name(f"{job.output.name}.patch.parquet")
    example = next(iter_rows(job.base))
    try:
        with lines.open("w", encoding="utf-8") as file:
            for row in (*written, example):
                file.write(json_text(row) + "\n")
        ingest(lines, parquet, filename="patch.jsonl", claimed=DataFormat.JSONL)
        rows = pq.read_table(parquet).slice(0, len(written))
    finally:
        lines.unlink(missing_ok=True)
        parquet.unlink(missing_ok=True)
    _same_shape(schema, rows.schema)
    return rows


def _same_shape(first: pa.Schema, second: pa.Schema) -> None:
    existing, given = shape_of_schema(first), shape_of_schema(second)
    if existing is not given:
        raise MalformedData("shape_differs", existing=existing, given=given)


def _write(job: Job, schema: pa.Schema, change: Change) -> dict[str, Any]:
    wide = schema if change.rows is None else _widened_schema(schema, change.rows)
    replacing = None
    if change.rows is not None:
        batches = change.rows.combine_chunks().to_batches()
        replacing = pa.Table.from_batches([convert_batch(b, wide) for b in batches], wide)
    columns = [] if change.rows is None else change.rows.schema.names
    counts = {"added": len(change.added), "changed": 0, "deleted": 0}
    with ExitStack() as stack:
        output = Output(job.output.with_name(f"{job.output.name}.0"), wide, stack)
        first = 0
        for batch in iter_batches(job.base):
            source = change.source(first, batch)
            first += batch.num_rows
            counts["changed"] += int((source >= 0).sum())
            counts["deleted"] += int((source == DELETED).sum())
            output.writer.write(
                _apply_change(convert_batch(batch, wide), source, replacing, columns)
            )
        if replacing is not None and len(change.added):
            for batch in replacing.take(pa.array(change.added)).to_batches():
                output.writer.write(batch)
        if not output.writer.rows:
            raise MalformedData("no_rows_left")
    return {"outputs": [output.describe()], **counts}


def _widened_schema(schema: pa.Schema, rows: pa.Table) -> pa.Schema:
    empty = {name for name in rows.schema.names if rows[name].null_count == rows.num_rows}
    wide = unify_schemas(schema, rows.schema, empty)
    check_content(schema, wide)
    return wide


def _apply_change(
    batch: pa.RecordBatch, source: Positions, replacing: pa.Table | None, given: list[str]
) -> pa.RecordBatch:
    if (source == UNCHANGED).all():
        return batch
    replaced = np.flatnonzero(source >= 0)
    if len(replaced):
        assert replacing is not None
        taken = replacing.take(pa.array(source[replaced])).combine_chunks()
        order = np.arange(batch.num_rows)
        order[replaced] = batch.num_rows + np.arange(len(replaced))
        columns = [
            pa.concat_arrays(
                [batch.column(name), taken.column(name).combine_chunks()]
            ).take(pa.array(order)) if name in given else batch.column(name)
            for name in batch.schema.names
        ]  # fmt: skip
        batch = pa.RecordBatch.from_arrays(columns, schema=batch.schema)
    return batch.filter(pa.array(source != DELETED))


def _split(job: Job, schema: pa.Schema, split: RowSplit) -> dict[str, Any]:
    parts = assign_parts(job.base, split)
    with ExitStack() as stack:
        outputs = [
            Output(job.output.with_name(f"{job.output.name}.{number}"), schema, stack)
            for number in range(len(split.fractions))
        ]
        first = 0
        for batch in iter_batches(job.base):
            part = parts[first : first + batch.num_rows]
            first += batch.num_rows
            for number, output in enumerate(outputs):
                output.writer.write(batch.filter(pa.array(part == number)))
        if any(not output.writer.rows for output in outputs):
            raise MalformedData("split_empty")
    return {"outputs": [output.describe() for output in outputs]}


def _fix(
    job: Job, schema: pa.Schema, fix: Fix, progress: Callable[[float], None]
) -> dict[str, Any]:
    # Imported late: the checks load large tables for languages and telephone numbers.
    from aiplatform.data.quality.fixes import fixed_batches  # noqa: PLC0415
    from aiplatform.data.quality.references import Reference  # noqa: PLC0415

    batches = fixed_batches(
        job.base,
        fix.fix,
        tokenizer=fix.tokenizer,
        max_length=fix.max_length,
        references=[Reference(**dict(r)) for r in fix.references],
        progress=progress,
    )

    counts = {"changed": 0, "deleted": 0}
    with ExitStack() as stack:
        output = Output(job.output.with_name(f"{job.output.name}.0"), schema, stack)
        for batch, changed, deleted in batches:
            counts["changed"] += changed
            counts["deleted"] += deleted
            output.writer.write(batch)
        if not output.writer.rows:
            raise MalformedData("no_rows_left")
    return {"outputs": [output.describe()], **counts}


class Output:
    """A canonical Parquet file that is being written, and is deleted if writing fails."""

    def __init__(self, path: Path, schema: pa.Schema, stack: ExitStack) -> None:
        self.path = path
        self.schema = schema
        stack.push(self._remove_on_error)
        self.writer = stack.enter_context(CanonicalWriter(path, schema))

    def _remove_on_error(self, kind: object, *_: object) -> None:
        if kind is not None:
            self.path.unlink(missing_ok=True)

    def describe(self) -> dict[str, Any]:
        """Return the description of the file for the program's response."""
        return {
            "path": str(self.path),
            "rows": self.writer.rows,
            "format": format_of_schema(self.schema),
            "shape": shape_of_schema(self.schema),
            "columns": describe_columns(self.schema),
            "sha256": self.writer.sha256,
            "size": self.writer.size,
        }


def main(arguments: list[str] | None = None) -> int:
    """Run the program: print one line of JSON."""
    parser = argparse.ArgumentParser(prog="aiplatform.data.row_operations", description=__doc__)
    parser.add_argument("--job", type=Path, required=True, help="a Job as JSON")
    options = parser.parse_args(arguments)
    prepare_process()
    try:
        answer = {"ok": True, **execute(Job.model_validate_json(options.job.read_bytes()))}
    except MalformedData as error:
        answer = {"ok": False, **error.as_dict()}
    sys.stdout.write(dumps(answer) + "\n")
    return 0


if __name__ == "__main__":
    run_program(main)
