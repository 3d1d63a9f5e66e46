"""Garbage collection of blobs that nothing refers to.

Collection takes two transactions. The first deletes the blob's row and inserts a row that marks its
file for deletion. After a grace period, the second locks that row, deletes the file, and removes
the row. If a transaction stores the same content before then, it removes the mark. If it does so
while the file is being deleted, it waits for the lock, finds neither mark nor file, and stores the
content again. After a crash at any point, the next run continues from the rows.
"""

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    cast,
    delete,
    exists,
    func,
    select,
)
from sqlalchemy.dialects.postgresql import insert

from aiplatform.protocol.storage import Amount, Collected
from aiplatform.server.core.database import transaction
from aiplatform.server.core.storage import Blob, BlobRef, PendingDeletion, get_store
from aiplatform.server.core.views import View

ADOPTION_BATCH = 1000
REPORT_LIMIT = 2000
GRACE = timedelta(days=1)
"""Time for which an unreferenced blob is kept, so that work in progress can still refer to it."""
FILE_GRACE = timedelta(hours=1)
"""Time for which the file of a deleted blob is kept, for readers that have just opened it."""

ARCHIVES = View("archives", "sha256")
"""Archives of the audit trail, which refer to blobs directly; published by the audit domain."""


def collect_blobs(*, grace: timedelta = GRACE, limit: int = 1000) -> int:
    """Mark blobs that were unreferenced and untouched for ``grace``, and delete marked files.

    Return the number of deleted files.
    """
    mark_unreferenced_blobs(grace=grace, limit=limit)
    return delete_marked_files(grace=min(grace, FILE_GRACE), limit=limit)


def collect_with_report(*, limit: int = REPORT_LIMIT) -> Collected:
    """Collect at most ``limit`` blobs and ``limit`` marked files, and return a report."""
    marked = _mark_unreferenced(GRACE, limit)
    deleted = _delete_marked(FILE_GRACE, limit)
    return Collected(
        marked=Amount(count=len(marked), size=sum(marked)),
        deleted=Amount(count=len(deleted), size=sum(deleted)),
        waiting=preview_collection().waiting,
        dry_run=False,
        complete=max(len(marked), len(deleted)) < limit,
    )


def preview_collection() -> Collected:
    """Return a report of what :func:`collect_with_report` would do now without a limit."""
    fresh = Blob.touched_at >= func.clock_timestamp() - GRACE
    young = PendingDeletion.doomed_at >= func.clock_timestamp() - FILE_GRACE
    with transaction() as session:
        count, size, waiting, waiting_size = session.execute(
            _amounts(Blob.size, fresh).where(_unreferenced())
        ).one()
        overdue, overdue_size, marked, marked_size = session.execute(
            _amounts(PendingDeletion.size, young)
        ).one()
    return Collected(
        marked=Amount(count=count, size=size),
        deleted=Amount(count=overdue, size=overdue_size),
        waiting=Amount(count=waiting + marked, size=waiting_size + marked_size),
        dry_run=True,
        complete=True,
    )


def _amounts(size: Any, stays: ColumnElement[bool]) -> Select[Any]:
    """Select count and bytes of the rows to collect, then of those kept because of ``stays``."""
    columns: list[Any] = []
    for wanted in (~stays, stays):
        total = func.coalesce(func.sum(size).filter(wanted), 0)
        columns += [func.count().filter(wanted), cast(total, BigInteger)]
    return select(*columns)


def _unreferenced() -> ColumnElement[bool]:
    return ~exists().where(BlobRef.sha256 == Blob.sha256) & ~exists(
        select(1).where(ARCHIVES.c.sha256 == Blob.sha256)
    )


def mark_unreferenced_blobs(*, grace: timedelta = GRACE, limit: int = 1000) -> int:
    """Replace the rows of unreferenced blobs with rows that mark their files for deletion.

    Return the number of marked files.
    """
    return len(_mark_unreferenced(grace, limit))


def _mark_unreferenced(grace: timedelta, limit: int) -> list[int]:
    """Mark unreferenced blobs and return their sizes in bytes."""
    unreferenced = _unreferenced() & (Blob.touched_at < func.clock_timestamp() - grace)
    with transaction() as session:
        candidates = session.scalars(select(Blob.sha256).where(unreferenced).limit(limit)).all()
    sizes = []
    for sha256 in candidates:
        with transaction() as session:
            locked = session.scalar(
                select(Blob.sha256).where(Blob.sha256 == sha256).with_for_update(skip_locked=True)
            )
            if locked is None:
                continue
            # The condition is repeated in a statement that begins after the row was locked. A
            # statement that began earlier would not see a reference committed while it was waiting.
            size = session.scalar(
                delete(Blob).where(Blob.sha256 == sha256, unreferenced).returning(Blob.size)
            )
            if size is None:
                continue
            mark = insert(PendingDeletion).values(sha256=sha256, size=size)
            session.execute(
                mark.on_conflict_do_update(
                    index_elements=[PendingDeletion.sha256],
                    set_={"doomed_at": func.clock_timestamp()},
                )
            )
            sizes.append(size)
    return sizes


def delete_marked_files(*, grace: timedelta = FILE_GRACE, limit: int = 1000) -> int:
    """Delete files that have been marked for at least ``grace``, and return their number.

    Each file is deleted while its mark is locked. A crash after that leaves the mark behind, and
    the next run deletes the file again. This is harmless: if the content had been stored again, the
    mark would be gone.
    """
    return len(_delete_marked(grace, limit))


def _delete_marked(grace: timedelta, limit: int) -> list[int]:
    """Delete marked files and return their sizes in bytes."""
    overdue = PendingDeletion.doomed_at < func.clock_timestamp() - grace
    with transaction() as session:
        candidates = session.scalars(
            select(PendingDeletion.sha256).where(overdue).limit(limit)
        ).all()
    sizes = []
    for sha256 in candidates:
        with transaction() as session:
            mark = session.scalar(
                select(PendingDeletion)
                .where(PendingDeletion.sha256 == sha256, overdue)
                .with_for_update(skip_locked=True)
            )
            if mark is None:
                continue
            session.delete(mark)
            # There is a row if the file was adopted as an orphan in the meantime, or if another
            # program wrote one.
            if session.get(Blob, sha256) is None:
                get_store().delete(sha256)
                sizes.append(mark.size)
    return sizes


def adopt_orphans(*, grace: timedelta = GRACE) -> None:
    """Add blob rows for old files in the store that have none, so that they can be collected.

    A commit that fails after its file was stored leaves such a file behind. If the same content is
    being stored at this moment, the new row is touched and therefore kept. Marked files are
    skipped. Only the reaper may call this: otherwise a file that another collector is deleting
    would get a row again.
    """
    before = datetime.now(UTC) - grace
    old = (
        {"sha256": sha256, "size": size, "touched_at": datetime.fromtimestamp(modified, UTC)}
        for sha256, size, modified in get_store().list()
        if modified < before.timestamp()
    )
    while batch := list(itertools.islice(old, ADOPTION_BATCH)):
        with transaction() as session:
            known = select(PendingDeletion.sha256).where(
                PendingDeletion.sha256.in_([file["sha256"] for file in batch])
            )
            marked = set(session.scalars(known))
            batch = [file for file in batch if file["sha256"] not in marked]
            if not batch:
                continue
            rows = insert(Blob).values(batch)
            session.execute(rows.on_conflict_do_nothing(index_elements=[Blob.sha256]))
