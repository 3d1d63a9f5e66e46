"""Rows that come to others: in the types of those, as far as they can be.

CSV has no types, so its ``5`` is text. Beside the numbers of other rows it would make a column of
several types, which is no key and no number any more. Where every value of a CSV's column reads as
one of the column that it comes to, it is taken as that.
"""

from collections.abc import Callable, Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from aiplatform.data.canonical import format_of_schema, json_columns, shape_of_schema
from aiplatform.data.errors import MalformedData
from aiplatform.data.shapes import CONTENT_COLUMNS
from aiplatform.data.tables import described
from aiplatform.protocol.enums import DataFormat

UNTYPED = frozenset({DataFormat.CSV, DataFormat.TSV})
READ_AS: dict[pa.DataType, tuple[pa.DataType, ...]] = {
    pa.int64(): (pa.int64(), pa.float64()),
    pa.float64(): (pa.float64(),),
    pa.bool_(): (pa.bool_(),),
}
"""What texts may be read as that come to a column of a type, in this order."""

ANY_KIND = frozenset({"history", "label"})
"""Columns of shapes that may hold values of several types."""

Batches = Callable[[list[str]], Iterable[pa.RecordBatch]]


def retyped(held: pa.Schema, given: pa.Schema, batches: Batches) -> pa.Schema:
    """The schema of rows that come to those of ``held``: ``given``, with other types where these
    are of a CSV and all their values have them.

    Args:
        batches: reads columns of the rows that come; not asked where there is nothing to read.
    """
    if format_of_schema(given) not in UNTYPED:
        return given
    as_json = {*json_columns(held), *json_columns(given)}
    candidates = {
        name: list(READ_AS[held.field(name).type])
        for name in given.names
        if name in held.names
        and name not in as_json
        and given.field(name).type == pa.string()
        and held.field(name).type in READ_AS
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


def read_as(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Batches under a schema that :func:`retyped` made for them."""
    for batch in batches:
        columns = [
            column if column.type == field.type else _read(column, field.type)
            for column, field in zip(batch.columns, schema, strict=True)
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


def _read(texts: pa.Array, kind: pa.DataType) -> pa.Array | None:
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
