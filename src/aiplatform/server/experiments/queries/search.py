"""Pages of what a filter finds, in an order that a user wrote.

A page is found in two steps. The first looks for keys alone, in indexes, with no more tables than
the filter asks about; the second fetches what is shown of them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Double,
    Select,
    func,
    literal,
    select,
    tuple_,
)
from sqlalchemy.orm import Session, aliased, outerjoin

from aiplatform.server.core.errors import InvalidCursor
from aiplatform.server.core.pagination import decode_cursor, encode_cursor
from aiplatform.server.core.statements import Compiled
from aiplatform.server.experiments.queries.conditions import NAN, ROOTS
from aiplatform.server.experiments.queries.subjects import Subject
from aiplatform.server.experiments.rules.filters import FilterError
from aiplatform.server.projects.access import ProjectContext

WINDOW = 12
"""How many times as many as a page holds are looked through for it before a set is made."""

MOST_LOOKED_THROUGH = 1000
"""But at most so many: to look each up costs more by then."""

END = 2**62
"""A key that is after all of them, walked from the newest."""


@dataclass(frozen=True, slots=True)
class Order:
    """``path`` None: by time of creation, which is that of the serial key."""

    path: str | None = None
    descending: bool = True


def read_order(text: str | None) -> Order:
    """``created``, ``metrics.…`` or ``config.…``; a minus before it for the largest first.

    Raises:
        FilterError: for anything else.
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


def keys(subject: Subject, context: ProjectContext) -> Select[Any]:
    """The keys of all of the project, as ``key``; conditions may be about any attribute."""
    return (
        select(subject.key.label("key"))
        .select_from(subject.tables)
        .where(subject.project == context.project_id)
    )


@dataclass(frozen=True, slots=True)
class Conditions:
    """What is asked of a subject; ``of_figures``: of its config or metrics, among others."""

    of: Callable[[Subject], Sequence[ColumnElement[bool]]]
    of_figures: bool = False

    def __call__(self, subject: Subject) -> Sequence[ColumnElement[bool]]:
        """The same for ``subject``."""
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
    """One page in ``order`` of what meets ``conditions``, and the cursor of the next.

    ``shown`` selects what is shown of it, with the subject's key as ``key``; its parameters are
    ``project`` and ``keys``. What has no number to be sorted by comes last, newest first.
    """
    found, following = _keys(session, subject, context, conditions, order, limit, cursor)
    keys = [row.key for row in found]
    rows = {row.key: row for row in shown.all(session, project=context.project_id, keys=keys)}
    # What was deleted meanwhile is missing.
    return [rows[row.key] for row in found if row.key in rows], following


def _keys(
    session: Session,
    subject: Subject,
    context: ProjectContext,
    conditions: Conditions,
    order: Order,
    limit: int,
    cursor: str | None,
) -> tuple[Sequence[Any], str | None]:
    statement = keys(subject, context).where(*conditions(subject))
    if order.path is None:
        after = None if cursor is None else _position(cursor)[2]
        rows: Sequence[Any] = []
        if order.descending and conditions.of_figures:
            rows = session.execute(
                _among_newest(subject, context, conditions, after, limit + 1)
            ).all()
        if len(rows) <= limit:
            rows = session.execute(_by_key(statement, subject, order, after).limit(limit + 1)).all()
        last = rows[limit - 1] if len(rows) > limit else None
        return rows[:limit], None if last is None else encode_cursor("k", "", last.key)
    numbered, start, after = _position(cursor)
    rows = []
    if numbered:
        by_number = _by_number(subject, context, conditions, order, start, after)
        rows = list(session.execute(by_number.limit(limit + 1)).all())
        if len(rows) > limit:
            last = rows[limit - 1]
            return rows[:limit], encode_cursor("n", repr(last.number), last.key)
        after = END
    facts = subject.facts
    having = select(facts.owner_id).where(
        facts.project_id == context.project_id, facts.path == order.path, facts.number < NAN
    )
    without = _by_key(statement.where(subject.key.not_in(having)), subject, Order(), after)
    rest = session.execute(without.limit(limit + 1 - len(rows))).all()
    rows = [*rows, *rest]
    if len(rows) <= limit:
        return rows, None
    last = rows[limit - 1]
    if len(rows) - len(rest) == limit:  # what has numbers filled the page exactly
        return rows[:limit], encode_cursor("k", "", END)
    return rows[:limit], encode_cursor("k", "", last.key)


def _among_newest(
    subject: Subject, context: ProjectContext, conditions: Conditions, after: int | None, limit: int
) -> Select[Any]:
    """A page's keys, if those that come next hold one: see :data:`WINDOW`.

    A set of all that meet a condition costs more than that, unless few do.
    """
    subject = replace(subject, one_by_one=True)
    order = Order()
    floor = _by_key(keys(subject, context), subject, order, after)
    since = floor.offset(min(WINDOW * limit, MOST_LOOKED_THROUGH)).limit(1).scalar_subquery()
    statement = keys(subject, context).where(
        subject.key > func.coalesce(since, 0), *conditions(subject)
    )
    return _by_key(statement, subject, order, after).limit(limit)


def _position(cursor: str | None) -> tuple[bool, float | None, int]:
    """Whether the page begins among what has numbers, and after which number and key."""
    kind, number, key = ("n", "", 0) if cursor is None else decode_cursor(cursor, str, str, int)
    try:
        place = float(number) if number else None
    except ValueError:
        raise InvalidCursor from None
    return kind == "n", place, key


def _by_key(
    statement: Select[Any], subject: Subject, order: Order, after: int | None
) -> Select[Any]:
    key = subject.key
    if after is not None:
        place = literal(after, BigInteger)
        statement = statement.where(key < place if order.descending else key > place)
    return statement.order_by(key.desc() if order.descending else key)


def _by_number(
    subject: Subject,
    context: ProjectContext,
    conditions: Conditions,
    order: Order,
    start: float | None,
    after: int,
) -> Select[Any]:
    # Facts have their owner's key and project: unless an attribute is asked about, nothing else is
    # read.
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
        keys(sorted_, context)
        .add_columns(number.label("number"))
        .where(facts.path == order.path, number < NAN, *conditions(sorted_))
    )
    if start is not None:
        place = tuple_(literal(start, Double), literal(after, BigInteger))
        here = tuple_(number, facts.owner_id)
        statement = statement.where(here < place if order.descending else here > place)
    if order.descending:
        return statement.order_by(number.desc(), facts.owner_id.desc())
    return statement.order_by(number, facts.owner_id)
