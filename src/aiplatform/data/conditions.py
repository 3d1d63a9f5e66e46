"""Evaluate the conditions of row filters on batches of rows.

A condition is either an expression in the filter language (see :mod:`~aiplatform.data.filters`),
whose fields are the columns, or a :class:`~aiplatform.protocol.rows.Condition`. A condition on a
conversation or on JSON text applies to all text in the value. In a ``Condition``, a missing value
meets only ``missing``, ``!=``, ``not_in`` and ``not_contains``.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import lru_cache, reduce
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from aiplatform.data.canonical import dated_columns
from aiplatform.data.column_types import points_in_time
from aiplatform.data.errors import MalformedData
from aiplatform.data.filters import AllOf, Comparison, Node, comparisons, fold, parse
from aiplatform.protocol.rows import Condition

TIME_COMPARISONS = frozenset({"==", "<", "<=", ">", ">=", "in"})
NEGATED = {"!=": "==", "not_in": "in", "not_contains": "contains", "present": "missing"}


def referenced_columns(conditions: Sequence[Condition | str]) -> set[str]:
    """Return the names of the columns that conditions refer to."""
    found: set[str] = set()
    for condition in conditions:
        if isinstance(condition, str):
            found |= {one.field.path for one in comparisons(parsed(condition))}
        else:
            found.add(condition.column)
    return found


def required(conditions: Sequence[Condition | str]) -> Iterator[Condition]:
    """Yield the simple conditions that every row must meet to match ``conditions``."""
    for condition in conditions:
        if not isinstance(condition, str):
            yield condition
            continue
        node = parsed(condition)
        parts = node.parts if isinstance(node, AllOf) else (node,)
        for part in parts:
            # The minimum and maximum of a row group do not account for NaN.
            if isinstance(part, Comparison) and not (
                part.operator in {"!=", "has"} or any(map(_is_nan, part.values))
            ):
                yield _as_condition(part)


@lru_cache(maxsize=64)
def parsed(text: str) -> Node:
    """Parse a filter expression into a tree.

    Raises:
        FilterError: the filter is not valid.
    """
    return parse(text)


def matching(batch: pa.RecordBatch, conditions: Sequence[Condition | str]) -> pa.Array:
    """Return one boolean per row, never null: True if the row meets all conditions.

    Raises:
        MalformedData: there is no such column, or the value does not fit the column's type.
    """
    found = pa.array([True]).take(pa.array([0] * batch.num_rows, pa.int64()))
    for condition in conditions:
        if isinstance(condition, str):
            met = fold(
                parsed(condition),
                comparison=lambda one: _compared(batch, one),
                inverse=pc.invert,
                every=lambda parts: reduce(pc.and_, parts),
                some=lambda parts: reduce(pc.or_, parts),
            )
        else:
            met = _meets(batch, condition)
        found = pc.and_(found, met)
    return found


def _compared(batch: pa.RecordBatch, one: Comparison) -> pa.Array:
    """Return one boolean per row: True if its value meets a comparison; missing values never do."""
    if one.operator == "has":
        raise MalformedData("condition_has", column=one.field.path)
    met = _meets(batch, _as_condition(one))
    column = batch.column(one.field.path)
    if any(map(_is_nan, one.values)):
        # For Arrow, NaN differs from itself. In the filter language it equals itself and has no
        # order.
        is_nan = pc.fill_null(pc.is_nan(column), False)
        if one.operator == "!=":
            met = pc.invert(is_nan)
        elif one.operator in {"=", "in"}:
            met = pc.or_(met, is_nan)
    return pc.and_(met, column.is_valid()) if one.operator == "!=" else met


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _as_condition(one: Comparison) -> Condition:
    operator: Any = "==" if one.operator == "=" else one.operator
    if operator == "present":
        return Condition(column=one.field.path, op=operator)
    value: Any = list(one.values) if operator == "in" else one.values[0]
    # Validation would refuse NaN and infinity, which the filter language allows.
    return Condition.model_construct(column=one.field.path, op=operator, value=value)


def containing(batch: pa.RecordBatch, text: str) -> pa.Array:
    """Return one boolean per row: True if any text in the row contains ``text``, ignoring case."""
    found = pa.array([False]).take(pa.array([0] * batch.num_rows, pa.int64()))
    for column in batch.columns:
        if pa.types.is_string(column.type) or pa.types.is_list(column.type):
            found = pc.or_(found, _contains(column, text))
    return found


def _meets(batch: pa.RecordBatch, condition: Condition) -> pa.Array:
    if condition.column not in batch.schema.names:
        raise MalformedData("column_unknown", column=condition.column)
    column = batch.column(condition.column)
    dated = dated_columns(batch.schema).get(condition.column)
    op = NEGATED.get(condition.op, condition.op)
    if dated is not None and op in TIME_COMPARISONS:
        column, condition = _in_time(column, dated, condition)
    try:
        met = _positive(column, op, condition)
        return pc.invert(met) if condition.op in NEGATED else met
    except pa.ArrowInvalid as error:  # Large integers in the column, compared with a fraction.
        raise _unfit(condition) from error


def _positive(column: pa.Array, op: str, condition: Condition) -> pa.Array:
    value = condition.value
    if op == "missing":
        return column.is_null()
    if op == "contains":
        return _contains(column, str(value))
    if op in {"min_length", "max_length"}:
        lengths = _lengths(column)
        compare = pc.greater_equal if op == "min_length" else pc.less_equal
        return pc.fill_null(compare(lengths, _number(condition)), False)
    if op == "in":
        values = value if isinstance(value, list) else [value]
        return pc.is_in(column, value_set=_typed(column, values, condition), skip_nulls=True)
    scalar = _typed(column, [value], condition)[0]
    compare = {
        "==": pc.equal,
        "<": pc.less,
        "<=": pc.less_equal,
        ">": pc.greater,
        ">=": pc.greater_equal,
    }[op]
    return pc.fill_null(compare(column, scalar), False)


def _in_time(column: pa.Array, label: str, condition: Condition) -> tuple[pa.Array, Condition]:
    """Convert a column of dates or times and its condition to microseconds since 1970 in UTC."""
    values = condition.value if isinstance(condition.value, list) else [condition.value]
    if not all(isinstance(value, str) for value in values):
        raise _unfit(condition)
    wanted = points_in_time(pa.array([str(v).strip() for v in values], pa.string()), "timestamp")
    if wanted.null_count:
        raise _unfit(condition)
    asked = wanted.cast(pa.int64()).to_pylist()
    value = asked if isinstance(condition.value, list) else asked[0]
    moments = points_in_time(column, label).cast(pa.int64())
    return moments, condition.model_copy(update={"value": value})


def _typed(column: pa.Array, values: list[Any], condition: Condition) -> pa.Array:
    kind = column.type
    if pa.types.is_list(kind):
        fitting: set[type] = set()
    elif pa.types.is_string(kind):
        fitting = {str}
    elif pa.types.is_boolean(kind):
        fitting = {bool}
    else:
        fitting = {int, float}
    if all(type(value) in fitting for value in values):
        if any(type(value) is float for value in values):
            kind = pa.float64()
        # Fails for an integer beyond 64 bits, or one among fractions that would be rounded.
        with suppress(OverflowError, pa.ArrowInvalid):
            return pa.array(values, kind)
    raise _unfit(condition)


def _unfit(condition: Condition) -> MalformedData:
    value = condition.value
    first = value[:1] if isinstance(value, list) else [value]
    shown = str(first[0])[:80] if first else "[]"
    return MalformedData("condition_type", column=condition.column, op=condition.op, value=shown)


def _number(condition: Condition) -> int:
    if type(condition.value) is not int or abs(condition.value) >= 2**63:
        raise _unfit(condition)
    return condition.value


def _contains(column: pa.Array, text: str) -> pa.Array:
    if pa.types.is_list(column.type):
        messages = column.flatten()
        hit = pa.array([False]).take(pa.array([0] * len(messages), pa.int64()))
        for part in messages.flatten():
            hit = pc.or_(hit, _contains(part, text))
        rows = pc.list_parent_indices(column).filter(hit)
        return pc.is_in(pa.array(range(len(column)), pa.int64()), value_set=rows.cast(pa.int64()))
    if not pa.types.is_string(column.type):
        column = column.cast(pa.string())
    found = pc.match_substring(column, text, ignore_case=True)
    return pc.fill_null(found, False)


def _lengths(column: pa.Array) -> pa.Array:
    if pa.types.is_list(column.type):
        return pc.list_value_length(column)
    if not pa.types.is_string(column.type):
        column = column.cast(pa.string())
    return pc.utf8_length(column)
