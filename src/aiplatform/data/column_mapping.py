"""Rename columns of canonical rows: read the rows again with a user's column mapping."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from aiplatform.data.canonical import (
    dated_columns,
    format_of_schema,
    iter_batches,
    json_columns,
    rows_of,
)
from aiplatform.data.chunk import Chunk, Values
from aiplatform.data.column_kinds import has_extra
from aiplatform.data.column_types import UNTYPED
from aiplatform.data.errors import MalformedData
from aiplatform.data.formats import Opened
from aiplatform.data.formats.type_conversion import batch_rows
from aiplatform.data.ingest import convert
from aiplatform.data.plan import Typing


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
    # A CSV file has no types: its numbers were text, and become text again if the mapping makes
    # them part of the content, such as answers.
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
