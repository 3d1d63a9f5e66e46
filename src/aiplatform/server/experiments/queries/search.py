"""Search for experiments and runs that match a filter, page by page, in a chosen order.

A page is found in two steps. The first selects only keys, using indexes and no more tables than the
filter needs. The second selects the displayed columns for these keys. The statements are cached as
text; the first step has one statement for each filter shape (:class:`Conditions`).
"""

import math
import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from itertools import count
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    DateTime,
    Double,
    Integer,
    Select,
    String,
    all_,
    and_,
    bindparam,
    false,
    func,
    literal,
    not_,
    or_,
    select,
    true,
    tuple_,
)
from sqlalchemy.orm import Session, aliased, outerjoin

from aiplatform.data import filters
from aiplatform.data.filters import (
    Comparison,
    FilterError,
    Node,
    Value,
    comparisons,
)
from aiplatform.server.core.errors import InvalidCursor
from aiplatform.server.core.pagination import decode_cursor, encode_cursor
from aiplatform.server.core.statements import Compiled, compiled
from aiplatform.server.experiments.models import (
    Experiment,
    ExperimentDetails,
    ExperimentFact,
    ExperimentTag,
    RunDetails,
    RunFact,
)
from aiplatform.server.identity.models import User
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.queue.models import Task, TaskScheduling


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute that every row has: text, a time or a flag. ``of`` is a column or subquery."""

    of: Any
    is_time: bool = False
    is_flag: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """Either experiments or runs, as rows that can be searched."""

    key: Any
    project: Any
    """Column with the id of the row's project."""
    tables: Any
    """Tables with the key, project and attributes.

    They are outer-joined on unique keys, so the planner omits tables that a statement does not use.
    """
    around: Callable[[Any, Any], Any]
    """Function that joins the other tables in ``tables`` to a given table, on a given key."""
    facts: type[ExperimentFact] | type[RunFact]
    tagged: ColumnElement[int | None]
    """Column with the id of the experiment whose tags a filter on ``tags`` compares."""
    attributes: Mapping[str, Attribute]
    one_by_one: bool = False
    """True to look up metrics and config fields row by row, which is fast only for a few rows."""


def _text(column: Any) -> Attribute:
    return Attribute(column)


_author = select(User.username)


def _around_experiments(table: Any, key: Any) -> Any:
    return outerjoin(table, ExperimentDetails, ExperimentDetails.experiment_id == key)


def _around_runs(table: Any, key: Any) -> Any:
    return (
        outerjoin(table, Task, Task.id == key)
        .outerjoin(TaskScheduling, TaskScheduling.task_id == key)
        .outerjoin(Experiment, Experiment.id == RunDetails.experiment_id)
    )


EXPERIMENTS = Subject(
    key=Experiment.id,
    project=Experiment.project_id,
    tables=_around_experiments(Experiment, Experiment.id),
    around=_around_experiments,
    facts=ExperimentFact,
    tagged=Experiment.id,  # type: ignore[arg-type]
    attributes={
        "name": _text(Experiment.name),
        "status": _text(Experiment.status),
        "base_model": _text(Experiment.base_model),
        "task_type": _text(Experiment.task_type),
        "author": _text(
            _author.where(User.id == ExperimentDetails.created_by).correlate(ExperimentDetails)
            .scalar_subquery()
        ),
        "created": Attribute(Experiment.created_at, is_time=True),
        "archived": Attribute(ExperimentDetails.archived_at.is_not(None), is_flag=True),
    },
)  # fmt: skip

RUNS = Subject(
    key=RunDetails.task_id,
    project=RunDetails.project_id,
    tables=_around_runs(RunDetails, RunDetails.task_id),
    around=_around_runs,
    facts=RunFact,
    tagged=RunDetails.experiment_id,  # type: ignore[arg-type]
    attributes={
        "name": _text(Task.name),
        "status": _text(Task.status),
        "experiment": _text(Experiment.name),
        "author": _text(
            _author.where(User.id == TaskScheduling.created_by).correlate(TaskScheduling)
            .scalar_subquery()
        ),
        "created": Attribute(Task.created_at, is_time=True),
    },
)  # fmt: skip


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
    """Return a value as a time; None for comparisons that :func:`condition` rejects.

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
            # Text differs from every number.
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


WINDOW = 12
"""Size, in pages, of the window of newest rows that are checked one by one.

If the window does not contain a full page, all matches are collected.
"""

MAX_SCANNED = 1000
"""Maximum number of rows checked one by one. Beyond it, collecting all matches is cheaper."""

CACHE_SIZE = 100
"""Maximum number of cached statements per function, because users can write any filter."""

END = 2**62
"""Key greater than all others, from which the first page of newest rows starts."""


@dataclass(frozen=True, slots=True)
class Order:
    """A sort order. Without ``path``, rows are sorted by key and therefore by time of creation."""

    path: str | None = None
    descending: bool = True


def read_order(text: str | None) -> Order:
    """Parse an order: ``created``, ``metrics.…`` or ``config.…``; a minus means largest first.

    Raises:
        FilterError: the text is none of these.
    """
    if text is None:
        return Order()
    path = text.removeprefix("-")
    if path == "created":
        return Order(None, descending=text.startswith("-"))
    root, _, rest = path.partition(".")
    if root not in ROOTS or not rest or len(path) > 300 or "\x00" in path:
        raise FilterError("sorted is by created, metrics.… or config.…", 1)
    return Order(path.replace("`", ""), descending=text.startswith("-"))


@dataclass(frozen=True, slots=True)
class Conditions:
    """The conditions of a search. ``of_figures`` is True if any concerns config or metrics.

    ``of`` builds SQL that depends only on ``shape``; ``values`` contains the parameters by name.
    Two objects with the same shape are equal and so share a cached statement, even if their values
    differ.
    """

    of: Callable[[Subject], Sequence[ColumnElement[bool]]] = field(compare=False)
    shape: Hashable = ()
    values: Mapping[str, Any] = field(default_factory=dict, compare=False)
    of_figures: bool = False

    def __call__(self, subject: Subject) -> Sequence[ColumnElement[bool]]:
        """Return the SQL conditions for ``subject``."""
        return self.of(subject)


def page(
    session: Session,
    subject: Subject,
    context: ProjectContext,
    shown: Compiled,
    conditions: Conditions,
    order: Order,
    *,
    limit: int,
    cursor: str | None,
) -> tuple[Sequence[Any], str | None]:
    """Return a page of matches in ``order``, and the next page's cursor or None.

    Rows without a number to sort by come last, newest first. ``shown`` is the statement for the
    displayed columns, with the subject's key as ``key``; its parameters are ``project`` and
    ``keys``.
    """
    asked = {**conditions.values, "project": context.project_id, "path": order.path}
    found, following = _keys(session, subject, conditions, order, asked, limit, cursor)
    keys = [row.key for row in found]
    rows = {row.key: row for row in shown.all(session, project=context.project_id, keys=keys)}
    # Rows that were deleted in the meantime are missing.
    return [rows[row.key] for row in found if row.key in rows], following


def unknown_figure(
    session: Session, subject: Subject, context: ProjectContext, paths: Sequence[str]
) -> tuple[str, list[str]] | None:
    """Return the first of ``paths`` that no row in the project has, and some existing paths.

    Return None if all paths exist, or if the project has no metrics yet.
    """
    facts = subject.facts
    for path in paths:
        mine = facts.project_id == context.project_id
        if session.scalar(select(facts.path).where(mine, facts.path == path).limit(1)) is None:
            some = select(facts.path).where(mine).limit(MAX_SCANNED).subquery()
            known = session.scalars(select(some.c.path).distinct().order_by(some.c.path)).all()
            return (path, list(known)) if known else None
    return None


def _keys(
    session: Session,
    subject: Subject,
    conditions: Conditions,
    order: Order,
    asked: dict[str, Any],
    limit: int,
    cursor: str | None,
) -> tuple[Sequence[Any], str | None]:
    numbered, start, after = _position(cursor)
    rows: Sequence[Any] = []
    if order.path is None:
        later = cursor is not None
        asked |= {"after": after, "limit": limit + 1}
        if order.descending and conditions.of_figures:
            asked["window"] = min(WINDOW * (limit + 1), MAX_SCANNED)
            rows = _among_newest(subject, conditions, later=later).all(session, **asked)
        if len(rows) <= limit:
            by_key = _by_key(subject, conditions, descending=order.descending, later=later)
            rows = by_key.all(session, **asked)
        last = rows[limit - 1] if len(rows) > limit else None
        return rows[:limit], None if last is None else encode_cursor("k", "", last.key)
    if numbered:
        by_number = _by_number(
            subject, conditions, descending=order.descending, later=start is not None
        )
        rows = by_number.all(session, **asked, start=start, after=after, limit=limit + 1)
        if len(rows) > limit:
            last = rows[limit - 1]
            return rows[:limit], encode_cursor("n", repr(last.number), last.key)
        after = END
    # If this is the first page, ``rows`` contains all keys with a number. They are few, so
    # excluding them by key is fastest.
    without = _without_number(subject, conditions, named=numbered and start is None)
    asked |= {"after": after, "limit": limit + 1 - len(rows), "named": [row.key for row in rows]}
    rest = without.all(session, **asked)
    rows = [*rows, *rest]
    if len(rows) <= limit:
        return rows, None
    last = rows[limit - 1]
    if len(rows) - len(rest) == limit:  # rows with numbers filled the page exactly
        return rows[:limit], encode_cursor("k", "", END)
    return rows[:limit], encode_cursor("k", "", last.key)


def _position(cursor: str | None) -> tuple[bool, float | None, int]:
    """Return the position of a page from its cursor.

    The position consists of True if the page starts among rows with a number to sort by, the number
    after which it starts (None for the first page), and the key after which it starts.
    """
    kind, number, key = ("n", "", 0) if cursor is None else decode_cursor(cursor, str, str, int)
    try:
        place = float(number) if number else None
    except ValueError:
        raise InvalidCursor from None
    return kind == "n", place, key


AFTER = bindparam("after", type_=BigInteger)
LIMIT = bindparam("limit", type_=Integer)
PATH = bindparam("path", type_=String)


def _of_project(subject: Subject) -> Select[Any]:
    """Select the keys of the project's rows as ``key``. Callers add conditions on any attribute."""
    return (
        select(subject.key.label("key"))
        .select_from(subject.tables)
        .where(subject.project == PROJECT)
    )


@lru_cache(CACHE_SIZE)
def _among_newest(subject: Subject, conditions: Conditions, *, later: bool) -> Compiled:
    """Compile a search for a page's keys among the newest rows only; see :data:`WINDOW`.

    Collecting all matches of a condition instead is slower, unless there are few matches.
    """
    subject = replace(subject, one_by_one=True)
    floor = _in_order(_of_project(subject), subject, later=later)
    window = bindparam("window", type_=Integer)
    since = floor.offset(window).limit(1).scalar_subquery()
    statement = _of_project(subject).where(
        subject.key > func.coalesce(since, 0), *conditions(subject)
    )
    return compiled(_in_order(statement, subject, later=later).limit(LIMIT))


@lru_cache(CACHE_SIZE)
def _by_key(subject: Subject, conditions: Conditions, *, descending: bool, later: bool) -> Compiled:
    """Compile a search for a page's keys, sorted by time of creation."""
    statement = _of_project(subject).where(*conditions(subject))
    in_order = _in_order(statement, subject, descending=descending, later=later)
    return compiled(in_order.limit(LIMIT))


@lru_cache(CACHE_SIZE)
def _without_number(subject: Subject, conditions: Conditions, *, named: bool) -> Compiled:
    """Compile a search for the keys of a page of rows that have no number to sort by.

    If ``named``, the parameter ``named`` lists the keys to exclude. Otherwise a subquery excludes
    all keys that have a number.
    """
    if named:
        without = subject.key != all_(bindparam("named", type_=ARRAY(Integer)))
    else:
        facts = subject.facts
        having = select(facts.owner_id).where(
            facts.project_id == PROJECT, facts.path == PATH, facts.number < NAN
        )
        without = subject.key.not_in(having)
    statement = _of_project(subject).where(*conditions(subject), without)
    return compiled(_in_order(statement, subject, later=True).limit(LIMIT))


def _in_order(
    statement: Select[Any], subject: Subject, *, descending: bool = True, later: bool
) -> Select[Any]:
    key = subject.key
    if later:
        statement = statement.where(key < AFTER if descending else key > AFTER)
    return statement.order_by(key.desc() if descending else key)


@lru_cache(CACHE_SIZE)
def _by_number(
    subject: Subject, conditions: Conditions, *, descending: bool, later: bool
) -> Compiled:
    """Compile a search for a page's keys, sorted by a numeric field, selected as ``number``."""
    # The ``facts`` table contains the owner's key and project, so no other table is read unless the
    # filter needs an attribute.
    facts = aliased(subject.facts, name="sorted")
    table = outerjoin(facts, subject.key.class_, subject.key == facts.owner_id)
    sorted_ = replace(
        subject,
        key=facts.owner_id,
        project=facts.project_id,
        tables=subject.around(table, facts.owner_id),
    )
    number = facts.number
    statement = (
        _of_project(sorted_)
        .add_columns(number.label("number"))
        .where(facts.path == PATH, number < NAN, *conditions(sorted_))
    )
    if later:
        place = tuple_(bindparam("start", type_=Double), AFTER)
        here = tuple_(number, facts.owner_id)
        statement = statement.where(here < place if descending else here > place)
    if descending:
        statement = statement.order_by(number.desc(), facts.owner_id.desc())
    else:
        statement = statement.order_by(number, facts.owner_id)
    return compiled(statement.limit(LIMIT))
