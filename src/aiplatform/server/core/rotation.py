"""Re-encryption of all stored secrets with the first key in the key file.

It works in batches that commit separately, and selects only values under other keys. It can
therefore resume after an interruption, and the platform may run in the meantime.
"""

from dataclasses import dataclass

from sqlalchemy import Column, Table, func, select, text, tuple_, update
from sqlalchemy.orm import Session

from aiplatform.server.core import encryption
from aiplatform.server.core.database import Base, transaction
from aiplatform.server.core.encryption import HEADER_BYTES, SEALED, SecretUnreadable
from aiplatform.server.core.locks import AdvisoryLock

BATCH = 500


@dataclass
class Rotated:
    """The result for one column: numbers of re-encrypted and of unreadable, unchanged values."""

    column: str
    sealed_anew: int = 0
    unreadable: int = 0


def sealed_columns() -> list[Column[bytes]]:
    """Return all columns declared with :func:`~aiplatform.server.core.encryption.sealed_column`."""
    return [
        column
        for table in Base.metadata.sorted_tables
        for column in table.columns
        if SEALED in column.info
    ]


def rotate(*, new_key: bool = False) -> list[Rotated]:
    """Re-encrypt all values that are not under the first key; ``new_key`` adds a key first.

    Raises:
        KeyFileUnusable: the key file is missing or invalid; the message says why.
    """
    with transaction() as session:
        # If two commands added a key at the same time, one would overwrite the other's key.
        session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": int(AdvisoryLock.KEYS)})
        if new_key:
            encryption.add_key()
        return [_rotate_column(column) for column in sealed_columns()]


def _rotate_column(column: Column[bytes]) -> Rotated:
    done = Rotated(f"{column.table.name}.{column.name}")
    assert isinstance(column.table, Table)
    after: tuple[object, ...] | None = None
    while True:
        with transaction() as session:
            after = _rotate_batch(session, column, column.table, after, done)
        if after is None:
            return done


def _rotate_batch(
    session: Session,
    column: Column[bytes],
    table: Table,
    after: tuple[object, ...] | None,
    done: Rotated,
) -> tuple[object, ...] | None:
    """Re-encrypt one batch. Return the key to continue after, or None at the end."""
    header = encryption.load_keys(create=True)[0].header
    keys = list(table.primary_key.columns)
    # Keep the time of the last change, so that ETags remain valid.
    stay = {other.name: other for other in table.columns if other.onupdate is not None}
    statement = (
        select(table)
        .where(column.is_not(None), func.substring(column, 1, HEADER_BYTES) != header)
        .order_by(*keys)
        .limit(BATCH)
        .with_for_update()
    )
    if after is not None:
        statement = statement.where(tuple_(*keys) > tuple_(*after))
    rows = session.execute(statement).mappings().all()
    for row in rows:
        context = str(column.info[SEALED]).format_map(dict(row))
        try:
            value = encryption.decrypt(row[column.name], context)
        except SecretUnreadable:
            done.unreadable += 1
            continue
        mine = [key == row[key.name] for key in keys]
        anew = encryption.encrypt(value, context)
        session.execute(update(table).where(*mine).values({**stay, column.name: anew}))
        done.sealed_anew += 1
    return tuple(rows[-1][key.name] for key in keys) if len(rows) == BATCH else None
