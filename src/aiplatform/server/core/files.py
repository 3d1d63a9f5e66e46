"""Files of dataset versions, stored in deduplicated parts, and functions that read or copy them."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from sqlalchemy import BigInteger, ForeignKey, String, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from aiplatform.data.blobs import BlobDamagedError
from aiplatform.data.parts import Packed, Part, PartsFile, blob_reader, read_parts
from aiplatform.server.core.database import Base
from aiplatform.server.core.storage import (
    PARTS_FOLDER,
    BlobRef,
    StoredFile,
    files_of,
    get_store,
    store_files,
)


class VersionFile(Base):
    """A file of a dataset version, stored in parts. SHA-256 and size are the whole file's."""

    __tablename__ = "version_files"

    dataset_version_id: Mapped[int] = mapped_column(
        ForeignKey("dataset_versions.id"), primary_key=True
    )
    path: Mapped[str] = mapped_column(String(500), primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64))
    size: Mapped[int] = mapped_column(BigInteger)


class VersionPart(Base):
    """A part of a :class:`VersionFile`.

    Its content (SHA-256 ``content``) is unpacked from a chain of ``blobs``. The version has a
    :class:`BlobRef` for each of them.
    """

    __tablename__ = "version_parts"

    dataset_version_id: Mapped[int] = mapped_column(
        ForeignKey("dataset_versions.id"), primary_key=True
    )
    path: Mapped[str] = mapped_column(String(500), primary_key=True)
    start: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    size: Mapped[int]
    content: Mapped[str] = mapped_column(String(64))
    blobs: Mapped[list[str]]


def store_parts(
    session: Session,
    packed: dict[str, Packed],
    *,
    project_id: int | None,
    dataset_version_id: int,
) -> None:
    """Store packed files under their paths, and add references from the version to all their blobs.

    Raises:
        BlobGone: older blobs that the packed parts refer to were deleted. Pack the files again
            without references to older blobs.
    """
    fresh = {sha256: (path, size) for file in packed.values() for path, sha256, size in file.new}
    used = {blob for file in packed.values() for part in file.parts for blob in part.blobs}
    store_files(session, fresh, used)
    session.add_all(
        BlobRef(
            sha256=sha256,
            project_id=project_id,
            dataset_version_id=dataset_version_id,
            path=PARTS_FOLDER + sha256,
        )
        for sha256 in sorted(used)
    )
    for path, file in packed.items():
        session.add(
            VersionFile(
                dataset_version_id=dataset_version_id,
                path=path,
                sha256=file.sha256,
                size=file.size,
            )
        )
        session.add_all(
            VersionPart(
                dataset_version_id=dataset_version_id,
                path=path,
                start=part.start,
                size=part.size,
                content=part.content,
                blobs=list(part.blobs),
            )
            for part in file.parts
        )


def version_file(session: Session, version_id: int, path_prefix: str) -> StoredFile | None:
    """Return a dataset version's first file whose path has this prefix, with its parts."""
    found = session.scalar(
        select(VersionFile).where(
            VersionFile.dataset_version_id == version_id,
            VersionFile.path.startswith(path_prefix, autoescape=True),
        )
    )
    if found is None:
        whole = files_of(session, dataset_version_id=version_id)
        return next((file for file in whole if file.path.startswith(path_prefix)), None)
    rows = session.execute(
        select(VersionPart.start, VersionPart.size, VersionPart.content, VersionPart.blobs)
        .where(VersionPart.dataset_version_id == version_id, VersionPart.path == found.path)
        .order_by(VersionPart.start)
    )
    parts = tuple(Part(start, size, content, tuple(blobs)) for start, size, content, blobs in rows)
    return StoredFile(found.path, found.sha256, found.size, parts)


def read_file(file: StoredFile, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
    """Return an iterator over a file's bytes, in chunks of 1 MiB.

    Args:
        file: the file to read.
        offset: position of the first byte.
        length: number of bytes; None reads to the end.

    Raises:
        BlobNotFoundError: a blob is missing. The call itself raises it, not the first iteration.
    """
    store = get_store()
    if file.parts:
        return read_parts(file.parts, blob_reader(store), offset, length)
    return store.read(file.sha256, offset, length)


def open_file(file: StoredFile) -> PartsFile | Path | None:
    """Return a seekable file or a local path, so that the whole file need not be copied.

    Return None if the store has no local file; call :func:`fetch_file` in that case.
    """
    if file.parts:
        return PartsFile(file.parts, blob_reader(get_store()))
    return get_store().local_path(file.sha256)


def fetch_file(file: StoredFile, target: Path) -> None:
    """Copy a file's content to the read-only file ``target`` and verify it.

    Raises:
        BlobNotFoundError: a blob is missing.
        BlobDamagedError: the content has changed.
    """
    if not file.parts:
        get_store().fetch(file.sha256, target)
        return
    temporary = target.with_name(f".{target.name}.{os.getpid()}.{id(file)}")
    try:
        size = 0
        with temporary.open("wb") as output:
            # Each part is verified against its hash, so only the total size remains to be checked.
            for piece in read_file(file):
                size += output.write(piece)
        if size != file.size:
            raise BlobDamagedError(f"{file.sha256} came out with {size} bytes, not {file.size}")
        temporary.chmod(0o444)
        temporary.rename(target)
    finally:
        temporary.unlink(missing_ok=True)


def fetch_tree(files: Sequence[StoredFile], directory: Path) -> None:
    """Copy ``files`` to their own paths below ``directory``.

    Raises:
        ValueError: a path leads out of the directory. The platform itself never stores such a path.
    """
    for file in files:
        target = directory / file.path
        if not target.resolve().is_relative_to(directory.resolve()):
            raise ValueError(f"{file.path} leads out of the directory")
        target.parent.mkdir(parents=True, exist_ok=True)
        fetch_file(file, target)
