"""Selections and changes of a dataset's rows, as request bodies and subprocess jobs."""

from typing import Annotated, Literal

from pydantic import Field, JsonValue, model_validator

from aiplatform.protocol.specs import Fixes, Strict

MAX_EDITS = 10_000
ColumnName = Annotated[str, Field(min_length=1, max_length=255)]
Share = Annotated[float, Field(gt=0, lt=1)]
RowNumber = Annotated[int, Field(ge=0, lt=2**31)]

Comparison = Literal[
    "==", "!=", "<", "<=", ">", ">=", "in", "not_in", "contains", "not_contains",
    "missing", "present", "min_length", "max_length",
]  # fmt: skip


class Condition(Strict):
    """A condition on a column's values.

    ``contains`` also searches conversations and nested values, and ignores case. The length of text
    is its number of characters; that of a conversation is its number of messages.
    """

    column: ColumnName
    op: Comparison
    value: JsonValue = None


FilterText = Annotated[str, Field(min_length=1, max_length=2000)]
"""A condition in the filter language, such as ``score >= 0.5 and not label in ("a", "b")``."""


class RowChange(Strict):
    """New values for some cells of a row, which is given by its position in the version, from 0."""

    row: RowNumber
    values: dict[ColumnName, JsonValue] = Field(min_length=1)


class RowPatch(Strict):
    """Rows to add, change and delete. Positions refer to the version that is patched."""

    set: list[RowChange] = Field(default_factory=list, max_length=MAX_EDITS)
    add: list[dict[ColumnName, JsonValue]] = Field(default_factory=list, max_length=MAX_EDITS)
    delete: list[RowNumber] = Field(default_factory=list, max_length=MAX_EDITS)

    @model_validator(mode="after")
    def _check_edits(self) -> "RowPatch":
        if not (self.set or self.add or self.delete):
            raise ValueError("nothing to set, add or delete")
        changed = [change.row for change in self.set]
        if len(set(changed)) != len(changed) or set(changed) & set(self.delete):
            raise ValueError("a row may be changed or deleted once")
        return self


class RowFilter(Strict):
    """A selection of the rows that meet all conditions or, with ``drop``, of all other rows."""

    where: list[Condition | FilterText] = Field(min_length=1, max_length=50)
    drop: bool = False


class RowFix(Strict):
    """The fixes to apply to the quality report's findings, keyed by their codes.

    The report lists the possible fixes for each finding.
    """

    fixes: Fixes


class RowSplit(Strict):
    """A split of rows into parts.

    Attributes:
        fractions: fractions of the rows, keyed by the name of the part; they add up to 1.
        seed: the seed; the same seed always gives the same split.
        stratify: a column whose values should be equally frequent in each part.
        group: a column; rows with equal values in it stay together. Rows without a value are split
            by the other rules.
        by: ``question`` keeps all rows with the same question together, whatever the answer. Case,
            punctuation and whitespace are ignored. A row without a question is compared as a
            whole. ``row`` keeps only equal rows together.
        near: True if rows that differ only in a few words also stay together.
    """

    fractions: dict[Annotated[str, Field(min_length=1, max_length=100)], Share] = Field(
        min_length=2, max_length=10
    )
    seed: int = Field(0, ge=0, lt=2**63)
    stratify: ColumnName | None = None
    group: ColumnName | None = None
    by: Literal["question", "row"] = Field(
        "question", description="what stays together: all rows of a question, or equal rows"
    )
    near: bool = Field(False, description="keep rows that differ in a few words together, too")

    @model_validator(mode="after")
    def _check_fractions(self) -> "RowSplit":
        if abs(sum(self.fractions.values()) - 1) > 1e-6:
            raise ValueError("the fractions must add up to 1")
        return self
