"""Search of experiments and runs: pages that match a filter, sorted as the user chooses.

A page is found in two steps. The first selects only keys, using indexes and no more tables than the
filter needs. The second selects the displayed columns for these keys. The statements are cached as
text, those of the first step separately for each shape of a filter (:class:`Conditions`).
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Double,
    Integer,
    Select,
    String,
    all_,
    bindparam,
    func,
    select,
    tuple_,
)
from sqlalchemy.orm import Session, aliased, outerjoin

from aiplatform.data.filters import FilterError
from aiplatform.server.core.errors import InvalidCursor
from aiplatform.server.core.pagination import decode_cursor, encode_cursor
from aiplatform.server.core.statements import Compiled, compiled
from aiplatform.server.experiments.queries.conditions import NAN, PROJECT, ROOTS
from aiplatform.server.experiments.queries.subjects import Subject
from aiplatform.server.projects.access import ProjectContext

WINDOW = 12
"""Size, in pages, of the window of newest rows that are checked one by one.

If the window does not contain a full page, all matches are collected.
"""

MAX_SCANNED = 1000
"""Maximum number of rows checked one by one. Beyond it, collecting all matches is cheaper."""

CACHE_SIZE = 100
"""Number of cached statements per function; users can write any number of filters."""

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

    Return None if all paths exist, or if the project has no figures yet.
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
    # On the first page, ``rows`` contains all keys with a number. If there are few, excluding them
    # by key is fastest.
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
    """Select the project's keys as ``key``; conditions may use any attribute."""
    return (
        select(subject.key.label("key"))
        .select_from(subject.tables)
        .where(subject.project == PROJECT)
    )


@lru_cache(CACHE_SIZE)
def _among_newest(subject: Subject, conditions: Conditions, *, later: bool) -> Compiled:
    """Compile a search for a page's keys among the newest rows only; see :data:`WINDOW`.

    The alternative, collecting all matches of a condition, costs more unless they are few.
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
    """Compile a search for a page's keys, sorted by a figure, the column ``number``."""
    # The facts contain their owner's key and project, so no other table is read unless the filter
    # needs an attribute.
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
