"""Canonical schemas: describe their columns, and merge the schemas of two files."""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from aiplatform.data.canonical import dated_columns, json_columns, rows_of
from aiplatform.data.conversations import CHAT, SHAREGPT
from aiplatform.data.errors import MalformedData
from aiplatform.data.json_text import json_text

if TYPE_CHECKING:
    import polars as pl

NULL_TEXT = "\x00"
"""Placeholder for a missing text in a conversation when rows are hashed; no real text is a NUL."""


def describe_columns(schema: pa.Schema) -> list[dict[str, str]]:
    """Return the names and types of the columns, as users see them."""
    as_json = json_columns(schema)
    dated = dated_columns(schema)
    return [
        {"name": f.name, "type": dated.get(f.name) or _label(f, f.name in as_json)} for f in schema
    ]


def _label(field: pa.Field, as_json: bool) -> str:
    if as_json:
        return "json"
    if pa.types.is_list(field.type):
        return "messages"
    if pa.types.is_boolean(field.type):
        return "boolean"
    if pa.types.is_integer(field.type):
        return "integer"
    return "number" if pa.types.is_floating(field.type) else "text"


def unify_schemas(first: pa.Schema, second: pa.Schema, empty: Collection[str] = ()) -> pa.Schema:
    """Return the narrowest schema that holds the rows of both schemas.

    Args:
        first: Determines order, shape and format.
        second: The other schema.
        empty: Columns without any value in the rows of the second schema. They are stored as text,
            and would otherwise turn numbers in the rows of the first schema into JSON.
    """
    second = pa.schema(
        [first.field(f.name) if f.name in empty and f.name in first.names else f for f in second],
        metadata=second.metadata,
    )
    as_json = set(json_columns(first)) | (set(json_columns(second)) - set(empty))
    fields: list[pa.Field] = []
    for name in [*first.names, *(n for n in second.names if n not in first.names)]:
        kinds = [schema.field(name).type for schema in (first, second) if name in schema.names]
        kind = kinds[0]
        if len(kinds) == 2 and name not in as_json and kinds[0] != kinds[1]:
            widened = _wider(*kinds)
            if widened is None:
                as_json.add(name)
            else:
                kind = widened
        fields.append(pa.field(name, pa.string() if name in as_json else kind))
    ordered = [field.name for field in fields if field.name in as_json]
    metadata = {
        **(first.metadata or {}),
        b"aiplatform.json": json.dumps(ordered, ensure_ascii=False).encode(),
    }
    return with_dated(pa.schema(fields, metadata=metadata), _both_dated(first, second, empty))


def with_dated(schema: pa.Schema, dated: Mapping[str, str]) -> pa.Schema:
    """Return the schema with exactly the columns of ``dated`` marked as dates and times."""
    metadata = {k: v for k, v in (schema.metadata or {}).items() if k != b"aiplatform.dated"}
    ordered = {name: dated[name] for name in schema.names if name in dated}
    if ordered:
        metadata[b"aiplatform.dated"] = json.dumps(ordered, ensure_ascii=False).encode()
    return schema.with_metadata(metadata)


def _both_dated(first: pa.Schema, second: pa.Schema, empty: Collection[str] = ()) -> dict[str, str]:
    """Return the columns that are dates or times in every schema that contains them, by name."""
    first_dated, second_dated = dated_columns(first), dated_columns(second)
    found: dict[str, str] = {}
    for name in {**first_dated, **second_dated}:
        labels = {
            dated.get(name)
            for schema, dated in ((first, first_dated), (second, second_dated))
            if name in schema.names and not (schema is second and name in empty)
        }
        if None not in labels:
            found[name] = "date" if labels == {"date"} else "timestamp"
    return found


def _wider(first: pa.DataType, second: pa.DataType) -> pa.DataType | None:
    if {first, second} == {pa.int64(), pa.float64()}:
        return pa.float64()
    for spelling in (CHAT, SHAREGPT):
        with_extra, without = spelling.arrow_type(extra=True), spelling.arrow_type(extra=False)
        # Sets would not work: types read from a file are equal to these, but have other hashes.
        if (first, second) in ((with_extra, without), (without, with_extra)):
            return with_extra
    return None


def convert_batch(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Convert a canonical batch to a schema that :func:`unify_schemas` returned for it.

    Raises:
        MalformedData: an integer is too large for an exact double precision number.
    """
    if batch.schema.equals(schema, check_metadata=True):
        return batch
    was_json = set(json_columns(batch.schema))
    now_json = set(json_columns(schema))
    columns = []
    for field in schema:
        if field.name not in batch.schema.names:
            columns.append(pa.nulls(batch.num_rows, field.type))
            continue
        column = batch.column(field.name)
        if column.type != field.type and column.null_count == len(column):
            column = pa.nulls(batch.num_rows, field.type)
        elif field.name in now_json and field.name not in was_json:
            column = _as_json(batch, field.name)
        elif column.type != field.type:
            column = _widened(column, field)
        columns.append(column)
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _as_json(batch: pa.RecordBatch, name: str) -> pa.Array:
    values = [row[name] for row in rows_of(batch.select([name]))]
    return pa.array([None if v is None else json_text(v) for v in values], pa.string())


def _widened(column: pa.Array, field: pa.Field) -> pa.Array:
    if pa.types.is_list(field.type):
        messages = column.values
        parts = [*messages.flatten(), pa.nulls(len(messages), pa.string())]
        structs = pa.StructArray.from_arrays(parts, fields=list(field.type.value_type))
        return pa.ListArray.from_arrays(
            column.offsets, structs, type=field.type, mask=column.is_null()
        )
    try:
        return column.cast(field.type)
    except pa.ArrowInvalid as error:
        raise MalformedData("number_inexact", column=field.name) from error


def frame(batch: pa.RecordBatch | pa.Table, columns: Sequence[str] | None = None) -> "pl.DataFrame":
    """Convert a batch to Polars; missing and empty texts in conversations remain distinct."""
    import polars as pl  # noqa: PLC0415  (the API uses this module, but not this function)

    names = batch.schema.names if columns is None else list(columns)
    kept = {}
    for name in names:
        column = batch.column(name)
        if isinstance(column, pa.ChunkedArray):
            column = column.combine_chunks()
        if pa.types.is_list(column.type):
            column = _with_distinct_nulls(column)
        kept[name] = column
    found = pl.from_arrow(pa.table(kept))
    assert isinstance(found, pl.DataFrame)
    return found


def _with_distinct_nulls(column: pa.Array) -> pa.Array:
    messages = column.values
    fields = list(column.type.value_type)
    parts = [part.fill_null(NULL_TEXT) for part in messages.flatten()]
    structs = pa.StructArray.from_arrays(parts, fields=fields)
    return pa.ListArray.from_arrays(
        column.offsets, structs, type=column.type, mask=column.is_null()
    )


def content_hashes(
    batch: pa.RecordBatch | pa.Table, columns: Sequence[str] | None = None, seed: int = 0
) -> "npt.NDArray[np.uint64]":
    """Return a 64-bit hash of the content of each row, valid only within this process."""
    found: npt.NDArray[np.uint64] = frame(batch, columns).hash_rows(seed).to_numpy()
    return found
