"""How rows of a dataset are chosen and changed: request bodies, and jobs of what does it."""

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
    """What a value of a column must be.

    ``contains`` looks into conversations and nested values too, in whatever case; lengths are
    characters of a text or messages of a conversation.
    """

    column: ColumnName
    op: Comparison
    value: JsonValue = None


FilterText = Annotated[str, Field(min_length=1, max_length=2000)]
"""A condition in the filter language, such as ``score >= 0.5 and not label in ("a", "b")``."""


class RowChange(Strict):
    """Other values for some cells of a row, which is named by its place in the version, from 0."""

    row: RowNumber
    values: dict[ColumnName, JsonValue] = Field(min_length=1)


class RowPatch(Strict):
    """Rows added, changed and deleted. Places are those of the version that is patched."""

    set: list[RowChange] = Field(default_factory=list, max_length=MAX_EDITS)
    add: list[dict[ColumnName, JsonValue]] = Field(default_factory=list, max_length=MAX_EDITS)
    delete: list[RowNumber] = Field(default_factory=list, max_length=MAX_EDITS)

    @model_validator(mode="after")
    def _sensible(self) -> "RowPatch":
        if not (self.set or self.add or self.delete):
            raise ValueError("nothing to set, add or delete")
        changed = [change.row for change in self.set]
        if len(set(changed)) != len(changed) or set(changed) & set(self.delete):
            raise ValueError("a row may be changed or deleted once")
        return self


class RowFilter(Strict):
    """Rows that meet all conditions stay, or go with ``drop``."""

    where: list[Condition | FilterText] = Field(min_length=1, max_length=50)
    drop: bool = False


class RowFix(Strict):
    """What is done about findings of the quality report, by their codes.

    The report says of each finding which fixes there are for it.
    """

    fixes: Fixes


class RowSplit(Strict):
    """How rows are dealt out.

    Args:
        fractions: of the rows, by the part's name; they add up to 1.
        stratify: a column whose values shall be as frequent in each part.
        group: a column whose equal values stay together; rows without a value are dealt by the
            other rules.
        by: ``question`` keeps all rows that ask the same on one side, whatever is answered: case,
            punctuation and white space make no difference. A row that asks nothing is compared as a
            whole. ``row`` keeps only equal rows together.
        near: whether rows that differ in a few words stay together, too.
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
    def _whole(self) -> "RowSplit":
        if abs(sum(self.fractions.values()) - 1) > 1e-6:
            raise ValueError("the fractions must add up to 1")
        return self
