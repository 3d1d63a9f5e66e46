"""Conversion of other libraries' tables to Parquet for uploads.

None of these libraries is imported unless the table belongs to it.
"""

import tempfile
from importlib import import_module
from typing import Any, BinaryIO, Protocol, cast

from aiplatform.client.errors import ClientError
from aiplatform.language import tr


class ArrowTable(Protocol):
    """A table that can be read through Arrow's C stream, such as a DataFrame or an Arrow table."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...


def parquet_of(data: object) -> BinaryIO | None:
    """Write a table of pandas, Polars, Arrow or ``datasets`` to a temporary Parquet file.

    Returns:
        The file, to be read from its start; None if ``data`` is not such a table.

    Raises:
        TypeError: for a ``datasets.DatasetDict``, which contains several tables.
        ClientError: if the package that writes Parquet is missing.
    """
    if not is_table(data):
        return None
    file = cast("BinaryIO", tempfile.TemporaryFile())  # noqa: SIM115  (closed with its last reader)
    try:
        _write(data, file)
    except ImportError as error:
        refusal = ClientError(
            tr(
                "a {kind} is uploaded as Parquet, and {package} is not installed",
                kind=type(data).__name__,
                package=error.name,
            )
        )
        refusal.hint = tr("Install it: pip install pyarrow")
        raise refusal from error
    file.seek(0)
    return file


def is_table(data: object) -> bool:
    """Return True if :func:`parquet_of` can write ``data``."""
    if isinstance(data, type):
        return False
    return hasattr(data, "__arrow_c_stream__") or (
        _library(data) in {"pandas", "polars", "datasets"}
        and type(data).__name__ in {"DataFrame", "LazyFrame", "Dataset", "DatasetDict"}
    )


def _library(data: object) -> str:
    return type(data).__module__.partition(".")[0]


def _write(table: Any, file: BinaryIO) -> None:
    match _library(table), type(table).__name__:
        case "pandas", "DataFrame":
            # An unnamed index usually contains only row numbers left over from filtering.
            named = any(name is not None for name in table.index.names)
            table.to_parquet(file, index=named)
        case "polars", "LazyFrame":
            table.collect().write_parquet(file)
        case "polars", "DataFrame":
            table.write_parquet(file)
        case "datasets", "DatasetDict":
            splits = ", ".join(f"data[{name!r}]" for name in table)
            raise TypeError(f"a DatasetDict is several datasets; upload one of {splits}")
        case "datasets", "Dataset":
            table.to_parquet(file)
        case _:
            pa, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
            parquet.write_table(pa.table(table), file)
