"""Filters as SQL: everything that a user wrote is a bound parameter.

To the planner, the figures of a path are spread like those of all paths together, so its estimates
are of no use here: what meets a comparison is therefore made a set, once, whatever it expects, and
the cost of a page grows with the project's runs and never with their product. Only among the newest
few, where most filters find a page, each is looked up by itself (``Subject.one_by_one``).
"""

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Double,
    String,
    and_,
    false,
    func,
    literal,
    not_,
    or_,
    select,
    true,
)

from aiplatform.server.experiments.models import ExperimentTag
from aiplatform.server.experiments.queries.subjects import Attribute, Subject
from aiplatform.server.experiments.rules import filters
from aiplatform.server.experiments.rules.filters import Comparison, FilterError, Node, Value
from aiplatform.server.projects.access import ProjectContext

ROOTS = ("config", "metrics")
ORDERED: Mapping[str, Callable[[Any, Any], ColumnElement[bool]]] = {
    "<": lambda column, value: column < value,
    "<=": lambda column, value: column <= value,
    ">": lambda column, value: column > value,
    ">=": lambda column, value: column >= value,
}
NAN = literal("NaN", Double)
"""PostgreSQL takes NaN for equal to itself and for more than every number."""


def condition(subject: Subject, context: ProjectContext, node: Node) -> ColumnElement[bool]:
    """The filter over ``subject`` in the project, never null.

    Raises:
        FilterError: for a field that does not exist, or a comparison that it does not have.
    """
    found: ColumnElement[bool] = filters.fold(
        node,
        comparison=lambda one: _compared(subject, context, one),
        inverse=not_,
        every=lambda parts: and_(true(), *parts),
        some=lambda parts: or_(false(), *parts),
    )
    return found


def _compared(subject: Subject, context: ProjectContext, one: Comparison) -> ColumnElement[bool]:
    path = one.field.path
    if path == "tags":
        if one.operator != "has":
            raise FilterError('tags are asked for with `tags has "…"`', one.field.position)
        tagged = select(ExperimentTag.experiment_id).where(ExperimentTag.tag == one.values[0])
        return subject.tagged.in_(tagged).is_(true())
    if one.operator == "has":
        raise FilterError("only tags have `has`", one.field.position)
    if one.field.root in ROOTS and path != one.field.root:
        facts = subject.facts
        meets = or_(*[_fact_meets(facts, one, value) for value in one.values])
        if subject.one_by_one:
            # A scalar, since an EXISTS would be made a join.
            own = select(true()).where(facts.owner_id == subject.key, facts.path == path, meets)
            found: ColumnElement[bool] = own.scalar_subquery().is_(true())
            return found
        owners = select(facts.owner_id).where(
            facts.project_id == context.project_id, facts.path == path, meets
        )
        # Without IS TRUE it would be joined, row by row where few are expected.
        among: ColumnElement[bool] = subject.key.in_(owners)
        return among.is_(true())
    attribute = subject.attributes.get(path)
    if attribute is None:
        known = ", ".join(["config.…", "metrics.…", *sorted([*subject.attributes, "tags"])])
        raise FilterError(f"there is no field {path[:80]!r}; there are {known}", one.field.position)
    return func.coalesce(
        or_(*[_attribute_meets(attribute, one, value) for value in one.values]), false()
    )


def _fact_meets(facts: Any, one: Comparison, value: Value) -> ColumnElement[bool]:
    if isinstance(value, bool):
        value = "true" if value else "false"
    if isinstance(value, str):
        return _text_meets(facts.word, one, value)
    number = facts.number
    match one.operator:
        case "=" | "in":
            return and_(number.is_not(None), number == literal(value, Double))
        case "!=":
            # A text differs from every number.
            return or_(facts.word.is_not(None), number != literal(value, Double))
    compare = ORDERED.get(one.operator)
    if compare is None:
        raise FilterError(f"{one.operator} is for texts", one.field.position)
    if math.isnan(value):
        return false()
    return and_(compare(number, literal(value, Double)), number < NAN)


def _text_meets(column: Any, one: Comparison, value: str) -> ColumnElement[bool]:
    match one.operator:
        case "=" | "in":
            return and_(column.is_not(None), column == literal(value, String))
        case "!=":
            return and_(column.is_not(None), column != literal(value, String))
        case "contains":
            found: ColumnElement[bool] = column.icontains(value, autoescape=True)
            return and_(column.is_not(None), found)
    raise FilterError(f"texts are not ordered: {one.operator} is for numbers", one.field.position)


def _attribute_meets(attribute: Attribute, one: Comparison, value: Value) -> ColumnElement[bool]:
    path = one.field.path
    if attribute.is_flag:
        if not isinstance(value, bool) or one.operator not in {"=", "!="}:
            raise FilterError(f"{path} is true or false", one.field.position)
        flag: ColumnElement[bool] = attribute.of.is_(value == (one.operator == "="))
        return flag
    if not isinstance(value, str):
        raise FilterError(f'{path} is compared with text in "quotes"', one.field.position)
    if not attribute.is_time:
        return _text_meets(attribute.of, one, value)
    compare = ORDERED.get(one.operator)
    if compare is None:
        raise FilterError(f"{path} has <, <=, > and >=", one.field.position)
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise FilterError(
            f'{path} is compared with a time such as "2026-11-24" or "2026-11-24T16:00:00Z"',
            one.field.position,
        ) from None
    column: ColumnElement[Any] = attribute.of
    return compare(column, moment if moment.tzinfo else moment.replace(tzinfo=UTC))
