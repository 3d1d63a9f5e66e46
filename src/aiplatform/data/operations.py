"""What can be done to the rows of a version: the jobs of :mod:`aiplatform.data.rework`."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from aiplatform.protocol.intake import ColumnMap
from aiplatform.protocol.rows import RowFilter, RowFix, RowPatch, RowSplit
from aiplatform.protocol.specs import Strict


class ComparedFile(Strict):
    """A canonical Parquet that rows are compared with; see
    :class:`~aiplatform.data.quality.references.Reference`."""

    label: str
    role: Literal["evaluation", "benchmark"]
    path: Path
    dataset: str | None = None


class Append(Strict):
    """The rows of ``rows`` behind those of the base.

    ``told`` are the columns of ``rows`` whose types the uploader has named.
    """

    operation: Literal["append"] = "append"
    rows: Path
    told: list[str] = Field(default_factory=list)


class Upsert(Strict):
    """Rows of ``rows`` in place of those with the same ``key``; those with another are added.

    Columns that ``rows`` lacks stay as they were. ``told`` are the columns of ``rows`` whose types
    the uploader has named.
    """

    operation: Literal["upsert"] = "upsert"
    rows: Path
    key: str
    told: list[str] = Field(default_factory=list)


class Delete(Strict):
    """Removes the rows whose ``key`` is in ``rows``."""

    operation: Literal["delete"] = "delete"
    rows: Path
    key: str


class Patch(Strict):
    """Single rows, by their places."""

    operation: Literal["patch"] = "patch"
    patch: RowPatch


class Filter(Strict):
    """The rows that meet conditions."""

    operation: Literal["filter"] = "filter"
    filter: RowFilter


class Fix(Strict):
    """The rows after fixes of what the quality report found.

    ``tokenizer``, ``max_length`` and ``references`` are what the report was made with.
    """

    operation: Literal["fix"] = "fix"
    fix: RowFix
    tokenizer: Path | None = None
    max_length: int = 512
    references: list[ComparedFile] = Field(default_factory=list)


class Map(Strict):
    """The rows with columns called what they are said to be."""

    operation: Literal["map"] = "map"
    map: ColumnMap


class Split(Strict):
    """Each row into one of several files."""

    operation: Literal["split"] = "split"
    split: RowSplit


Operation = Annotated[
    Append | Upsert | Delete | Patch | Filter | Fix | Map | Split, Field(discriminator="operation")
]


class Job(Strict):
    """What to do to ``base``; the results are ``output`` with ``.0``, ``.1``, … appended."""

    base: Path
    output: Path
    do: Operation
