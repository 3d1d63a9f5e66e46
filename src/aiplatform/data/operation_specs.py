"""Specs for operations on a version's rows.

:mod:`aiplatform.data.row_operations` executes them.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from aiplatform.protocol.reading_options import ColumnMap
from aiplatform.protocol.rows import RowFilter, RowFix, RowPatch, RowSplit
from aiplatform.protocol.specs import Strict


class ComparedFile(Strict):
    """A canonical Parquet file with which rows are compared.

    See :class:`~aiplatform.data.quality.references.Reference`.
    """

    label: str
    role: Literal["evaluation", "benchmark"]
    path: Path
    dataset: str | None = None


class Append(Strict):
    """An operation that adds the rows of the file ``rows`` after those of the base.

    ``explicit_columns`` are the columns of ``rows`` whose types the uploader has set.
    """

    operation: Literal["append"] = "append"
    rows: Path
    explicit_columns: list[str] = Field(default_factory=list)


class Upsert(Strict):
    """An operation that replaces base rows with rows from ``rows`` that have the same ``key``.

    Rows with a new key are added. In replaced rows, columns that ``rows`` lacks keep their values.
    ``explicit_columns`` are the columns of ``rows`` whose types the uploader has set.
    """

    operation: Literal["upsert"] = "upsert"
    rows: Path
    key: str
    explicit_columns: list[str] = Field(default_factory=list)


class Delete(Strict):
    """An operation that deletes the base rows whose ``key`` occurs in the file ``rows``."""

    operation: Literal["delete"] = "delete"
    rows: Path
    key: str


class Patch(Strict):
    """An operation that changes, deletes or adds single rows, given by their positions."""

    operation: Literal["patch"] = "patch"
    patch: RowPatch


class Filter(Strict):
    """An operation that keeps, or drops, the rows that meet conditions."""

    operation: Literal["filter"] = "filter"
    filter: RowFilter


class Fix(Strict):
    """An operation that fixes findings of the quality report.

    ``tokenizer``, ``max_length`` and ``references`` are those with which the report was made.
    """

    operation: Literal["fix"] = "fix"
    fix: RowFix
    tokenizer: Path | None = None
    max_length: int = 512
    references: list[ComparedFile] = Field(default_factory=list)


class Map(Strict):
    """An operation that renames columns."""

    operation: Literal["map"] = "map"
    map: ColumnMap


class Split(Strict):
    """An operation that distributes the rows over several files."""

    operation: Literal["split"] = "split"
    split: RowSplit


Operation = Annotated[
    Append | Upsert | Delete | Patch | Filter | Fix | Map | Split, Field(discriminator="operation")
]


class Job(Strict):
    """An operation on the file ``base``.

    It writes one or more files, named ``output`` with ``.0``, ``.1``, … appended.
    """

    base: Path
    output: Path
    do: Operation
