"""What every reader yields: some rows as columns, with the place each row came from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import pyarrow as pa

from aiplatform.data.errors import MalformedData
from aiplatform.data.limits import MAX_COLUMN_NAME, MAX_COLUMNS

Values: TypeAlias = "list[Any] | pa.Array"
"""A column: Python values as JSON has them, or an Arrow array where the reader had one anyway."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows as columns of equal length.

    Attributes:
        columns: by name, in the order of the file.
        rows: the length of every column.
        places: the 1-based line (or row, see ``unit``) of each row.
        unit: what ``places`` counts.
        file: the name of the file, where several are read as one.
        raw: the text of a row as it stands in the file, where somebody may ask for it.
    """

    columns: dict[str, Values]
    rows: int
    places: Sequence[int]
    unit: Literal["line", "row"] = "line"
    raw: Callable[[int], str] | None = None
    file: str | None = None

    def only(self, rows: Sequence[int]) -> "Chunk":
        """Some of the rows, by their numbers in this chunk."""
        raw = self.raw
        return Chunk(
            {
                name: values.take(pa.array(rows, pa.int64()))
                if isinstance(values, pa.Array)
                else [values[row] for row in rows]
                for name, values in self.columns.items()
            },
            len(rows),
            [self.places[row] for row in rows],
            self.unit,
            None if raw is None else lambda row: raw(rows[row]),
            self.file,
        )

    def fault(self, row: int, reason: str, **params: Any) -> MalformedData:
        """The fault of the ``row``-th row of this chunk."""
        place = self.places[row]
        if self.unit == "line":
            fault = MalformedData(reason, line=place, **params)
        else:
            fault = MalformedData(reason, row=place, **params)
        return fault if self.file is None else fault.inside(self.file)


def is_name(name: str) -> bool:
    """Whether a column may have that name."""
    return len(name) <= MAX_COLUMN_NAME and "\x00" not in name


def check_names(names: Sequence[str], *, line: int | None = None) -> None:
    """Refuse headers that no table should have.

    Raises:
        MalformedData: no columns, too many, repeated ones, or bad names.
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
