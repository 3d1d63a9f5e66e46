"""Cursor pages: a list is walked by key, so rows that come or go meanwhile shift nothing."""

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Annotated, Any, Generic, ParamSpec, TypeVar

from fastapi import Query, Response
from pydantic import BaseModel
from sqlalchemy import BigInteger, ColumnElement, Select, literal
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import InstrumentedAttribute

from aiplatform.protocol.encoding import clean_text, dumps
from aiplatform.server.core.database import commit
from aiplatform.server.core.errors import InvalidCursor

MAX_LIMIT = 500
T = TypeVar("T")
P = ParamSpec("P")
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="items per page")]
Cursor = Annotated[
    str | None, Query(max_length=500, description="`next_cursor` of the page before")
]


class Page(BaseModel, Generic[T]):
    """One page; ``next_cursor`` is null on the last."""

    items: list[T]
    next_cursor: str | None = None


def encode_cursor(*key: Any) -> str:
    """An opaque cursor that stands after the row with ``key``."""
    return base64.urlsafe_b64encode(dumps(list(key)).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, *kinds: type) -> list[Any]:
    """The key inside ``cursor``.

    Raises:
        InvalidCursor: when it does not hold exactly values of ``kinds``.
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
    """One page of ``statement`` in the order of its serial ``key``, and the cursor of the next.

    The statement's first entity must carry ``key``; rows are returned as its scalars, or as tuples
    when it selects more than one.
    """
    if cursor is not None:
        # Wider than the key: a made-up cursor past its end is the end, not an error.
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
    """The page as it goes out."""
    return Page(items=[render(row) for row in rows], next_cursor=next_cursor)


def written_here(endpoint: Callable[P, Page[T]]) -> Callable[P, Page[T]]:
    """Has the endpoint's page written, and its ``session`` ended, in the thread that it runs in.

    Otherwise a second thread compares the page with what is declared, the event loop writes it
    while all other requests wait, and a third thread ends the session: a page takes as long to
    change hands as to be found. To FastAPI, and so in the API's description, nothing is different.
    """

    @wraps(endpoint)
    def written(*args: P.args, **values: P.kwargs) -> Any:
        page = endpoint(*args, **values)
        content = page.model_dump_json(by_alias=True)
        session: Any = values["session"]
        commit(session)
        return Response(content, media_type="application/json")

    return written
