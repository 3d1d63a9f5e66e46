"""Adapt the column types of added rows to those of the existing rows.

The column types of a CSV file are inferred from that file alone. Therefore text from the file may
be added to a column of numbers, or numbers to a column of text. The column would then have mixed
types, and could be used neither as a key nor as a number. To prevent that, a CSV column takes the
type of the existing column if every value can be read as that type, by the same rules as for a new
version (see :meth:`Evidence.fits`): ``007`` is not the number 7. Text of any format that is added
to a column of dates or times becomes a date or a time in the same way. Types that the uploader has
set are kept.
"""

from collections.abc import Callable, Collection, Iterable, Iterator

import pyarrow as pa

from aiplatform.data.canonical import (
    dated_columns,
    format_of_schema,
    json_columns,
    shape_of_schema,
)
from aiplatform.data.column_kinds import Kind
from aiplatform.data.column_types import UNTYPED, Evidence, convert_to_inferred_type
from aiplatform.data.errors import MalformedData
from aiplatform.data.shapes import CONTENT_COLUMNS
from aiplatform.data.tables import describe_columns, with_dated
from aiplatform.protocol.enums import DataShape

ALIGNABLE_TYPES: dict[pa.DataType, tuple[pa.DataType, ...]] = {
    pa.int64(): (pa.int64(), pa.float64()),
    pa.float64(): (pa.float64(),),
    pa.bool_(): (pa.bool_(),),
    pa.string(): (pa.string(),),
}
"""Types, in order of preference, for CSV values that are added to a column of the given type."""

KINDS = {pa.int64(): Kind.INT, pa.float64(): Kind.FLOAT, pa.bool_(): Kind.BOOL}

ANY_KIND = frozenset({"history", "label"})
"""Columns that may hold values of several types, except for the label of unpaired preferences."""

Batches = Callable[[list[str]], Iterable[pa.RecordBatch]]


def aligned_schema(
    existing: pa.Schema, added: pa.Schema, batches: Batches, explicit: Collection[str] = ()
) -> pa.Schema:
    """Return the schema of added rows, with the types of the existing rows where all values fit.

    Args:
        existing: The schema of the existing rows.
        added: The schema of the added rows.
        batches: Reads columns of the added rows; called only if needed.
        explicit: Columns whose types in ``added`` the uploader has set.
    """
    added = _dated(existing, added, batches, explicit)
    if format_of_schema(added) not in UNTYPED:
        return added
    as_json = {*json_columns(existing), *json_columns(added)}
    candidates = {
        name: list(ALIGNABLE_TYPES[existing.field(name).type])
        for name in added.names
        if name in existing.names
        and name not in as_json
        and name not in explicit
        and added.field(name).type != existing.field(name).type
        and pa.string() in {added.field(name).type, existing.field(name).type}
        and existing.field(name).type in ALIGNABLE_TYPES
        and not pa.types.is_nested(added.field(name).type)
    }
    if not candidates:
        return added
    texts = [name for name in candidates if added.field(name).type == pa.string()]
    for name, evidence in _evidence(texts, batches).items():
        candidates[name] = [kind for kind in candidates[name] if evidence.fits(KINDS[kind])]
    fields = [
        pa.field(f.name, candidates[f.name][0]) if candidates.get(f.name) else f for f in added
    ]
    return pa.schema(fields, metadata=added.metadata)


def _evidence(names: list[str], batches: Batches) -> dict[str, Evidence]:
    found = {name: Evidence() for name in names}
    for batch in batches(names) if names else ():
        for name, evidence in found.items():
            evidence.add(batch.column(name))
    return found


def _dated(
    existing: pa.Schema, added: pa.Schema, batches: Batches, explicit: Collection[str]
) -> pa.Schema:
    dated = dated_columns(added)
    wanted = {
        name: label
        for name, label in dated_columns(existing).items()
        if name in added.names
        and name not in dated
        and name not in explicit
        and name not in json_columns(added)
        and added.field(name).type == pa.string()
    }
    if not wanted:
        return added
    evidence = _evidence(list(wanted), batches)
    fits = {n: label for n, label in wanted.items() if evidence[n].decide(n, label).label == label}
    return with_dated(added, {**dated, **fits})


def convert_batches(
    batches: Iterable[pa.RecordBatch], schema: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """Yield batches converted to the schema that :func:`aligned_schema` returned for them."""
    for batch in batches:
        columns = [
            column if column.type == field.type else _cast(column, field.type)
            for column, field in zip(batch.columns, schema, strict=True)
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


def convert_texts(texts: pa.Array, kind: pa.DataType) -> pa.Array | None:
    """Convert texts to values of ``kind``; return None if one of them does not fit."""
    if kind not in KINDS:
        return None
    evidence = Evidence()
    evidence.add(texts)
    return convert_to_inferred_type(texts, KINDS[kind]) if evidence.fits(KINDS[kind]) else None


def _cast(column: pa.Array, kind: pa.DataType) -> pa.Array:
    return (
        convert_to_inferred_type(column, KINDS[kind])
        if pa.types.is_string(column.type)
        else column.cast(kind)
    )


def check_content(existing: pa.Schema, wide: pa.Schema) -> None:
    """Raise an error if added rows would change the type of a column that training reads.

    Args:
        existing: The schema before rows are added.
        wide: The schema afterwards.

    Raises:
        MalformedData: a column that the shape defines would contain values of several types.
    """
    shape = shape_of_schema(existing)
    before = {column["name"]: column["type"] for column in describe_columns(existing)}
    after = {column["name"]: column["type"] for column in describe_columns(wide)}
    any_kind = {"history"} if shape is DataShape.UNPAIRED_PREFERENCE else ANY_KIND
    for name in CONTENT_COLUMNS.get(shape, ()):
        if name in before and name not in any_kind and after[name] != before[name]:
            raise MalformedData("content_kind", column=name, existing=before[name])
