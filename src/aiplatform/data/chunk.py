"""The chunks that readers yield: rows stored as columns, with their positions in the file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import pyarrow as pa

from aiplatform.data.errors import MalformedData
from aiplatform.data.limits import MAX_COLUMN_NAME, MAX_COLUMNS

Values: TypeAlias = "list[Any] | pa.Array"
"""A column: Python values as in JSON, or an Arrow array if the reader already has one."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows of a file, stored as columns of equal length.

    Attributes:
        columns: Columns by name, in the order of the file.
        rows: The length of every column.
        positions: The 1-based line (or row, see ``unit``) of each row.
        unit: The unit of ``positions``.
        raw: A function that returns the original text of the row with a given index; None if no
            caller needs it.
        file: The name of the file, if several are read as one.
    """

    columns: dict[str, Values]
    rows: int
    positions: Sequence[int]
    unit: Literal["line", "row"] = "line"
    raw: Callable[[int], str] | None = None
    file: str | None = None

    def take(self, rows: Sequence[int]) -> "Chunk":
        """Return a chunk with only the given rows.

        Args:
            rows: Indices of the rows in this chunk, from 0.
        """
        raw = self.raw
        return Chunk(
            {
                name: values.take(pa.array(rows, pa.int64()))
                if isinstance(values, pa.Array)
                else [values[row] for row in rows]
                for name, values in self.columns.items()
            },
            len(rows),
            [self.positions[row] for row in rows],
            self.unit,
            None if raw is None else lambda row: raw(rows[row]),
            self.file,
        )

    def error(self, row: int, reason: str, **params: Any) -> MalformedData:
        """Return the error for a row of this chunk, with its position in the file.

        Args:
            row: The index of the row in this chunk, from 0.
            reason: A key of :data:`~aiplatform.data.errors.REASONS`.
            **params: Parameters of the message.
        """
        position = self.positions[row]
        if self.unit == "line":
            error = MalformedData(reason, line=position, **params)
        else:
            error = MalformedData(reason, row=position, **params)
        return error if self.file is None else error.with_file(self.file)


def is_name(name: str) -> bool:
    """Return True if a column may have this name."""
    return len(name) <= MAX_COLUMN_NAME and "\x00" not in name


def check_names(names: Sequence[str], *, line: int | None = None) -> None:
    """Check the column names of a header.

    Raises:
        MalformedData: there are no columns or too many, or a name is repeated or invalid.
    """
    if not names:
        raise MalformedData("columns_none", line=line)
    if len(names) > MAX_COLUMNS:
        raise MalformedData("columns_too_many", line=line, found=len(names), limit=MAX_COLUMNS)
    seen: set[str] = set()
    for name in names:
        if not is_name(name):
            raise MalformedData("column_name", line=line, limit=MAX_COLUMN_NAME)
        if name in seen:
            raise MalformedData("column_twice", line=line, name=name)
        seen.add(name)
