"""Collecting blobs that nothing refers to.

It takes two transactions. The first replaces the blob's row by one that dooms its file; once that
is committed and a grace period is over, the second deletes the file while it holds the doom.
Whoever wants the content in between lifts the doom, and whoever wants it at the very moment waits
for the lock, finds the doom gone and the file with it, and stores the content again. A crash at any
point leaves a row that the next run goes on from.
"""

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    String,
    cast,
    column,
    delete,
    exists,
    func,
    select,
    table,
)
from sqlalchemy.dialects.postgresql import insert

from aiplatform.protocol.storage import Amount, Collected
from aiplatform.server.core.database import transaction
from aiplatform.server.core.storage import Blob, BlobRef, DoomedBlob, get_store

ADOPTED_AT_ONCE = 1000
AT_ONCE = 2000
GRACE = timedelta(days=1)
"""How long an unreferenced blob stays, so that work in progress can still refer to it."""
FILE_GRACE = timedelta(hours=1)
"""How long the file of a blob that is gone stays, for those who are just reading it."""

ARCHIVED = table("audit_archives", column("sha256", String))
"""Archives of the audit trail refer to their blobs themselves; they belong to no project."""


def collect_blobs(*, grace: timedelta = GRACE, limit: int = 1000) -> int:
    """Doom blobs that nothing refers to and nothing touched for ``grace``; delete doomed files.

    Returns how many files went.
    """
    doom_blobs(grace=grace, limit=limit)
    return delete_doomed(grace=min(grace, FILE_GRACE), limit=limit)


def collect_some(*, limit: int = AT_ONCE) -> Collected:
    """The same, telling what it did; at most ``limit`` files of each kind."""
    marked = _doom(GRACE, limit)
    deleted = _delete_doomed(FILE_GRACE, limit)
    return Collected(
        marked=Amount(count=len(marked), size=sum(marked)),
        deleted=Amount(count=len(deleted), size=sum(deleted)),
        waiting=collectable().waiting,
        dry_run=False,
        complete=max(len(marked), len(deleted)) < limit,
    )


def collectable() -> Collected:
    """What :func:`collect_some` would do now, were it not limited."""
    fresh = Blob.touched_at >= func.clock_timestamp() - GRACE
    young = DoomedBlob.doomed_at >= func.clock_timestamp() - FILE_GRACE
    with transaction() as session:
        count, size, waiting, waiting_size = session.execute(
            _amounts(Blob.size, fresh).where(_unreferenced())
        ).one()
        doomed, doomed_size, marked, marked_size = session.execute(
            _amounts(DoomedBlob.size, young)
        ).one()
    return Collected(
        marked=Amount(count=count, size=size),
        deleted=Amount(count=doomed, size=doomed_size),
        waiting=Amount(count=waiting + marked, size=waiting_size + marked_size),
        dry_run=True,
        complete=True,
    )


def _amounts(size: Any, stays: ColumnElement[bool]) -> Select[Any]:
    """Count and bytes of what is due, then of what ``stays`` for now."""
    columns: list[Any] = []
    for wanted in (~stays, stays):
        total = func.coalesce(func.sum(size).filter(wanted), 0)
        columns += [func.count().filter(wanted), cast(total, BigInteger)]
    return select(*columns)


def _unreferenced() -> ColumnElement[bool]:
    return ~exists().where(BlobRef.sha256 == Blob.sha256) & ~exists(
        select(1).where(ARCHIVED.c.sha256 == Blob.sha256)
    )


def doom_blobs(*, grace: timedelta = GRACE, limit: int = 1000) -> int:
    """Replace the rows of unreferenced blobs by dooms of their files. Returns how many."""
    return len(_doom(grace, limit))


def _doom(grace: timedelta, limit: int) -> list[int]:
    """The sizes of what was doomed."""
    unreferenced = _unreferenced() & (Blob.touched_at < func.clock_timestamp() - grace)
    with transaction() as session:
        candidates = session.scalars(select(Blob.sha256).where(unreferenced).limit(limit)).all()
    doomed = []
    for sha256 in candidates:
        with transaction() as session:
            locked = session.scalar(
                select(Blob.sha256).where(Blob.sha256 == sha256).with_for_update(skip_locked=True)
            )
            if locked is None:
                continue
            # Only now, in a statement that began with the row locked: one that began before would
            # not see the reference of a transaction that committed while it was waiting.
            size = session.scalar(
                delete(Blob).where(Blob.sha256 == sha256, unreferenced).returning(Blob.size)
            )
            if size is None:
                continue
            doom = insert(DoomedBlob).values(sha256=sha256, size=size)
            session.execute(
                doom.on_conflict_do_update(
                    index_elements=[DoomedBlob.sha256],
                    set_={"doomed_at": func.clock_timestamp()},
                )
            )
            doomed.append(size)
    return doomed


def delete_doomed(*, grace: timedelta = FILE_GRACE, limit: int = 1000) -> int:
    """Delete files that have been doomed for ``grace``. Returns how many.

    Each goes while its doom is locked. A crash after that leaves the doom, and deleting again what
    is gone does no harm, since whoever stored the content meanwhile has lifted it.
    """
    return len(_delete_doomed(grace, limit))


def _delete_doomed(grace: timedelta, limit: int) -> list[int]:
    """The sizes of what was deleted."""
    overdue = DoomedBlob.doomed_at < func.clock_timestamp() - grace
    with transaction() as session:
        candidates = session.scalars(select(DoomedBlob.sha256).where(overdue).limit(limit)).all()
    deleted = []
    for sha256 in candidates:
        with transaction() as session:
            doom = session.scalar(
                select(DoomedBlob)
                .where(DoomedBlob.sha256 == sha256, overdue)
                .with_for_update(skip_locked=True)
            )
            if doom is None:
                continue
            session.delete(doom)
            # The row of an orphan that was adopted meanwhile, or that another program wrote.
            if session.get(Blob, sha256) is None:
                get_store().delete(sha256)
                deleted.append(doom.size)
    return deleted


def adopt_orphans(*, grace: timedelta = GRACE) -> None:
    """Give a row to old files of the store that have none, so that the collector sees them.

    A commit that failed after its file was stored leaves one. Who stores the same content at this
    moment touches the row, and it stays; what is doomed is on its way already. Only whoever sweeps
    calls this: a file that another collector takes meanwhile would get a row again.
    """
    before = datetime.now(UTC) - grace
    old = (
        {"sha256": sha256, "size": size, "touched_at": datetime.fromtimestamp(modified, UTC)}
        for sha256, size, modified in get_store().list()
        if modified < before.timestamp()
    )
    while batch := list(itertools.islice(old, ADOPTED_AT_ONCE)):
        with transaction() as session:
            known = select(DoomedBlob.sha256).where(
                DoomedBlob.sha256.in_([file["sha256"] for file in batch])
            )
            doomed = set(session.scalars(known))
            batch = [file for file in batch if file["sha256"] not in doomed]
            if not batch:
                continue
            rows = insert(Blob).values(batch)
            session.execute(rows.on_conflict_do_nothing(index_elements=[Blob.sha256]))
