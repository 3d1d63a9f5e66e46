"""Tests of statements that are compiled once and executed often."""

import threading
import time

import psycopg._queries
import pytest
from sqlalchemy import ARRAY, String, any_, bindparam, select, text
from sqlalchemy.exc import DBAPIError, MultipleResultsFound, NoResultFound
from sqlalchemy.orm import Session

from aiplatform.server.core.database import transaction
from aiplatform.server.core.statements import compiled, fetch_all, strip_sql
from aiplatform.server.identity.models import Role
from aiplatform.server.queue.queries.waiting import STATEMENTS
from tests.factories import number

ROLES = compiled(
    select(Role.name, Role.permissions.label("held"))
    .where(Role.name == any_(bindparam("names", type_=ARRAY(String))))
    .order_by(Role.name)
)


def test_compiled_rows_have_names_and_python_values(session: Session) -> None:
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
    with pytest.raises(MultipleResultsFound):
        ROLES.one_or_none(session, names=[one, other])


def test_strip_sql_removes_comments_and_white_space(session: Session) -> None:
    laid_out = """
        SELECT (  -- a comment (with words)
            CAST(:number AS integer) + 1
        ) AS next,
        2 AS two
    """
    assert strip_sql(laid_out) == "SELECT (CAST(:number AS integer) + 1) AS next,2 AS two"
    assert tuple(compiled(text(strip_sql(laid_out))).one(session, number=4)) == (5, 2)


def test_claim_statement_is_short_enough_for_psycopg_cache() -> None:
    sent = STATEMENTS["pick"].text
    assert len(sent) <= psycopg._queries.MAX_CACHED_STATEMENT_LENGTH


def test_compiled_statement_flushes_the_session_first(session: Session) -> None:
    name = f"role{number()}"
    session.add(Role(name=name, permissions=[]))
    with session.no_autoflush:
        assert ROLES.all(session, names=[name]) == []
    assert [row.name for row in ROLES.all(session, names=[name])] == [name]


NUMBER = compiled(text("SELECT CAST(:number AS integer) AS number"))
LOCK = compiled(text("SELECT id, name FROM roles WHERE name = :name FOR UPDATE"))
COUNT = compiled(
    text("SELECT count(*) AS found FROM roles WHERE permissions @> CAST(:held AS jsonb)")
)
WHO = compiled(text("SELECT pg_backend_pid() AS pid, pg_terminate_backend(CAST(:pid AS integer))"))


def test_all_of_returns_rows_of_each_statement(session: Session) -> None:
    name = f"role{number()}"
    session.add(Role(name=name, permissions=["a:read"]))  # flushed before the statements
    found, numbers, none = fetch_all(
        session,
        (ROLES, {"names": [name]}),
        (NUMBER, {"number": 4}),
        (ROLES, {"names": []}),
    )
    assert [(row.name, row.held) for row in found] == [(name, ["a:read"])]
    assert [row.number for row in numbers] == [4]
    assert none == []
    session.rollback()
    assert ROLES.all(session, names=[name]) == []


def test_all_of_second_statement_sees_rows_that_first_waited_for(session: Session) -> None:
    name, mark = f"role{number()}", f"mark{number()}"
    session.add(Role(name=name, permissions=[]))
    session.commit()
    answers = []

    def ask() -> None:
        with transaction() as own:
            answers.append(fetch_all(own, (LOCK, {"name": name}), (COUNT, {"held": f'["{mark}"]'})))

    LOCK.one(session, name=name)
    other = threading.Thread(target=ask)
    other.start()
    waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid <> pg_backend_pid()"
    while not session.scalar(text(waits)):
        time.sleep(0.01)
    session.add(Role(name=f"role{number()}", permissions=[mark]))
    session.commit()
    other.join()
    ((_, (count,)),) = answers
    assert count.found == 1


def test_all_of_error_is_raised_as_dbapi_error(session: Session) -> None:
    name = f"role{number()}"
    write = compiled(
        text("INSERT INTO roles (name, permissions) VALUES (:name, '[]') RETURNING id")
    )
    with pytest.raises(DBAPIError, match="out of range") as told:
        fetch_all(
            session, (write, {"name": name}), (NUMBER, {"number": 1 << 40}), (NUMBER, {"number": 1})
        )
    assert not told.value.connection_invalidated
    session.rollback()
    assert ROLES.all(session, names=[name]) == []
    ((row,),) = fetch_all(session, (NUMBER, {"number": 2}))
    assert row.number == 2
    with pytest.raises(DBAPIError, match="out of range"):
        NUMBER.one(session, number=1 << 40)


def test_all_of_lost_connection_is_not_used_again(session: Session) -> None:
    pid = WHO.one(session, pid=None).pid
    with pytest.raises(DBAPIError) as told:
        fetch_all(session, (WHO, {"pid": pid}), (NUMBER, {"number": 1}))
    assert told.value.connection_invalidated
    session.rollback()
    ((row,),) = fetch_all(session, (WHO, {"pid": None}))
    assert row.pid != pid
