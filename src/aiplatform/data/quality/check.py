"""What a check is: it looks at batches, then says what it found."""

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
    """How much a finding matters to training."""

    ERROR = "error"
    """These rows can't be trained on, or teach what is wrong."""
    WARNING = "warning"
    """These rows train, but worse than they could."""
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Context:
    """What a check may know before it sees a row.

    Attributes:
        rows: how many there are.
        schema: of the canonical Parquet.
        references: what the rows are compared with.
        keeps_rows: whether somebody will ask which rows each finding is about. A report does not,
            and then none are kept: there may be more than fit into memory.
    """

    shape: DataShape
    schema: pa.Schema
    rows: int
    references: "tuple[Reference, ...]" = ()
    keeps_rows: bool = True

    def tally(self) -> "Tally":
        """A count of rows."""
        return Tally(keeps_rows=self.keeps_rows)

    @property
    def content(self) -> list[str]:
        """The columns that training reads; all columns of a table."""
        known = CONTENT_COLUMNS.get(self.shape, self.schema.names)
        return [name for name in known if name in self.schema.names]

    @property
    def required(self) -> list[str]:
        """The columns without which a row is of no use."""
        return [n for n in REQUIRED_COLUMNS.get(self.shape, ()) if n in self.schema.names]


@dataclass(frozen=True, slots=True)
class Example:
    """A row that shows a finding. ``row`` counts from 0."""

    row: int
    text: str


@dataclass(slots=True)
class Finding:
    """Something about some of the rows.

    Attributes:
        count: how many rows.
        message: what was found, in both languages.
        effect: what it does to training.
        column: which column it is about, if one.
        rows: which rows, ascending; of checks that look at all of them, every one. Empty where
            :attr:`Context.keeps_rows` is not set.
        groups: rows that belong together, the largest groups first.
        checked_by: the check of another distribution that says so.
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
        """What can be done about it. Other people's findings can be dropped by their rows."""
        if self.checked_by is not None:
            return ("drop",) if len(self.rows) == self.count else ()
        return fixes_of(self.code)

    def as_dict(self, rows: int) -> dict[str, Any]:
        """As the report has it."""
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
    """One check; made anew for each report, shown every batch in order, then asked once.

    Attributes:
        in_numpy: whether it spends its time in NumPy rather than in Python itself; it is then shown
            batches beside the others, in a thread.
    """

    in_numpy: ClassVar[bool] = False

    def __init__(self, context: Context) -> None:
        self.context = context

    @abstractmethod
    def look(self, batch: pa.RecordBatch, first_row: int) -> None:
        """See rows ``first_row`` and following."""

    @abstractmethod
    def findings(self) -> list[Finding]:
        """What was found in all batches; empty when all is well."""


class Tally:
    """Counts rows, and keeps the first few as examples.

    Attributes:
        count: how many rows were counted.
        rows: which, if they are kept.
    """

    def __init__(self, *, keeps_rows: bool = True) -> None:
        self.count = 0
        self.rows: array[int] = array("I")
        self.examples: list[Example] = []
        self._keeps_rows = keeps_rows

    def as_dict(self) -> dict[str, Any]:
        """All of it as plain JSON; four bytes of a row's number take eight characters."""
        return {
            "count": self.count,
            "rows": self.rows.tobytes().hex(),
            "examples": [[example.row, example.text] for example in self.examples],
        }

    @classmethod
    def of_dict(cls, told: dict[str, Any]) -> Self:
        """What :meth:`as_dict` has told."""
        tally = cls()
        tally.count = told["count"]
        tally.rows.frombytes(bytes.fromhex(told["rows"]))
        tally.examples = [Example(*each) for each in told["examples"]]
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
    """An array of row numbers, ascending, as findings carry them."""
    return array("I", np.sort(rows).astype(np.uint32).tobytes())


def row_preview(batch: pa.RecordBatch, index: int) -> str:
    """The beginning of a row, to recognise it by."""
    return preview_of(rows_of(batch.slice(index, 1))[0])


def preview_of(row: Mapping[str, Any]) -> str:
    """The beginning of a row that was read."""
    return shorten(" · ".join(_pieces(row.values())))


def shorten(text: str) -> str:
    """``text`` in one line of at most :data:`MAX_EXAMPLE_CHARACTERS`."""
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
