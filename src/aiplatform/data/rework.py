"""``python -m aiplatform.data.rework``: apply an operation to the rows of a canonical file.

Appending, changing, deleting, filtering and splitting all read the base once, batch by batch. The
program prints one line of JSON, as :mod:`~aiplatform.data.ingest` does, and leaves no output behind
on an error.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
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

from aiplatform.data.browse import read_rows
from aiplatform.data.canonical import (
    CanonicalWriter,
    empty_columns,
    format_of_schema,
    iter_batches,
    iter_rows,
    json_columns,
    row_count,
    shape_of_schema,
)
from aiplatform.data.conditions import matching
from aiplatform.data.errors import MalformedData
from aiplatform.data.ingest import ingest, prepare_process
from aiplatform.data.json_text import json_text
from aiplatform.data.operations import (
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
from aiplatform.data.remap import remap
from aiplatform.data.retyped import check_content, read_as, read_texts, retyped
from aiplatform.data.splits import deal
from aiplatform.data.tables import conformed, described, unified
from aiplatform.protocol.encoding import dumps
from aiplatform.protocol.enums import DataFormat
from aiplatform.protocol.rows import RowFilter, RowPatch, RowSplit

Places = npt.NDArray[np.int64]


@dataclass(slots=True)
class Change:
    """The changes to the rows of the base.

    Attributes:
        source: Returns for each row of a batch the index in ``rows`` of the row that replaces it;
            -1 if it stays, -2 if it is deleted. Its first argument is the position of the first row
            of the batch.
        rows: The replacing and the added rows.
        added: The indices in ``rows`` of those to add after the base.
    """

    source: Callable[[int, pa.RecordBatch], Places]
    rows: pa.Table | None = None
    added: Places = field(default_factory=lambda: np.zeros(0, np.int64))


STAYS, GOES = -1, -2


def rework(job: Job, progress: Callable[[float], None] = lambda _: None) -> dict[str, Any]:
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
            return {"outputs": [{"path": str(output), **remap(job.base, output, mapped)}]}
        case Append(rows=rows, told=told):
            return _append(job, schema, rows, told)
        case Upsert(rows=rows, key=key, told=told):
            change = _upsert(job.base, schema, pq.read_table(rows), key, told)
        case Delete(rows=rows, key=key):
            change = _delete(schema, pq.read_table(rows), key)
        case Patch(patch=patch):
            change = _patch(job, schema, patch)
            if change.rows is not None:
                change.rows = _retyped_rows(schema, change.rows)
        case Filter(filter=wanted):
            change = Change(lambda _, batch: _by_condition(batch, wanted))
    return _write(job, schema, change)


def _append(job: Job, schema: pa.Schema, rows: Path, told: list[str]) -> dict[str, Any]:
    """Append rows batch by batch, as they may be larger than memory."""
    found = pq.read_schema(rows)
    _same_shape(schema, found)
    given = retyped(schema, found, lambda names: iter_batches(rows, names), told)
    wide = unified(schema, given, empty_columns(rows))
    check_content(schema, wide)
    with ExitStack() as stack:
        output = Output(job.output.with_name(f"{job.output.name}.0"), wide, stack)
        for batch in chain(iter_batches(job.base), read_as(iter_batches(rows), given)):
            output.writer.write(conformed(batch, wide))
        if not output.writer.rows:
            raise MalformedData("no_rows_left")
    return {"outputs": [output.described()], "added": row_count(rows), "changed": 0, "deleted": 0}


def _upsert(base: Path, schema: pa.Schema, rows: pa.Table, key: str, told: list[str]) -> Change:
    if not set(rows.schema.names) <= set(schema.names):
        _same_shape(schema, rows.schema)
    rows = _retyped_rows(schema, rows, told)
    keys = _keys(rows, key, schema)
    # Write the keys in the type in which they were matched, so that 7 and "7" are one key.
    metadata = rows.schema.metadata
    rows = rows.set_column(rows.schema.names.index(key), key, keys).replace_schema_metadata(
        metadata
    )

    def source(_: int, batch: pa.RecordBatch) -> Places:
        places: Places = pc.fill_null(pc.index_in(batch.column(key), keys), STAYS).to_numpy()
        return places.astype(np.int64)

    seen = np.zeros(rows.num_rows, bool)
    for batch in iter_batches(base, [key]):
        found = source(0, batch)
        seen[found[found >= 0]] = True
    return Change(source, rows, np.flatnonzero(~seen))


def _retyped_rows(schema: pa.Schema, rows: pa.Table, told: Sequence[str] = ()) -> pa.Table:
    given = retyped(schema, rows.schema, lambda names: rows.select(names).to_batches(), told)
    return pa.Table.from_batches(read_as(rows.to_batches(), given), given)


def _delete(schema: pa.Schema, rows: pa.Table, key: str) -> Change:
    keys = _keys(rows, key, schema)
    return Change(
        lambda _, batch: np.where(
            pc.is_in(batch.column(key), keys).to_numpy(zero_copy_only=False), GOES, STAYS
        )
    )


def _keys(rows: pa.Table, key: str, schema: pa.Schema) -> pa.Array:
    for names in (schema.names, rows.schema.names):
        if key not in names:
            raise MalformedData("column_unknown", column=key)
    if key in {*json_columns(schema), *json_columns(rows.schema)}:
        # As JSON, text is quoted: the same value as text and as JSON would not be equal.
        raise MalformedData("key_type", column=key)
    column = rows.column(key).combine_chunks()
    kind = schema.field(key).type
    if pa.types.is_nested(kind) or pa.types.is_floating(kind):
        raise MalformedData("key_type", column=key)
    if column.type != kind:
        try:
            # A cast by Arrow would read 007 and 0x7 as 7, which is the key of another row.
            is_text = pa.types.is_string(column.type)
            column = read_texts(column, kind) if is_text else column.cast(kind)
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


def _by_condition(batch: pa.RecordBatch, wanted: RowFilter) -> Places:
    met = matching(batch, wanted.where).to_numpy(zero_copy_only=False)
    return np.where(met != wanted.drop, STAYS, GOES)


def _patch(job: Job, schema: pa.Schema, patch: RowPatch) -> Change:
    total = row_count(job.base)
    places = [change.row for change in patch.set]
    for place in (*places, *patch.delete):
        if place >= total:
            raise MalformedData("row_unknown", place=place, rows=total)
    written: list[dict[str, Any]] = []
    for change in patch.set:
        row = read_rows(job.base, change.row, 1)[0]
        unknown = next((name for name in change.values if name not in schema.names), None)
        if unknown is not None:
            raise MalformedData("column_unknown", column=unknown)
        written.append({**row, **change.values})
    written += patch.add
    rows = None if not written else _ingested(job, schema, written)
    sources = {place: number for number, place in enumerate(places)}
    sources |= dict.fromkeys(patch.delete, GOES)
    where = np.array(sorted(sources), np.int64)
    values = np.array([sources[place] for place in where], np.int64)

    def source(first: int, batch: pa.RecordBatch) -> Places:
        found = np.full(batch.num_rows, STAYS, np.int64)
        begin, end = np.searchsorted(where, [first, first + batch.num_rows])
        found[where[begin:end] - first] = values[begin:end]
        return found

    return Change(source, rows, np.arange(len(places), len(written)))


def _ingested(job: Job, schema: pa.Schema, written: list[dict[str, Any]]) -> pa.Table:
    """Validate rows given as JSON like an upload.

    A row of the base is ingested with them, so that the shape is recognised.
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
    held, given = shape_of_schema(first), shape_of_schema(second)
    if held is not given:
        raise MalformedData("shape_differs", held=held, given=given)


def _write(job: Job, schema: pa.Schema, change: Change) -> dict[str, Any]:
    wide = schema if change.rows is None else _holding(schema, change.rows)
    replacing = None
    if change.rows is not None:
        batches = change.rows.combine_chunks().to_batches()
        replacing = pa.Table.from_batches([conformed(b, wide) for b in batches], wide)
    columns = [] if change.rows is None else change.rows.schema.names
    counts = {"added": len(change.added), "changed": 0, "deleted": 0}
    with ExitStack() as stack:
        output = Output(job.output.with_name(f"{job.output.name}.0"), wide, stack)
        first = 0
        for batch in iter_batches(job.base):
            source = change.source(first, batch)
            first += batch.num_rows
            counts["changed"] += int((source >= 0).sum())
            counts["deleted"] += int((source == GOES).sum())
            output.writer.write(_changed(conformed(batch, wide), source, replacing, columns))
        if replacing is not None and len(change.added):
            for batch in replacing.take(pa.array(change.added)).to_batches():
                output.writer.write(batch)
        if not output.writer.rows:
            raise MalformedData("no_rows_left")
    return {"outputs": [output.described()], **counts}


def _holding(schema: pa.Schema, rows: pa.Table) -> pa.Schema:
    empty = {name for name in rows.schema.names if rows[name].null_count == rows.num_rows}
    wide = unified(schema, rows.schema, empty)
    check_content(schema, wide)
    return wide


def _changed(
    batch: pa.RecordBatch, source: Places, replacing: pa.Table | None, given: list[str]
) -> pa.RecordBatch:
    if (source == STAYS).all():
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
    return batch.filter(pa.array(source != GOES))


def _split(job: Job, schema: pa.Schema, split: RowSplit) -> dict[str, Any]:
    parts = deal(job.base, split)
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
    return {"outputs": [output.described() for output in outputs]}


def _fix(
    job: Job, schema: pa.Schema, fix: Fix, progress: Callable[[float], None]
) -> dict[str, Any]:
    # Imported late: the checks load large tables of languages and telephone numbers.
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
    return {"outputs": [output.described()], **counts}


class Output:
    """A canonical Parquet file that is being written, and is deleted if that fails."""

    def __init__(self, path: Path, schema: pa.Schema, stack: ExitStack) -> None:
        self.path = path
        self.schema = schema
        stack.push(self._remove_on_fault)
        self.writer = stack.enter_context(CanonicalWriter(path, schema))

    def _remove_on_fault(self, kind: object, *_: object) -> None:
        if kind is not None:
            self.path.unlink(missing_ok=True)

    def described(self) -> dict[str, Any]:
        """Return the description of the file for the program's answer."""
        return {
            "path": str(self.path),
            "rows": self.writer.rows,
            "format": format_of_schema(self.schema),
            "shape": shape_of_schema(self.schema),
            "columns": described(self.schema),
            "sha256": self.writer.sha256,
            "size": self.writer.size,
        }


def main(arguments: list[str] | None = None) -> int:
    """Run the program: print one line of JSON."""
    parser = argparse.ArgumentParser(prog="aiplatform.data.rework", description=__doc__)
    parser.add_argument("--job", type=Path, required=True, help="a Job as JSON")
    options = parser.parse_args(arguments)
    prepare_process()
    try:
        answer = {"ok": True, **rework(Job.model_validate_json(options.job.read_bytes()))}
    except MalformedData as fault:
        answer = {"ok": False, **fault.as_dict()}
    sys.stdout.write(dumps(answer) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
