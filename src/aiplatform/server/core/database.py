"""Sessions. Services flush, the edge commits; what leaves the process leaves after the commit."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from typing import Annotated, Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    DateTime,
    Engine,
    FetchedValue,
    create_engine,
    event,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    SessionTransaction,
    mapped_column,
    sessionmaker,
)

from aiplatform.protocol.encoding import dumps
from aiplatform.server.core.settings import get_settings


class Base(DeclarativeBase):
    """All tables. Migrations are written by hand; the models map what they made."""

    type_annotation_map = {
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB,
        list[Any]: JSONB,
        list[str]: JSONB,
        UUID: PG_UUID(as_uuid=True),
    }


class Identified:
    """The serial key that stays inside and the uuid that is shown, as the contract has them."""

    id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[UUID] = mapped_column(server_default=FetchedValue(), unique=True)


class Created:
    """When the row was made."""

    created_at: Mapped[datetime] = mapped_column(server_default=func.current_timestamp())


class Updated(Created):
    """When the row was made and last changed; the ETag of the resource."""

    updated_at: Mapped[datetime] = mapped_column(
        server_default=func.current_timestamp(), onupdate=func.clock_timestamp()
    )


BigKey = Annotated[int, mapped_column(BigInteger, primary_key=True)]
"""A serial key of a table that grows fast."""


@cache
def get_engine() -> Engine:
    """The engine of this process. Call it after any fork."""
    settings = get_settings()
    engine = create_engine(
        settings.sqlalchemy_url,
        pool_size=settings.database_pool_size,
        max_overflow=settings.database_pool_size,
        pool_pre_ping=True,
        pool_timeout=15,
        json_serializer=dumps,
        # An error's text goes to the log, and parameters are passwords' hashes and people's data.
        hide_parameters=True,
        connect_args={"connect_timeout": 10, "application_name": "aiplatform"},
    )

    @event.listens_for(engine, "connect")
    def _utc(connection: Any, _record: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET TIME ZONE 'UTC'")
        connection.commit()

    return engine


@cache
def session_factory() -> sessionmaker[Session]:
    """Makes sessions on :func:`get_engine`; objects stay readable after the commit."""
    return sessionmaker(get_engine(), expire_on_commit=False)


AfterCommit = Callable[[], None]
_AFTER_COMMIT = "aiplatform.after_commit"


def after_commit(session: Session, action: AfterCommit) -> None:
    """Run ``action`` once this session's transaction has committed; never if it rolls back.

    An action must not fail for want of the broker or of a listener: a lost wake-up is made up for
    by the sweep, a lost notification by polling.
    """
    session.info.setdefault(_AFTER_COMMIT, []).append(action)


@event.listens_for(Session, "after_soft_rollback")
def _forget(session: Session, transaction: SessionTransaction) -> None:
    # Not for a savepoint: what the transaction around it registered still holds.
    if not transaction.nested:
        session.info.pop(_AFTER_COMMIT, None)


def commit(session: Session) -> None:
    """Commit, then run what was waiting for it."""
    session.commit()
    for action in session.info.pop(_AFTER_COMMIT, []):
        action()


@contextmanager
def transaction() -> Iterator[Session]:
    """A session that commits at the end and rolls back on an error: the edge for jobs."""
    with session_factory()() as session:
        yield session
        commit(session)


def get_session() -> Iterator[Session]:
    """FastAPI dependency, to be used with ``scope="function"``: it commits before the answer.

    With FastAPI's default scope the commit would follow the answer, and a failed commit would still
    have been told as a success.
    """
    with session_factory()() as session:
        yield session
        commit(session)


def database_answers() -> bool:
    """One round trip."""
    with get_engine().connect() as connection:
        return connection.execute(text("SELECT 1")).scalar_one() is not None
