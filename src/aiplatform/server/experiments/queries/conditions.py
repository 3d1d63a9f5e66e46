"""Translation of filters to SQL. Everything that a user wrote becomes a bound parameter.

Building the SQL takes longer than finding a page, so filters that differ only in paths and values
share a statement (:func:`shape`). The parameters of each comparison are named by its position in
the filter (:func:`values`).

PostgreSQL's planner assumes that the values of each path are distributed like those of all paths
together, so its estimates are useless here. Therefore the matches of a comparison are collected
into a set once, whatever the planner expects. The cost of a page then grows linearly with the
number of runs, never quadratically. Only the newest few runs, where most filters find a page, are
checked individually (``Subject.one_by_one``).
"""

import math
import re
from collections.abc import Callable, Hashable, Mapping
from datetime import UTC, datetime
from itertools import count
from typing import Any

from sqlalchemy import (
    ColumnElement,
    DateTime,
    Double,
    Integer,
    String,
    and_,
    bindparam,
    false,
    func,
    literal,
    not_,
    or_,
    select,
    true,
)

from aiplatform.data import filters
from aiplatform.data.filters import (
    Comparison,
    FilterError,
    Node,
    Value,
    comparisons,
)
from aiplatform.server.experiments.models import ExperimentTag
from aiplatform.server.experiments.queries.subjects import Attribute, Subject

ROOTS = ("config", "metrics")
ORDERED: Mapping[str, Callable[[Any, Any], ColumnElement[bool]]] = {
    "<": lambda column, value: column < value,
    "<=": lambda column, value: column <= value,
    ">": lambda column, value: column > value,
    ">=": lambda column, value: column >= value,
}
NAN = literal("NaN", Double)
"""NaN, which PostgreSQL treats as equal to itself and greater than every number."""

PROJECT = bindparam("project", type_=Integer)
"""Parameter for the internal id of the project to search."""


def shape(node: Node) -> Hashable:
    """Return the part of a filter that determines its SQL: everything except paths and values."""
    found: Hashable = filters.fold(
        node,
        comparison=lambda one: (
            _is_figure(one) or one.field.path,
            one.operator,
            tuple(_kind(value) for value in one.values),
        ),
        inverse=lambda part: ("not", part),
        every=lambda parts: ("and", *parts),
        some=lambda parts: ("or", *parts),
    )
    return found


def values(subject: Subject, node: Node) -> dict[str, Any]:
    """Return the parameters of a filter's SQL by name.

    Raises:
        FilterError: a time is expected, but the text is not a valid time.
    """
    found: dict[str, Any] = {}
    for place, one in enumerate(comparisons(node)):
        found[_name(place)] = one.field.path
        attribute = None if _is_figure(one) else subject.attributes.get(one.field.path)
        for index, value in enumerate(one.values):
            found[_name(place, index)] = (
                _moment(one, value)
                if attribute is not None and attribute.is_time
                else _bound(one, value)
            )
    return found


def condition(subject: Subject, node: Node) -> ColumnElement[bool]:
    """Return the filter as an SQL condition on ``subject`` that is never NULL.

    Raises:
        FilterError: a field does not exist, or does not support the comparison.
    """
    places = count()
    found: ColumnElement[bool] = filters.fold(
        node,
        comparison=lambda one: _compared(subject, one, next(places)),
        inverse=not_,
        every=lambda parts: and_(true(), *parts),
        some=lambda parts: or_(false(), *parts),
    )
    return found


def _is_figure(one: Comparison) -> bool:
    """Return True if the comparison is on a value in config or metrics."""
    return one.field.root in ROOTS and one.field.path != one.field.root


def _kind(value: Value) -> str:
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, str):
        return "text"
    return "nan" if math.isnan(value) else "number"


def _name(place: int, index: int | None = None) -> str:
    return f"path_{place}" if index is None else f"value_{place}_{index}"


def _bound(one: Comparison, value: Value) -> Value:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return float(value)
    if isinstance(value, str) and one.operator == "contains":
        return re.sub(r"([/%_])", r"/\1", value)
    return value


def _moment(one: Comparison, value: Value) -> datetime | None:
    """Parse the time stated by a value; return None if the comparison is rejected elsewhere.

    Raises:
        FilterError: the text is not a valid time.
    """
    if not isinstance(value, str) or one.operator not in ORDERED:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise FilterError(
            f'{one.field.path} is compared with a time such as "2026-11-24" or '
            '"2026-11-24T16:00:00Z"',
            one.field.position,
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _compared(subject: Subject, one: Comparison, place: int) -> ColumnElement[bool]:
    path = one.field.path
    if path == "tags":
        if one.operator != "has":
            raise FilterError('tags are asked for with `tags has "…"`', one.field.position)
        tag = bindparam(_name(place, 0), type_=String)
        tagged = select(ExperimentTag.experiment_id).where(ExperimentTag.tag == tag)
        return subject.tagged.in_(tagged).is_(true())
    if one.operator == "has":
        raise FilterError("only tags have `has`", one.field.position)
    if one.operator in {"min_length", "max_length"}:
        raise FilterError(f"{one.operator} is for rows of datasets", one.field.position)
    names = [_name(place, index) for index in range(len(one.values))]
    asked = list(zip(one.values, names, strict=True))
    if _is_figure(one):
        facts = subject.facts
        named = bindparam(_name(place), type_=String)
        meets = or_(
            true() if one.operator == "present" else false(),
            *[_fact_meets(facts, one, value, name) for value, name in asked],
        )
        if subject.one_by_one:
            # A scalar subquery, because the planner would turn EXISTS into a join.
            own = select(true()).where(facts.owner_id == subject.key, facts.path == named, meets)
            found: ColumnElement[bool] = own.scalar_subquery().is_(true())
            return found
        owners = select(facts.owner_id).where(
            facts.project_id == PROJECT, facts.path == named, meets
        )
        # Without IS TRUE, the planner would join row by row where it expects few rows.
        among: ColumnElement[bool] = subject.key.in_(owners)
        return among.is_(true())
    attribute = subject.attributes.get(path)
    if attribute is None:
        known = ", ".join(["config.…", "metrics.…", *sorted([*subject.attributes, "tags"])])
        raise FilterError(f"there is no field {path[:80]!r}; there are {known}", one.field.position)
    if one.operator == "present":
        there: ColumnElement[bool] = attribute.of.is_not(None)
        return there
    return func.coalesce(
        or_(*[_attribute_meets(attribute, one, value, name) for value, name in asked]), false()
    )


def _fact_meets(facts: Any, one: Comparison, value: Value, name: str) -> ColumnElement[bool]:
    if isinstance(value, bool | str):
        return _text_meets(facts.word, one, name)
    number = facts.number
    asked = bindparam(name, type_=Double)
    match one.operator:
        case "=" | "in":
            return and_(number.is_not(None), number == asked)
        case "!=":
            # A text differs from every number.
            return or_(facts.word.is_not(None), number != asked)
    compare = ORDERED.get(one.operator)
    if compare is None:
        raise FilterError(f"{one.operator} is for texts", one.field.position)
    if math.isnan(value):
        return false()
    return and_(compare(number, asked), number < NAN)


def _text_meets(column: Any, one: Comparison, name: str) -> ColumnElement[bool]:
    asked = bindparam(name, type_=String)
    match one.operator:
        case "=" | "in":
            return and_(column.is_not(None), column == asked)
        case "!=":
            return and_(column.is_not(None), column != asked)
        case "contains":
            found: ColumnElement[bool] = column.icontains(asked, escape="/")
            return and_(column.is_not(None), found)
    raise FilterError(f"texts are not ordered: {one.operator} is for numbers", one.field.position)


def _attribute_meets(
    attribute: Attribute, one: Comparison, value: Value, name: str
) -> ColumnElement[bool]:
    path = one.field.path
    if attribute.is_flag:
        if not isinstance(value, bool) or one.operator not in {"=", "!="}:
            raise FilterError(f"{path} is true or false", one.field.position)
        flag: ColumnElement[bool] = attribute.of.is_(value == (one.operator == "="))
        return flag
    if not isinstance(value, str):
        raise FilterError(f'{path} is compared with text in "quotes"', one.field.position)
    if not attribute.is_time:
        return _text_meets(attribute.of, one, name)
    compare = ORDERED.get(one.operator)
    if compare is None:
        raise FilterError(f"{path} has <, <=, > and >=", one.field.position)
    column: ColumnElement[Any] = attribute.of
    return compare(column, bindparam(name, type_=DateTime(timezone=True)))
