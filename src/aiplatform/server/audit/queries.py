"""SELECT statements for the audit trail. Callers must check that the user may read all of it.

Rows are ordered by time, then number; every index of ``audit_logs`` and ``audit_entries`` ends with
these columns. A page with one filter, or with two of user, action, project and outcome, is
therefore read from an index in order, and its cost does not grow with the table. For this purpose,
an entry repeats the action and the user of its row in ``audit_logs``.
"""

import operator
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeAlias
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    ColumnElement,
    Integer,
    ScalarSelect,
    Select,
    String,
    and_,
    any_,
    cast,
    false,
    func,
    literal,
    literal_column,
    not_,
    or_,
    select,
    text,
    true,
    tuple_,
)
from sqlalchemy.dialects.postgresql import INET
from sqlalchemy.orm import Session, aliased

from aiplatform.data.filters import Comparison, FilterError, Node, comparisons, fold, parse
from aiplatform.protocol.audit import AuditAction
from aiplatform.protocol.encoding import clean_text
from aiplatform.server.audit.models import AuditArchive
from aiplatform.server.audit.rules.chain import ROW_TEXT
from aiplatform.server.audit.rules.filters import (
    FIRST_WINDOW,
    Filters,
    next_window,
    prefer_index,
    prefix_query,
    words_of,
)
from aiplatform.server.core.audit import AuditEntry, AuditLog
from aiplatform.server.core.errors import InvalidCursor
from aiplatform.server.core.filters import invalid, read_filter
from aiplatform.server.core.pagination import decode_cursor, encode_cursor
from aiplatform.server.identity.models import User

log = aliased(AuditLog, name="l")
entry = aliased(AuditEntry, name="e")
Statement: TypeAlias = Select[*tuple[Any, ...]]

# This must equal the expression of the index ix_audit_logs_words.
_HAS_WORDS = """
jsonb_to_tsvector('simple', l.details, '["string", "numeric"]') @@ CAST(:words AS tsquery)
"""

_PARSED_WORDS = text(
    "SELECT word, CAST(phraseto_tsquery('simple', word) AS text)"
    " FROM unnest(CAST(:words AS text[])) word"
)
_ESTIMATE = text(f"EXPLAIN (FORMAT JSON) SELECT FROM audit_logs l WHERE {_HAS_WORDS}")
# This function always returns true and is declared expensive. Otherwise the planner considers
# computing the words of a row cheap, and computes them for all rows of a period.
_EXPENSIVE_TRUE: ColumnElement[bool] = literal_column("audit_row_read(l.id)", Boolean())
FOREVER = datetime.max.replace(tzinfo=UTC)
_LAST = text("""
SELECT id FROM audit_logs WHERE created_at < COALESCE(CAST(:until AS timestamptz), 'infinity')
ORDER BY created_at DESC, id DESC LIMIT 1
""")
_TIME = text("SELECT created_at FROM audit_logs WHERE id <= :number ORDER BY id DESC LIMIT 1")
_ROWS = text("SELECT greatest(reltuples, 1) FROM pg_class WHERE oid = 'audit_logs'::regclass")


def page(
    session: Session, filters: Filters, *, limit: int, cursor: str | None
) -> tuple[list[tuple[AuditLog, AuditEntry, User | None]], str | None]:
    """Return a page of rows, each with its entry and user, and the cursor of the next page.

    The user is None if the account was deleted. The cursor is None on the last page.
    """
    key = _key(filters)
    words = _words(session, filters)
    conditions = _conditions(session, filters, words)
    place = None if cursor is None else _cursor_position(cursor)
    if place is not None:
        conditions.append(tuple_(*key) < tuple_(literal(place[0]), literal(place[1], BigInteger)))
    if words is not None and _are_rare(session, words, limit):
        found = _newest_with_words(session, filters, conditions, place, limit + 1)
        conditions = [log.id == any_(literal(found, ARRAY(Integer)))]
    statement = _joined(select(log, entry, User)).outerjoin(User, User.id == log.user_id)
    statement = statement.where(*conditions)
    statement = statement.order_by(*(column.desc() for column in key)).limit(limit + 1)
    rows = [(row[0], row[1], row[2]) for row in session.execute(statement)]
    if len(rows) <= limit:
        return rows, None
    last = rows[limit - 1][0]
    return rows[:limit], encode_cursor(last.created_at.isoformat(), last.id)


def _newest_with_words(
    session: Session,
    filters: Filters,
    conditions: list[ColumnElement[bool]],
    place: tuple[datetime, int] | None,
    wanted: int,
) -> list[int]:
    """Return the numbers of the ``wanted`` newest rows with rare words that meet ``conditions``.

    The word index does not return rows in order of time, and fetching all rows that it finds takes
    longer than the search. It is therefore combined with the time index: only the newest rows of
    the trail are searched, in a window that grows until it contains enough matches.
    """
    time = _key(filters)[0]
    statement = select(log.id, time).select_from(log).where(*conditions)
    if any(part is not None for part in (filters.project, filters.outcome, filters.filter)):
        statement = statement.join(entry, entry.audit_id == log.id)
    rows = session.execute(_ROWS).scalar_one()
    end = session.scalar(_LAST, {"until": filters.until}) if place is None else place[1]
    length: int | None = FIRST_WINDOW
    while True:
        edge = None
        if end is not None and length is not None:
            edge = session.scalar(_TIME, {"number": end - length})
        window = statement
        if edge is not None:
            window = window.where(
                log.created_at >= _unseen(edge),
                log.created_at <= _unseen(FOREVER if place is None else place[0]),
                _EXPENSIVE_TRUE,
            )
        # MATERIALIZED keeps the planner from reading the newest rows in order instead.
        fenced = window.cte("found").prefix_with("MATERIALIZED", dialect="postgresql")
        number, at = fenced.c
        numbers = session.scalars(
            select(number).order_by(at.desc(), number.desc()).limit(wanted)
        ).all()
        if len(numbers) == wanted or edge is None:
            return list(numbers)
        length = next_window(length or 0, len(numbers), wanted, rows)


def in_order(session: Session, filters: Filters, *columns: Any) -> Statement:
    """Select ``columns`` of all matching rows, newest first, for streaming."""
    conditions = _conditions(session, filters, _words(session, filters))
    statement = _joined(select(*columns)).where(*conditions)
    return statement.order_by(*(column.desc() for column in _key(filters)))


TEXT: ColumnElement[str] = literal_column(ROW_TEXT)
"""SQL expression for the canonical text of a row."""


def _by_entry(filters: Filters) -> bool:
    """Return True if ``filters`` need an index of ``audit_entries``; False means ``audit_logs``."""
    return filters.project is not None or filters.outcome not in {None, "success"}


def _key(filters: Filters) -> tuple[Any, Any]:
    """Return the time and number columns of the table whose index serves ``filters``."""
    if _by_entry(filters):
        return entry.created_at, entry.audit_id
    return log.created_at, log.id


def _unseen(time: datetime) -> ScalarSelect[datetime]:
    """Return a time as a subquery, so that PostgreSQL's planner does not know its value.

    The planner's statistics do not cover the newest rows, so it would expect too few of them.
    Between two unknown times, it expects 1/200 of all rows.
    """
    return select(literal(time)).scalar_subquery()


def _joined(statement: Statement) -> Statement:
    return statement.select_from(log).join(entry, entry.audit_id == log.id)


def _words(session: Session, filters: Filters) -> str | None:
    """Return the ``tsquery`` for the words in the filter text; None if it contains no words."""
    words = words_of(clean_text(filters.text or ""))
    if not words:
        return None
    readings = session.execute(_PARSED_WORDS, {"words": words})
    return " & ".join(prefix_query(word, query) for word, query in readings if query)


def _are_rare(session: Session, words: str, limit: int) -> bool:
    rows = session.execute(_ROWS).scalar_one()
    plan = session.execute(_ESTIMATE, {"words": words}).scalar_one()
    return prefer_index(rows, plan[0]["Plan"]["Plan Rows"], limit)


def _conditions(session: Session, filters: Filters, words: str | None) -> list[ColumnElement[bool]]:
    time = _key(filters)[0]
    side = entry if _by_entry(filters) else log
    conditions: list[ColumnElement[bool]] = []
    if filters.user is not None:
        conditions.append(_by_user(session, filters.user, side.user_id))
    if filters.action is not None:
        conditions.append(_action(filters.action, side.action))
    if filters.resource is not None:
        uuid = _uuid(filters.resource)
        if uuid is None:
            conditions.append(log.resource_type == clean_text(filters.resource))
        else:
            conditions.append(log.resource_id == str(uuid))
    if filters.project is not None:
        conditions.append(entry.project_uuid == filters.project)
    if filters.outcome is not None:
        conditions.append(entry.outcome == filters.outcome)
    if filters.address is not None:
        network = cast(str(filters.address), INET)
        single = filters.address.num_addresses == 1
        conditions.append(
            log.ip_address == network if single else log.ip_address.op("<<=")(network)
        )
    if filters.since is not None:
        conditions.append(time >= filters.since)
    if filters.until is not None:
        conditions.append(time < filters.until)
    if filters.filter is not None:
        conditions.append(_filter_condition(session, parse(filters.filter)))
    if words is not None:
        conditions.append(text(_HAS_WORDS).bindparams(words=words))  # type: ignore[arg-type]
    return conditions


_TEXTS: dict[str, Any] = {
    "action": log.action,
    "outcome": entry.outcome,
    "project": cast(entry.project_uuid, String),
    "resource": log.resource_id,
    "resource_type": log.resource_type,
}
_FIELDS = ("created", "user", *_TEXTS)


def check_filter(wanted: str | None) -> None:
    """Check that a filter can be parsed, before the trail is read.

    Raises:
        FilterInvalid: when it can't be parsed; the error says what is wrong, and at which position.
    """
    node = read_filter(wanted)
    if node is None:
        return
    try:
        for one in comparisons(node):
            _check(one)
    except FilterError as error:
        raise invalid(error) from None


def _check(one: Comparison) -> None:
    path, place = one.field.path, one.field.position
    if path not in _FIELDS:
        raise FilterError(
            f"there is no field {path[:80]!r}; there are {', '.join(sorted(_FIELDS))}", place
        )
    if one.operator == "present":
        return
    if not all(isinstance(value, str) for value in one.values):
        raise FilterError(f'{path} is compared with text in "quotes"', place)
    if path == "created":
        if one.operator not in ORDERED:
            raise FilterError("created has <, <=, > and >=", place)
        _moment(one)
    elif one.operator not in {"=", "!=", "in"} and (one.operator != "contains" or path == "user"):
        raise FilterError(f"{path} can't be compared by {one.operator}", place)


def _moment(one: Comparison) -> datetime:
    try:
        moment = datetime.fromisoformat(str(one.values[0]))
    except ValueError:
        raise FilterError(
            'created is compared with a time such as "2026-11-24" or "2026-11-24T16:00:00Z"',
            one.field.position,
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


ORDERED: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _filter_condition(session: Session, node: Node) -> ColumnElement[bool]:
    """Return the condition of a filter, which is never NULL.

    The filter must have passed :func:`check_filter`.
    """
    found: ColumnElement[bool] = fold(
        node,
        comparison=lambda one: func.coalesce(_comparison_condition(session, one), false()),
        inverse=not_,
        every=lambda parts: and_(true(), *parts),
        some=lambda parts: or_(false(), *parts),
    )
    return found


def _comparison_condition(session: Session, one: Comparison) -> Any:
    path = one.field.path
    if path == "created":
        if one.operator == "present":
            return true()
        return ORDERED[one.operator](log.created_at, _moment(one))
    values = [clean_text(str(value)) for value in one.values]
    if path == "user":
        if one.operator == "present":
            return log.user_id.is_not(None)
        by = or_(*[_by_user(session, value, log.user_id) for value in values])
        if one.operator == "!=":
            return and_(log.user_id.is_not(None), not_(func.coalesce(by, false())))
        return by
    column = _TEXTS[path]
    match one.operator:
        case "present":
            return column.is_not(None)
        case "!=":
            return column != values[0]
        case "contains":
            return column.icontains(values[0], autoescape=True)
    return column.in_(values)


def _action(wanted: str, column: Any) -> ColumnElement[bool]:
    wanted = clean_text(wanted)
    found: ColumnElement[bool]
    if not wanted.endswith(":"):
        found = column == wanted
        return found
    known = [action.value for action in AuditAction if action.value.startswith(wanted)]
    # PostgreSQL can look up a list of names in the index. In most collations, it can't look up a
    # prefix.
    found = column.in_(known) if known else column.startswith(wanted, autoescape=True)
    return found


def _by_user(session: Session, name: str, column: Any) -> ColumnElement[bool]:
    name = clean_text(name)
    uuid = _uuid(name)
    found = User.username == name if uuid is None else User.uuid == uuid
    user_id = session.scalar(select(User.id).where(found))
    if user_id is not None:
        done: ColumnElement[bool] = column == user_id
        return done
    # When a user is deleted, user_id becomes NULL; the details keep the name and uuid.
    key = "{actor,username}" if uuid is None else "{actor,uuid}"
    value = name if uuid is None else str(uuid)
    details: ColumnElement[str] = literal_column(f"(l.details #>> '{key}')")
    return and_(log.user_id.is_(None), details == value)


def _cursor_position(cursor: str) -> tuple[datetime, int]:
    time, number = decode_cursor(cursor, str, int)
    return _time(time), number


def _time(text_: str) -> datetime:
    try:
        time = datetime.fromisoformat(text_)
    except ValueError as error:
        raise InvalidCursor from error
    if time.tzinfo is None:
        raise InvalidCursor
    return time


def _uuid(text_: str) -> UUID | None:
    try:
        return UUID(text_)
    except ValueError:
        return None


def list_archive_hashes() -> Select[*tuple[Any, ...]]:
    """Select the hash of each archive's blob; garbage collection keeps these blobs."""
    return select(AuditArchive.sha256)
