"""Statements that are built once per process.

Building a select of many joins, and having SQLAlchemy see that it compiled the like before, costs
far more than all else about it. What runs in every request is therefore kept as text.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import namedtuple_row
from sqlalchemy import Select, TextClause
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.exc import DBAPIError, MultipleResultsFound, NoResultFound
from sqlalchemy.orm import Session


@dataclass(frozen=True)
class Compiled:
    """A statement as text for psycopg, for every request the same but for its parameters."""

    text: str
    fixed: dict[str, Any]

    def values(self, **parameters: Any) -> dict[str, Any]:
        """The parameters of one run: those of the ``bindparam`` that the statement names."""
        return {**self.fixed, **parameters}

    def one(self, session: Session, **parameters: Any) -> Any:
        """The only row, in the session's transaction; columns are attributes, by their labels.

        Raises:
            NoResultFound, MultipleResultsFound: SQLAlchemy's, when it is not the only one.
            DBAPIError: when the database refuses.
        """
        row = self.one_or_none(session, **parameters)
        if row is None:
            raise NoResultFound("No row was found when one was required")
        return row

    def one_or_none(self, session: Session, **parameters: Any) -> Any:
        """The row, if there is one, the same way."""
        rows = self.all(session, **parameters)
        if len(rows) > 1:
            raise MultipleResultsFound("Multiple rows were found when one or none was required")
        return rows[0] if rows else None

    def all(self, session: Session, **parameters: Any) -> Sequence[Any]:
        """The rows, the same way."""
        with _driver(session, self) as driver:
            return _sent(driver, self, parameters).fetchall()

    def of_many(self, **types: str) -> "Compiled":
        """The same for many at once: each parameter of ``types`` becomes an array of that type.

        Rows have a column ``place``, which counts the array's elements from 1. An element for which
        nothing is found has no row.
        """
        text = self.text
        for name in types:
            text = text.replace(f"%({name})s", f"asked.{name}")
        arrays = ", ".join(f"%({name})s::{kind}[]" for name, kind in types.items())
        names = ", ".join(types)
        asked = f"unnest({arrays}) WITH ORDINALITY AS asked({names}, place)"
        return Compiled(
            f"SELECT asked.place, found.* FROM {asked} CROSS JOIN LATERAL ({text}) AS found",  # noqa: S608
            {name: value for name, value in self.fixed.items() if name not in types},
        )


def all_of(session: Session, *asked: tuple[Compiled, Mapping[str, Any]]) -> list[Sequence[Any]]:
    """The rows of several statements, one after the other in the session's transaction.

    They are sent together, and so is what begins the transaction: each way to the server and back
    wakes two processes. Each sees what was committed until it runs, not until it is sent.

    Raises:
        DBAPIError: as when they are asked one by one; of those after the first that fails none ran.
    """
    with _driver(session, *(statement for statement, _ in asked)) as driver:
        with driver.pipeline():
            cursors = [_sent(driver, statement, parameters) for statement, parameters in asked]
        return [cursor.fetchall() for cursor in cursors]


def _sent(driver: Any, statement: Compiled, parameters: Mapping[str, Any]) -> psycopg.Cursor[Any]:
    cursor: psycopg.Cursor[Any] = driver.cursor(row_factory=namedtuple_row)
    return cursor.execute(statement.text, statement.values(**parameters))


@contextmanager
def _driver(session: Session, *asked: Compiled) -> Iterator[Any]:
    """psycopg's connection below the session's, in its transaction, for what is asked within.

    SQLAlchemy's own way to a result takes as long as a small statement does. Errors are told as it
    tells them, so that callers know one kind.
    """
    if session.autoflush:  # as before any statement of the session's own
        session.flush()
    connection = session.connection()
    driver: Any = connection.connection.driver_connection
    try:
        yield driver
    except psycopg.Error as error:
        if driver.closed:
            connection.invalidate(error)
        raise DBAPIError.instance(
            "; ".join(statement.text for statement in asked),
            None,
            error,
            psycopg.Error,
            hide_parameters=True,
            connection_invalidated=connection.invalidated,
            dialect=connection.dialect,
        ) from error


def compiled(statement: Select[*tuple[Any, ...]] | TextClause) -> Compiled:
    """The text of ``statement``. Lists in ``IN`` can't be among its parameters."""
    dialect = PGDialect_psycopg()  # type: ignore[no-untyped-call]
    done = statement.compile(dialect=dialect)
    assert not getattr(done, "post_compile_params", None)
    return Compiled(done.string, dict(done.params))


def dense(text: str) -> str:
    """SQL without comments and without the white space it is laid out with.

    psycopg finds the parameters of a text of more than 4096 characters anew each time. The text
    must have neither comments' signs nor such white space in its literals.
    """
    bare = re.sub(r"--.*", "", text)
    return re.sub(r"(?<=[(,]) | (?=\))", "", " ".join(bare.split()))
