"""Blobs and references to them. The store holds their content; the database decides which exist.

References have a foreign key to their owner, so deleting the owner deletes them. Garbage collection
(:mod:`~aiplatform.server.core.garbage_collection`) deletes blobs that nothing refers to.
"""

from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    ForeignKey,
    String,
    any_,
    delete,
    func,
    literal,
    select,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from aiplatform.data.blobs import BlobStore, open_store
from aiplatform.data.parts import Part
from aiplatform.server.core.database import Base, BigKey, Created
from aiplatform.server.core.errors import Conflict
from aiplatform.server.core.settings import get_settings

ROWS_AT_ONCE = 1000
FILES_AT_ONCE = 8
"""Number of files written at the same time.

A disk syncs several files in the time it takes for one, and an object store works in parallel
anyway.
"""


class BlobGone(Conflict):
    """Garbage collection deleted the blob before it was referenced."""

    code = "upload.content_gone"
    headers = {"Retry-After": "1"}


class Blob(Created, Base):
    """Immutable content, named by its SHA-256 (64 hexadecimal digits). ``size`` is in bytes."""

    __tablename__ = "blobs"

    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    size: Mapped[int] = mapped_column(BigInteger)
    touched_at: Mapped[datetime] = mapped_column(server_default=func.current_timestamp())


class PendingDeletion(Base):
    """The file of a deleted blob, to be deleted unless its content is stored again first."""

    __tablename__ = "doomed_blobs"

    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    size: Mapped[int] = mapped_column(BigInteger)
    doomed_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class BlobRef(Base):
    """A reference from an owner to a blob, under a path; exactly one owner column is set."""

    __tablename__ = "blob_refs"

    id: Mapped[BigKey]
    sha256: Mapped[str] = mapped_column(ForeignKey("blobs.sha256"))
    project_id: Mapped[int | None] = mapped_column(ForeignKey("projects.id"))
    dataset_version_id: Mapped[int | None] = mapped_column(ForeignKey("dataset_versions.id"))
    model_id: Mapped[int | None] = mapped_column(ForeignKey("models.id"))
    checkpoint_id: Mapped[int | None] = mapped_column(ForeignKey("task_checkpoints.id"))
    log_task_id: Mapped[int | None] = mapped_column(ForeignKey("tasks.id"))
    # In the database, these columns have foreign keys, too. The models omit them, because a program
    # that does not define those tables must be able to write here.
    task_id: Mapped[int | None]
    bundle_id: Mapped[int | None] = mapped_column(BigInteger)
    path: Mapped[str] = mapped_column(String(500))


PARTS_FOLDER = "parts/"
"""Folder of a version's references to the blobs that make up its files."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """An owner's file: its relative path, SHA-256 and size in bytes.

    Its content is the blob with that hash, or consists of ``parts``.
    """

    path: str
    sha256: str
    size: int
    parts: tuple[Part, ...] = ()


@cache
def get_store() -> BlobStore:
    """Return this process's blob store."""
    return open_store(get_settings().blobs_url)


def store_file(session: Session, path: Path, sha256: str, size: int, *, move: bool = False) -> None:
    """Put a local file into the store and lock its blob's row until the transaction ends.

    Identical content is stored once. ``move`` allows the function to consume the local file.
    """
    row = insert(Blob).values(sha256=sha256, size=size)
    session.execute(
        row.on_conflict_do_update(
            index_elements=[Blob.sha256], set_={"touched_at": func.clock_timestamp()}
        )
    )
    # This waits for a collector that is currently deleting the file. A file that still exists is
    # kept.
    session.execute(delete(PendingDeletion).where(PendingDeletion.sha256 == sha256))
    get_store().put_file(path, sha256, move=move)


def store_files(
    session: Session, fresh: Mapping[str, tuple[Path, int]], used: Collection[str]
) -> None:
    """Store many small files like :func:`store_file`, and lock all blobs in use until the commit.

    Args:
        session: the transaction in which the caller refers to the blobs.
        fresh: path and size in bytes of new content, by its SHA-256; the files are consumed.
        used: all hashes that the caller will refer to, new and old.

    Raises:
        BlobGone: a blob in ``used`` that is not in ``fresh`` was collected.
    """
    # Existing rows are locked first, then missing ones are inserted, each in the order of their
    # hashes. Writers of the same content thus wait for each other without a deadlock.
    locked = _lock_all(session, used)
    for sha256 in sorted(set(used) - set(fresh) - locked):
        _revive(session, sha256)
    missing = [sha256 for sha256 in sorted(fresh) if sha256 not in locked]
    while missing:
        for start in range(0, len(missing), ROWS_AT_ONCE):
            batch = missing[start : start + ROWS_AT_ONCE]
            rows = insert(Blob).values([{"sha256": h, "size": fresh[h][1]} for h in batch])
            session.execute(rows.on_conflict_do_nothing(index_elements=[Blob.sha256]))
        # A row that another transaction inserted in the meantime may already have been deleted
        # again.
        locked = _lock_all(session, missing)
        missing = [sha256 for sha256 in missing if sha256 not in locked]
    # This waits for a collector that is currently deleting a file. A file that still exists is
    # kept.
    session.execute(delete(PendingDeletion).where(PendingDeletion.sha256 == any_(_array(fresh))))
    store = get_store()
    with ThreadPoolExecutor(FILES_AT_ONCE, thread_name_prefix="blobs") as pool:
        stored = pool.map(
            lambda item: store.put_file(item[1][0], item[0], move=True), sorted(fresh.items())
        )
        for _ in stored:  # raises the error of a failed file
            pass


def _array(hashes: Iterable[str]) -> ColumnElement[list[str]]:
    """Return the hashes as one array parameter, so that one statement serves any number of them."""
    return literal(list(hashes), ARRAY(String))


def _lock_all(session: Session, hashes: Collection[str]) -> set[str]:
    """Lock blobs against collection until the transaction ends. Return those that exist."""
    locked = (
        select(Blob.sha256)
        .where(Blob.sha256 == any_(_array(hashes)))
        .order_by(Blob.sha256)
        .with_for_update(read=True)
    )
    return set(session.scalars(locked))


def add_reference(
    session: Session,
    file: StoredFile,
    *,
    project_id: int | None,
    dataset_version_id: int | None = None,
    model_id: int | None = None,
    checkpoint_id: int | None = None,
    log_task_id: int | None = None,
    task_id: int | None = None,
    bundle_id: int | None = None,
) -> None:
    """Add an owner's reference to a blob that :func:`store_file` has stored, now or earlier.

    Raises:
        BlobGone: the blob has been collected. If you still have the content, store it again.
    """
    if not _lock(session, file.sha256):
        _revive(session, file.sha256)
    session.add(
        BlobRef(
            sha256=file.sha256,
            project_id=project_id,
            dataset_version_id=dataset_version_id,
            model_id=model_id,
            checkpoint_id=checkpoint_id,
            log_task_id=log_task_id,
            task_id=task_id,
            bundle_id=bundle_id,
            path=file.path,
        )
    )


def _lock(session: Session, sha256: str) -> bool:
    """Lock a blob against collection until the transaction ends. Return False if it is missing."""
    locked = select(Blob.sha256).where(Blob.sha256 == sha256).with_for_update(read=True)
    return session.scalar(locked) is not None


def _revive(session: Session, sha256: str) -> None:
    """Restore the blob of a file marked for deletion that still exists, and lock it.

    Raises:
        BlobGone: the file no longer exists.
    """
    size = session.scalar(
        delete(PendingDeletion)
        .where(PendingDeletion.sha256 == sha256)
        .returning(PendingDeletion.size)
    )
    # A collector that died may have left the mark of a file that has already been deleted.
    if size is not None and get_store().exists(sha256):
        row = insert(Blob).values(sha256=sha256, size=size)
        session.execute(row.on_conflict_do_nothing(index_elements=[Blob.sha256]))
    # If there was no mark, another transaction may have restored the blob.
    if not _lock(session, sha256):
        raise BlobGone


def files_of(
    session: Session,
    *,
    dataset_version_id: int | None = None,
    model_id: int | None = None,
    checkpoint_id: int | None = None,
    task_id: int | None = None,
    bundle_id: int | None = None,
) -> list[StoredFile]:
    """Return one owner's files that are whole blobs, sorted by path."""
    statement = select(BlobRef.path, Blob.sha256, Blob.size).join(
        Blob, Blob.sha256 == BlobRef.sha256
    )
    if dataset_version_id is not None:
        statement = statement.where(
            BlobRef.dataset_version_id == dataset_version_id,
            ~BlobRef.path.startswith(PARTS_FOLDER),
        )
    elif model_id is not None:
        statement = statement.where(BlobRef.model_id == model_id)
    elif task_id is not None:
        statement = statement.where(BlobRef.task_id == task_id)
    elif bundle_id is not None:
        statement = statement.where(BlobRef.bundle_id == bundle_id)
    else:
        statement = statement.where(BlobRef.checkpoint_id == checkpoint_id)
    return [StoredFile(*row) for row in session.execute(statement.order_by(BlobRef.path))]
