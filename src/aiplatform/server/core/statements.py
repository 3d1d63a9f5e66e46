"""SQL statements that are compiled once per process and run directly through psycopg.

For a select with many joins, SQLAlchemy takes far longer to build it and look up its compiled form
than the database takes to run it. Statements for frequent requests are therefore kept as text.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import namedtuple_row
from sqlalchemy import Select, TextClause, text
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.exc import DBAPIError, MultipleResultsFound, NoResultFound
from sqlalchemy.orm import Session


@dataclass(frozen=True)
class Compiled:
    """A statement as text for psycopg; only its parameters differ between requests."""

    text: str
    fixed: dict[str, Any]

    def values(self, **parameters: Any) -> dict[str, Any]:
        """Return the parameters for one execution: fixed ones, and those named by ``bindparam``."""
        return {**self.fixed, **parameters}

    def one(self, session: Session, **parameters: Any) -> Any:
        """Run the statement in the session's transaction and return the only row.

        Columns are attributes, named by their labels.

        Raises:
            NoResultFound: there is no row (a SQLAlchemy error).
            MultipleResultsFound: there are several rows (a SQLAlchemy error).
            DBAPIError: the database refused the statement.
        """
        row = self.one_or_none(session, **parameters)
        if row is None:
            raise NoResultFound("No row was found when one was required")
        return row

    def one_or_none(self, session: Session, **parameters: Any) -> Any:
        """Run the statement and return the only row, or None; otherwise like :meth:`one`."""
        rows = self.all(session, **parameters)
        if len(rows) > 1:
            raise MultipleResultsFound("Multiple rows were found when one or none was required")
        return rows[0] if rows else None

    def all(self, session: Session, **parameters: Any) -> Sequence[Any]:
        """Run the statement and return all rows; otherwise like :meth:`one`."""
        with _driver(session, self) as driver:
            return _send(driver, self, parameters).fetchall()


def fetch_all(session: Session, *given: tuple[Compiled, Mapping[str, Any]]) -> list[Sequence[Any]]:
    """Return the rows of several statements, which run one after another in the transaction.

    They are sent together, with the statement that begins the transaction, because each round trip
    wakes two processes. Each statement sees everything committed before it runs, including commits
    made after it was sent.

    Raises:
        DBAPIError: a statement failed; those after it did not run.
    """
    with _driver(session, *(statement for statement, _ in given)) as driver:
        with driver.pipeline():
            cursors = [_send(driver, statement, parameters) for statement, parameters in given]
        return [cursor.fetchall() for cursor in cursors]


def _send(driver: Any, statement: Compiled, parameters: Mapping[str, Any]) -> psycopg.Cursor[Any]:
    cursor: psycopg.Cursor[Any] = driver.cursor(row_factory=namedtuple_row)
    return cursor.execute(statement.text, statement.values(**parameters))


@contextmanager
def _driver(session: Session, *given: Compiled) -> Iterator[Any]:
    """Yield the session's psycopg connection, within its transaction.

    SQLAlchemy's own handling of results takes as long as a small statement. Errors are raised as
    SQLAlchemy errors, so that callers need to handle only these.
    """
    if session.autoflush:  # the session does the same before its own statements
        session.flush()
    connection = session.connection()
    driver: Any = connection.connection.driver_connection
    try:
        yield driver
    except psycopg.Error as error:
        if driver.closed:
            connection.invalidate(error)
        raise DBAPIError.instance(
            "; ".join(statement.text for statement in given),
            None,
            error,
            psycopg.Error,
            hide_parameters=True,
            connection_invalidated=connection.invalidated,
            dialect=connection.dialect,
        ) from error


def compiled(statement: Select[*tuple[Any, ...]] | TextClause) -> Compiled:
    """Compile ``statement`` to text. Its parameters must not include lists for ``IN``."""
    dialect = PGDialect_psycopg()  # type: ignore[no-untyped-call]
    done = statement.compile(dialect=dialect)
    assert not getattr(done, "post_compile_params", None)
    return Compiled(done.string, dict(done.params))


def read_statements(path: Path) -> dict[str, Compiled]:
    """Return the statements in an SQL file by name; each begins with a line ``-- name: NAME``."""
    _, *parts = re.split(r"^-- name: (\w+)$", path.read_text(), flags=re.MULTILINE)
    named = zip(parts[::2], parts[1::2], strict=True)
    return {name: compiled(text(strip_sql(sql))) for name, sql in named}


def strip_sql(sql: str) -> str:
    """Return SQL without comments and redundant whitespace.

    This shortens the text because psycopg caches the parsed query only if it has at most 4096
    characters. String literals in the SQL must contain neither comment markers nor redundant
    whitespace.
    """
    bare = re.sub(r"--.*", "", sql)
    return re.sub(r"(?<=[(,]) | (?=\))", "", " ".join(bare.split()))
