"""Skip row groups that can't contain matching rows, by the statistics in the Parquet footer."""

from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from aiplatform.data.canonical import dated_columns
from aiplatform.data.conditions import required
from aiplatform.protocol.rows import Condition

Bounds = tuple[Any, Any]

WITHIN: dict[str, Callable[[Bounds, Any], bool]] = {
    "==": lambda bounds, value: bool(bounds[0] <= value <= bounds[1]),
    "<": lambda bounds, value: bool(bounds[0] < value),
    "<=": lambda bounds, value: bool(bounds[0] <= value),
    ">": lambda bounds, value: bool(bounds[1] > value),
    ">=": lambda bounds, value: bool(bounds[1] >= value),
    "in": lambda bounds, value: any(bounds[0] <= one <= bounds[1] for one in value),
}
"""Functions that return True if a value between the bounds may meet a condition, by operator."""


def may_match(
    group: pq.RowGroupMetaData, schema: pa.Schema, conditions: Sequence[Condition | str]
) -> bool:
    """Return True if a row group may contain rows that meet all conditions.

    Args:
        group: The metadata of the row group in the footer.
        schema: The schema of the file. The conditions must fit its columns.
        conditions: As in :func:`aiplatform.data.conditions.matching`.
    """
    return all(_may_meet(group, schema, condition) for condition in required(conditions))


def _may_meet(group: pq.RowGroupMetaData, schema: pa.Schema, condition: Condition) -> bool:
    if pa.types.is_nested(schema.field(condition.column).type):
        return True
    if condition.column in dated_columns(schema):
        return True  # The bounds are those of the texts, whose order may differ from time.
    before = schema.names.index(condition.column)
    column = group.column(sum(_leaves(schema.field(n).type) for n in range(before)))
    known = column.statistics
    if known is None:
        return True
    if condition.op == "missing":
        return not known.has_null_count or known.null_count > 0
    if condition.op not in {"present", *WITHIN}:
        return True
    if known.has_null_count and known.null_count == group.num_rows:
        return False
    if condition.op == "present" or not known.has_min_max:
        return True
    value = condition.value
    if condition.op == "in" and not isinstance(value, list):
        value = [value]
    return WITHIN[condition.op]((known.min, known.max), value)


def _leaves(kind: pa.DataType) -> int:
    """Return the number of Parquet columns in which a column is stored."""
    if pa.types.is_list(kind):
        return _leaves(kind.value_type)
    if pa.types.is_struct(kind):
        return sum(_leaves(field.type) for field in kind)
    return 1
