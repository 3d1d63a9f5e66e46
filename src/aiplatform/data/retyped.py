"""Rows that are added to others, in the column types of those where they fit.

A CSV is typed by the version that it was uploaded for. When it comes to rows of another version,
its text may meet numbers, or its numbers text, and a column of several types is neither a key nor a
number. Where every value of a CSV's column reads as one of the column that it comes to, it is taken
as that. Text that comes to dates or times, from whatever format, stays a date or a time likewise.
"""

from collections.abc import Callable, Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from aiplatform.data.canonical import (
    dated_columns,
    format_of_schema,
    json_columns,
    shape_of_schema,
)
from aiplatform.data.column_types import UNTYPED, Evidence
from aiplatform.data.errors import MalformedData
from aiplatform.data.shapes import CONTENT_COLUMNS
from aiplatform.data.tables import described, with_dated

READ_AS: dict[pa.DataType, tuple[pa.DataType, ...]] = {
    pa.int64(): (pa.int64(), pa.float64()),
    pa.float64(): (pa.float64(),),
    pa.bool_(): (pa.bool_(),),
    pa.string(): (pa.string(),),
}
"""What values of a CSV may be read as that come to a column of a type, in this order."""

ANY_KIND = frozenset({"history", "label"})
"""Columns of shapes that may hold values of several types."""

Batches = Callable[[list[str]], Iterable[pa.RecordBatch]]


def retyped(held: pa.Schema, given: pa.Schema, batches: Batches) -> pa.Schema:
    """Return ``given``, the schema of rows that are added to those of ``held``, with the types of
    ``held`` where all values fit them.

    Args:
        batches: reads columns of the rows that are added; not called without need.
    """
    given = _dated(held, given, batches)
    if format_of_schema(given) not in UNTYPED:
        return given
    as_json = {*json_columns(held), *json_columns(given)}
    candidates = {
        name: list(READ_AS[held.field(name).type])
        for name in given.names
        if name in held.names
        and name not in as_json
        and given.field(name).type != held.field(name).type
        and pa.string() in {given.field(name).type, held.field(name).type}
        and held.field(name).type in READ_AS
        and not pa.types.is_nested(given.field(name).type)
    }
    if not candidates:
        return given
    for batch in batches(list(candidates)):
        for name, kinds in candidates.items():
            candidates[name] = [kind for kind in kinds if _read(batch.column(name), kind)]
    fields = [
        pa.field(f.name, candidates[f.name][0]) if candidates.get(f.name) else f for f in given
    ]
    return pa.schema(fields, metadata=given.metadata)


def _dated(held: pa.Schema, given: pa.Schema, batches: Batches) -> pa.Schema:
    dated = dated_columns(given)
    wanted = {
        name: label
        for name, label in dated_columns(held).items()
        if name in given.names
        and name not in dated
        and name not in json_columns(given)
        and given.field(name).type == pa.string()
    }
    if not wanted:
        return given
    evidence = {name: Evidence() for name in wanted}
    for batch in batches(list(wanted)):
        for name, seen in evidence.items():
            seen.add(batch.column(name))
    fits = {n: label for n, label in wanted.items() if evidence[n].decide(n, label).label == label}
    return with_dated(given, {**dated, **fits})


def read_as(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Batches under a schema that :func:`retyped` made for them."""
    for batch in batches:
        columns = [
            column if column.type == field.type else _read(column, field.type)
            for column, field in zip(batch.columns, schema, strict=True)
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


def _read(texts: pa.Array, kind: pa.DataType) -> pa.Array | None:
    if not pa.types.is_string(texts.type):
        return texts.cast(kind)
    if pa.types.is_boolean(kind):
        lower = pc.utf8_lower(texts)
        words = pc.is_in(lower, pa.array(["true", "false"]))
        if not pc.all(pc.or_(words, pc.is_null(texts)), min_count=0).as_py():
            return None
        return pc.equal(lower, "true")
    try:
        return texts.cast(kind)
    except pa.ArrowInvalid:
        return None


def check_content(held: pa.Schema, wide: pa.Schema) -> None:
    """See that what training reads stays what it is, when rows of ``wide`` come in.

    Raises:
        MalformedData: a column of the shape would hold values of several types.
    """
    shape = shape_of_schema(held)
    before = {column["name"]: column["type"] for column in described(held)}
    after = {column["name"]: column["type"] for column in described(wide)}
    for name in CONTENT_COLUMNS.get(shape, ()):
        if name in before and name not in ANY_KIND and after[name] != before[name]:
            raise MalformedData("content_kind", column=name, held=before[name])
