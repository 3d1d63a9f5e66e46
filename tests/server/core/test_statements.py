"""Statements that are kept as text."""

import psycopg._queries
import pytest
from sqlalchemy import ARRAY, String, any_, bindparam, select, text
from sqlalchemy.exc import NoResultFound
from sqlalchemy.orm import Session

from aiplatform.server.core.statements import compiled, dense
from aiplatform.server.identity.models import Role
from aiplatform.server.tasks.queries.waiting import PICK
from tests.factories import number

ROLES = compiled(
    select(Role.name, Role.permissions.label("held"))
    .where(Role.name == any_(bindparam("names", type_=ARRAY(String))))
    .order_by(Role.name)
)


def test_rows_have_names_and_python_values(session: Session) -> None:
    one, other = sorted(f"role{number()}" for _ in range(2))
    session.add_all([Role(name=one, permissions=["a:read"]), Role(name=other, permissions=[])])
    session.commit()
    rows = ROLES.all(session, names=[other, one, "none"])
    assert [(row.name, row.held) for row in rows] == [(one, ["a:read"]), (other, [])]
    assert ROLES.all(session, names=[]) == []
    assert ROLES.one_or_none(session, names=["none"]) is None
    assert ROLES.one(session, names=[other]).held == []
    with pytest.raises(NoResultFound):
        ROLES.one(session, names=["none"])


def test_sql_that_is_written_by_hand(session: Session) -> None:
    laid_out = """
        SELECT (  -- a comment (with words)
            CAST(:number AS integer) + 1
        ) AS next
    """
    assert dense(laid_out) == "SELECT (CAST(:number AS integer) + 1) AS next"
    assert compiled(text(dense(laid_out))).one(session, number=4).next == 5


def test_claims_do_not_look_for_their_parameters_each_time() -> None:
    assert len(PICK.text) <= psycopg._queries.MAX_CACHED_STATEMENT_LENGTH


def test_what_the_session_has_not_written_yet_is_seen(session: Session) -> None:
    name = f"role{number()}"
    session.add(Role(name=name, permissions=[]))
    with session.no_autoflush:
        assert ROLES.all(session, names=[name]) == []
    assert [row.name for row in ROLES.all(session, names=[name])] == [name]
