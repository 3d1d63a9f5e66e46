"""The base class of checks, and the findings that they return."""

from abc import ABC, abstractmethod
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import pyarrow as pa

from aiplatform.data.canonical import rows_of
from aiplatform.data.errors import Words
from aiplatform.data.shapes import CONTENT_COLUMNS, REQUIRED_COLUMNS
from aiplatform.protocol.enums import DataShape
from aiplatform.protocol.fixes import fixes_of
from aiplatform.protocol.specs import FixAction

if TYPE_CHECKING:
    from aiplatform.data.quality.references import Reference

MAX_EXAMPLES = 5
MAX_EXAMPLE_CHARACTERS = 160


class Severity(StrEnum):
    """The importance of a finding for training."""

    ERROR = "error"
    """Rows that can't be used for training, or teach something wrong."""
    WARNING = "warning"
    """Rows that can be used, but reduce the quality of the model."""
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Context:
    """The properties of a dataset that are known before its first row is read.

    Attributes:
        shape: The shape of the rows.
        schema: The schema of the canonical Parquet file.
        rows: The number of rows.
        references: Other data with which the rows are compared.
        keeps_rows: True if findings must contain their row numbers. A report does not need
            these numbers, and there may be more of them than fit into memory.
    """

    shape: DataShape
    schema: pa.Schema
    rows: int
    references: "tuple[Reference, ...]" = ()
    keeps_rows: bool = True

    def new_tally(self) -> "Tally":
        """Create a new counter of rows."""
        return Tally(keeps_rows=self.keeps_rows)

    @property
    def content(self) -> list[str]:
        """The columns that training reads; all columns of a table."""
        known = CONTENT_COLUMNS.get(self.shape, self.schema.names)
        return [name for name in known if name in self.schema.names]

    @property
    def required(self) -> list[str]:
        """The columns that a row needs to be usable for training."""
        return [n for n in REQUIRED_COLUMNS.get(self.shape, ()) if n in self.schema.names]


@dataclass(frozen=True, slots=True)
class Example:
    """A row that illustrates a finding; ``row`` counts from 0."""

    row: int
    text: str


@dataclass(slots=True)
class Finding:
    """A problem, or another notable property, of some of the rows.

    Attributes:
        code: The identifier of the problem, such as ``duplicates``.
        severity: Its importance.
        count: The number of rows.
        message: A description, in both languages.
        effect: The effect on training, in both languages.
        column: The column with the problem; None if it is not limited to a single column.
        examples: The first few of the rows.
        rows: The numbers of the rows, ascending; all of them, unless the check looks only at a
            sample. Empty if :attr:`Context.keeps_rows` is not set.
        groups: Rows that belong together, the largest groups first.
        checked_by: The name of the third-party check that found the problem; None for checks of the
            platform.
    """

    code: str
    severity: Severity
    count: int
    message: Words
    effect: Words
    column: str | None = None
    examples: list[Example] = field(default_factory=list)
    rows: "array[int]" = field(default_factory=lambda: array("I"))
    groups: list[list[int]] = field(default_factory=list)
    checked_by: str | None = None

    @property
    def fixes(self) -> tuple[FixAction, ...]:
        """The fix actions that are possible.

        The rows of a third-party finding can be dropped if the finding lists all of them.
        """
        if self.checked_by is not None:
            return ("drop",) if len(self.rows) == self.count else ()
        return fixes_of(self.code)

    def as_dict(self, rows: int) -> dict[str, Any]:
        """Return the finding as JSON for the report.

        Args:
            rows: The total number of rows, to compute the share.
        """
        return {
            "code": self.code,
            "severity": self.severity.value,
            "column": self.column,
            "count": self.count,
            "share": round(self.count / rows, 6) if rows else 0.0,
            "message": self.message.en,
            "message_zh": self.message.zh,
            "effect": self.effect.en,
            "effect_zh": self.effect.zh,
            "fixes": list(self.fixes),
            "examples": [{"row": e.row, "text": e.text} for e in self.examples],
            **({"groups": self.groups} if self.groups else {}),
            **({"checked_by": self.checked_by} if self.checked_by else {}),
        }


class Check(ABC):
    """A quality check.

    A new instance is created for each report. It gets every batch in order, and is then asked once
    for its findings.

    Attributes:
        in_numpy: True if the check spends its time in NumPy rather than in Python; it then runs in
            another thread, in parallel with the others.
    """

    in_numpy: ClassVar[bool] = False

    def __init__(self, context: Context) -> None:
        self.context = context

    @abstractmethod
    def look(self, batch: pa.RecordBatch, first_row: int) -> None:
        """Examine a batch of rows; ``first_row`` is the number of the batch's first row."""

    @abstractmethod
    def findings(self) -> list[Finding]:
        """Return the findings in all batches."""


class Tally:
    """A counter of rows, which keeps the first few as examples.

    Attributes:
        count: The number of rows.
        rows: The numbers of the rows, if they are kept.
        examples: The first few rows.
    """

    def __init__(self, *, keeps_rows: bool = True) -> None:
        self.count = 0
        self.rows: array[int] = array("I")
        self.examples: list[Example] = []
        self._keeps_rows = keeps_rows

    def as_dict(self) -> dict[str, Any]:
        """Return the tally as JSON; each row number takes eight hexadecimal characters."""
        return {
            "count": self.count,
            "rows": self.rows.tobytes().hex(),
            "examples": [[example.row, example.text] for example in self.examples],
        }

    @classmethod
    def of_dict(cls, values: dict[str, Any]) -> Self:
        """Create a tally from the result of :meth:`as_dict`."""
        tally = cls()
        tally.count = values["count"]
        tally.rows.frombytes(bytes.fromhex(values["rows"]))
        tally.examples = [Example(*each) for each in values["examples"]]
        return tally

    def add(self, row: int, text: str) -> None:
        """Count one row."""
        self.count += 1
        if self._keeps_rows:
            self.rows.append(row)
        if len(self.examples) < MAX_EXAMPLES:
            self.examples.append(Example(row, shorten(text)))

    def add_where(self, mask: pa.Array, batch: pa.RecordBatch, first_row: int) -> None:
        """Count the rows of a batch for which ``mask`` is true; nulls count as false."""
        found = np.flatnonzero(mask.fill_null(False).to_numpy(zero_copy_only=False))
        wanted = MAX_EXAMPLES - len(self.examples)
        for index in found[: max(wanted, 0)].tolist():
            self.examples.append(Example(first_row + index, row_preview(batch, index)))
        self.count += len(found)
        if self._keeps_rows:
            self.rows.frombytes((found + first_row).astype(np.uint32).tobytes())


def row_numbers(rows: np.ndarray) -> "array[int]":
    """Return row numbers as a sorted array, the type of ``Finding.rows``."""
    return array("I", np.sort(rows).astype(np.uint32).tobytes())


def row_preview(batch: pa.RecordBatch, index: int) -> str:
    """Return the beginning of a row in a batch, so that users can recognise the row."""
    return preview_of(rows_of(batch.slice(index, 1))[0])


def preview_of(row: Mapping[str, Any]) -> str:
    """Return the beginning of a decoded row, so that users can recognise the row."""
    return shorten(" · ".join(_pieces(row.values())))


def shorten(text: str) -> str:
    """Return ``text`` as one line of at most :data:`MAX_EXAMPLE_CHARACTERS` characters."""
    head = " ".join(text[: 4 * MAX_EXAMPLE_CHARACTERS].split())
    if len(head) <= MAX_EXAMPLE_CHARACTERS:
        return head
    return head[: MAX_EXAMPLE_CHARACTERS - 1] + "…"


def _pieces(values: Iterable[Any]) -> Iterable[str]:
    for value in values:
        match value:
            case None:
                continue
            case str():
                if value.strip():
                    yield value
            case list():
                yield from _pieces(value)
            case Mapping():
                texts = [str(v) for v in value.values() if v is not None]
                yield ": ".join(texts[:2])
            case _:
                yield str(value)
