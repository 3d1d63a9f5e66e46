"""Blobs and who refers to them. The bytes are in the store, the truth about them is here.

A blob is written while its row is locked, and collected while its row is locked, so a file that
somebody is just referring to can't be taken away. References hang on their owners by foreign key:
deleting the owner deletes the reference, and the collector takes what nothing refers to.
"""

import itertools
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from sqlalchemy import BigInteger, ForeignKey, String, delete, exists, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from aiplatform.data.blobs import BlobStore, open_store
from aiplatform.server.core.database import Base, BigKey, Created, transaction
from aiplatform.server.core.settings import get_settings

ADOPTED_AT_ONCE = 1000
GRACE = timedelta(days=1)
"""How long an unreferenced blob stays, so that work in progress can still refer to it."""


class Blob(Created, Base):
    """Immutable content, named by its SHA-256 (64 hexadecimal digits). ``size`` in bytes."""

    __tablename__ = "blobs"

    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    size: Mapped[int] = mapped_column(BigInteger)
    touched_at: Mapped[datetime] = mapped_column(server_default=func.current_timestamp())


class BlobRef(Base):
    """One owner's use of a blob under a path of its own; exactly one owner column is set."""

    __tablename__ = "blob_refs"

    id: Mapped[BigKey]
    sha256: Mapped[str] = mapped_column(ForeignKey("blobs.sha256"))
    project_id: Mapped[int | None] = mapped_column(ForeignKey("projects.id"))
    dataset_version_id: Mapped[int | None] = mapped_column(ForeignKey("dataset_versions.id"))
    model_id: Mapped[int | None] = mapped_column(ForeignKey("models.id"))
    checkpoint_id: Mapped[int | None] = mapped_column(ForeignKey("task_checkpoints.id"))
    path: Mapped[str] = mapped_column(String(500))


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of an owner: its relative path, content hash and size in bytes."""

    path: str
    sha256: str
    size: int


@cache
def get_store() -> BlobStore:
    """The store of this process."""
    return open_store(get_settings().blobs_url)


def keep(session: Session, path: Path, sha256: str, size: int, *, move: bool = False) -> None:
    """Put a local file into the store and lock its row until the transaction ends.

    Identical content is stored once. ``move`` allows the local file to be consumed.
    """
    row = insert(Blob).values(sha256=sha256, size=size)
    session.execute(
        row.on_conflict_do_update(
            index_elements=[Blob.sha256], set_={"touched_at": func.clock_timestamp()}
        )
    )
    get_store().put_file(path, sha256, move=move)


def refer(
    session: Session,
    file: StoredFile,
    *,
    project_id: int | None,
    dataset_version_id: int | None = None,
    model_id: int | None = None,
    checkpoint_id: int | None = None,
) -> None:
    """Let an owner refer to a blob that :func:`keep` has stored in this transaction or before."""
    locked = select(Blob.sha256).where(Blob.sha256 == file.sha256).with_for_update(read=True)
    session.execute(locked).one()
    session.add(
        BlobRef(
            sha256=file.sha256,
            project_id=project_id,
            dataset_version_id=dataset_version_id,
            model_id=model_id,
            checkpoint_id=checkpoint_id,
            path=file.path,
        )
    )


def files_of(
    session: Session,
    *,
    dataset_version_id: int | None = None,
    model_id: int | None = None,
    checkpoint_id: int | None = None,
) -> list[StoredFile]:
    """The files of one owner, by path."""
    statement = select(BlobRef.path, Blob.sha256, Blob.size).join(
        Blob, Blob.sha256 == BlobRef.sha256
    )
    if dataset_version_id is not None:
        statement = statement.where(BlobRef.dataset_version_id == dataset_version_id)
    elif model_id is not None:
        statement = statement.where(BlobRef.model_id == model_id)
    else:
        statement = statement.where(BlobRef.checkpoint_id == checkpoint_id)
    return [StoredFile(*row) for row in session.execute(statement.order_by(BlobRef.path))]


def fetch_tree(files: list[StoredFile], directory: Path) -> None:
    """Lay ``files`` out below ``directory`` under their own paths.

    Raises:
        ValueError: for a path that leads out of it, which no writer of ours makes.
    """
    store = get_store()
    for file in files:
        target = directory / file.path
        if not target.resolve().is_relative_to(directory.resolve()):
            raise ValueError(f"{file.path} leads out of the directory")
        target.parent.mkdir(parents=True, exist_ok=True)
        store.fetch(file.sha256, target)


def collect_blobs(*, grace: timedelta = GRACE, limit: int = 1000) -> int:
    """Delete blobs that nothing refers to and nothing touched for ``grace``. Returns how many.

    Each is deleted while its row is locked, in a transaction of its own: whoever wants to keep the
    same content waits, finds the row gone, and stores the content again.
    """
    unreferenced = (
        ~exists().where(BlobRef.sha256 == Blob.sha256)
        & (Blob.touched_at < func.clock_timestamp() - grace)
    )  # fmt: skip
    with transaction() as session:
        candidates = session.scalars(select(Blob.sha256).where(unreferenced).limit(limit)).all()
    collected = 0
    for sha256 in candidates:
        with transaction() as session:
            locked = session.scalar(
                select(Blob.sha256).where(Blob.sha256 == sha256).with_for_update(skip_locked=True)
            )
            if locked is None:
                continue
            # Only now, in a statement that began with the row locked: one that began before would
            # not see the reference of a transaction that committed while it was waiting.
            deleted = session.scalar(
                delete(Blob).where(Blob.sha256 == sha256, unreferenced).returning(Blob.sha256)
            )
            if deleted is None:
                continue
            get_store().delete(sha256)
            collected += 1
    return collected


def adopt_orphans(*, grace: timedelta = GRACE) -> None:
    """Give a row to old files of the store that have none, so that the collector sees them.

    A commit that failed after its file was stored leaves one. Who stores the same content at this
    moment touches the row, and it stays. Only whoever sweeps calls this: a file that another
    collector takes meanwhile would get a row again.
    """
    before = datetime.now(UTC) - grace
    old = (
        {"sha256": sha256, "size": size, "touched_at": datetime.fromtimestamp(modified, UTC)}
        for sha256, size, modified in get_store().list()
        if modified < before.timestamp()
    )
    while batch := list(itertools.islice(old, ADOPTED_AT_ONCE)):
        with transaction() as session:
            rows = insert(Blob).values(batch)
            session.execute(rows.on_conflict_do_nothing(index_elements=[Blob.sha256]))
