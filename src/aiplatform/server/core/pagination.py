"""Pagination by cursors. A cursor names a key, so insertions and deletions don't shift pages."""

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel
from sqlalchemy import BigInteger, ColumnElement, Select, literal
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import InstrumentedAttribute

from aiplatform.protocol.encoding import clean_text, dumps
from aiplatform.server.core.errors import InvalidCursor

MAX_LIMIT = 500
T = TypeVar("T")
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="items per page")]
Cursor = Annotated[
    str | None, Query(max_length=500, description="`next_cursor` of the page before")
]


class Page(BaseModel, Generic[T]):
    """A page of a list; ``next_cursor`` is null on the last page."""

    items: list[T]
    next_cursor: str | None = None


def encode_cursor(*key: Any) -> str:
    """Return an opaque cursor for the position after the row with ``key``."""
    return base64.urlsafe_b64encode(dumps(list(key)).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, *kinds: type) -> list[Any]:
    """Return the values of the key contained in ``cursor``.

    Raises:
        InvalidCursor: the cursor is malformed, or its values do not have the types ``kinds``.
    """
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        key = json.loads(base64.b64decode(padded.encode(), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise InvalidCursor from error
    if (
        not isinstance(key, list)
        or len(key) != len(kinds)
        or any(type(part) is not kind for part, kind in zip(key, kinds, strict=True))
        or any(type(part) is int and not 0 <= part < 2**63 for part in key)
        or any(type(part) is str and clean_text(part) != part for part in key)
    ):
        raise InvalidCursor
    return key


def page_by_id(
    session: Session,
    statement: Select[Any],
    key: InstrumentedAttribute[int],
    *,
    limit: int,
    cursor: str | None,
    newest_first: bool = True,
) -> tuple[Sequence[Any], str | None]:
    """Return a page of ``statement``, ordered by its serial ``key``, and the next cursor.

    The statement's first entity must have the attribute ``key``. If the statement selects a single
    entity, the rows are scalars, otherwise tuples.
    """
    if cursor is not None:
        # BIGINT is wider than the key, so a forged cursor beyond the key's range gives an empty
        # page instead of an error.
        after = literal(decode_cursor(cursor, int)[0], BigInteger)
        condition: ColumnElement[bool] = key < after if newest_first else key > after
        statement = statement.where(condition)
    statement = statement.order_by(key.desc() if newest_first else key).limit(limit + 1)
    result = session.execute(statement)
    single = len(statement.column_descriptions) == 1
    rows: Sequence[Any] = result.scalars().all() if single else result.all()
    if len(rows) <= limit:
        return rows, None
    last = rows[limit - 1] if single else rows[limit - 1][0]
    return rows[:limit], encode_cursor(getattr(last, key.key))


def render_page(
    rows: Sequence[Any], next_cursor: str | None, render: Callable[[Any], T]
) -> Page[T]:
    """Return the page with its rows rendered for the response."""
    return Page(items=[render(row) for row in rows], next_cursor=next_cursor)
