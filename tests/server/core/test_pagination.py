"""Tests of pagination with valid and forged cursors."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session

from aiplatform.server.core.errors import InvalidCursor
from aiplatform.server.core.pagination import (
    decode_cursor,
    encode_cursor,
    page_by_id,
)
from aiplatform.server.identity.models import Role, User
from tests.factories import make_user


def forged(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@given(st.integers(0, 2**63 - 1), st.text(st.characters(exclude_categories=["Cs"])))
def test_decode_cursor_returns_encoded_key(number: int, words: str) -> None:
    words = words.replace("\x00", "")
    assert decode_cursor(encode_cursor(number, words), int, str) == [number, words]


@given(st.text())
def test_decode_cursor_of_any_text_is_valid_or_refused(cursor: str) -> None:
    try:
        (key,) = decode_cursor(cursor, int)
    except InvalidCursor:
        return
    assert isinstance(key, int)
    assert 0 <= key < 2**63


@pytest.mark.parametrize(
    "value",
    [
        None, 1, "1", [], [1, 2], ["1"], [1.0], [True], [None], [[1]], {"a": 1}, [-1], [2**63],
        [10**400], [float("nan")],
    ],
)  # fmt: skip
def test_decode_cursor_with_key_of_other_type_is_refused(value: Any) -> None:
    with pytest.raises(InvalidCursor):
        decode_cursor(forged(value), int)


@pytest.mark.parametrize("words", ["nul\x00", "\ud800"])
def test_decode_cursor_with_unstorable_text_is_refused(words: str) -> None:
    with pytest.raises(InvalidCursor):
        decode_cursor(forged([words]), str)


@pytest.mark.parametrize(
    "cursor",
    ["", "=", "====", "a", "WzFd WzFd", "WzFd\n", "é", "\x00", forged([1]) + "!", "[" * 500],
)
def test_decode_cursor_of_nonsense_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidCursor):
        decode_cursor(cursor, int)


def test_decode_cursor_with_deep_nesting_is_refused() -> None:
    deep = base64.urlsafe_b64encode(b"[" * 100_000).decode()
    with pytest.raises(InvalidCursor):
        decode_cursor(deep, int)


class TestPages:
    @pytest.fixture(autouse=True)
    def _users(self, session: Session) -> None:
        self.made = [make_user(session).id for _ in range(5)]
        self.statement = select(User).where(User.id.in_(self.made))

    def walk(self, session: Session, limit: int, **options: Any) -> list[list[int]]:
        pages, cursor = [], None
        while True:
            rows, cursor = page_by_id(
                session, self.statement, User.id, limit=limit, cursor=cursor, **options
            )
            pages.append([user.id for user in rows])
            if cursor is None:
                return pages

    def test_last_page_has_no_cursor(self, session: Session) -> None:
        down = self.made[::-1]
        assert self.walk(session, 2) == [down[:2], down[2:4], down[4:]]
        assert self.walk(session, 5) == [down]
        assert self.walk(session, 500) == [down]
        assert self.walk(session, 3, newest_first=False) == [self.made[:3], self.made[3:]]

    def test_deleted_rows_do_not_shift_pages(self, session: Session) -> None:
        rows, cursor = page_by_id(session, self.statement, User.id, limit=2, cursor=None)
        session.delete(rows[-1])
        session.delete(session.get_one(User, self.made[2]))
        session.commit()
        rows, _ = page_by_id(session, self.statement, User.id, limit=2, cursor=cursor)
        assert [user.id for user in rows] == [self.made[1], self.made[0]]

    def test_largest_cursor_is_accepted(self, session: Session) -> None:
        for newest_first, count in ((True, 5), (False, 0)):
            rows, _ = page_by_id(
                session, self.statement, User.id, limit=9, cursor=encode_cursor(2**63 - 1),
                newest_first=newest_first,
            )  # fmt: skip
            assert len(rows) == count

    def test_page_of_several_entities_has_tuples(self, session: Session) -> None:
        statement = select(User, Role).outerjoin(Role, Role.name == User.role)
        rows, cursor = page_by_id(session, statement, User.id, limit=1, cursor=None)
        ((user, role),) = rows
        assert (user.id, role) == (self.made[-1], None)
        assert cursor == encode_cursor(user.id)
