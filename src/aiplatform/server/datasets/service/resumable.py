"""Uploads in pieces: the row says what it will be, the file in the spool how much has arrived.

The file's size is the offset, so a server that dies loses nothing it had confirmed, and confirms
nothing it might lose: a piece is on disk before it is answered. Whoever writes holds a lock on the
file. A file that nobody wrote to for a day is taken away by the spool's sweep.
"""

import base64
import binascii
import errno
import fcntl
import hashlib
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from anyio import CancelScope, sleep_forever, to_thread
from sqlalchemy import Select, delete, func, select, update
from sqlalchemy.orm import Session
from starlette.requests import ClientDisconnect

from aiplatform.protocol.audit import AuditAction
from aiplatform.server.core import audit
from aiplatform.server.core.database import transaction
from aiplatform.server.core.errors import NotFound, TooLarge
from aiplatform.server.core.settings import get_settings
from aiplatform.server.core.spool import BUFFER_BYTES, room_needed
from aiplatform.server.datasets.errors import (
    ChecksumMismatch,
    InvalidTusHeader,
    OffsetConflict,
    UploadExpired,
    UploadLocked,
)
from aiplatform.server.datasets.models import DatasetUpload
from aiplatform.server.projects.access import ProjectContext

LIFETIME = timedelta(days=1)
"""Since the last piece; the spool's sweep takes files as old."""

ALGORITHMS = ("sha1", "sha256")


def create(
    session: Session, context: ProjectContext, length: int, facts: dict[str, Any]
) -> DatasetUpload:
    """A new upload of ``length`` bytes; what has expired goes.

    Raises:
        TooLarge: beyond what an upload may have.
    """
    limit = get_settings().max_upload_bytes
    if length > limit:
        raise TooLarge(limit=limit)
    _forget_expired(session)
    upload = DatasetUpload(
        project_id=context.project_id,
        user_id=context.principal.user_id,
        length=length,
        facts=facts,
        expires_at=func.clock_timestamp() + LIFETIME,
    )
    session.add(upload)
    session.flush()
    session.refresh(upload)
    audit.record(
        session,
        context.actor,
        AuditAction.DATASET_UPLOAD_BEGUN,
        "upload",
        upload.uuid,
        project=context.project_uuid,
        length=length,
        **{key: facts[key] for key in ("name", "dataset", "filename") if facts.get(key)},
    )
    path = file_of(upload.uuid)
    with room_needed():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.open("xb").close()
    return upload


def forget_expired() -> None:
    """Drop the rows of uploads that expired, or ended long ago; their bytes go with the spool's."""
    with transaction() as session:
        _forget_expired(session)


def _forget_expired(session: Session) -> None:
    session.execute(delete(DatasetUpload).where(DatasetUpload.expires_at < func.clock_timestamp()))


def find(session: Session, context: ProjectContext, uuid: UUID) -> DatasetUpload:
    """An upload of the project; whoever may upload may go on with it.

    Raises:
        NotFound: when there is none.
        UploadExpired: when nobody went on with it for a day.
    """
    # All times are the database's: clocks of several API processes may differ.
    statement = (
        select(DatasetUpload, DatasetUpload.expires_at < func.clock_timestamp())
        .where(DatasetUpload.uuid == uuid, DatasetUpload.project_id == context.project_id)
        .execution_options(populate_existing=True)
    )
    row = session.execute(statement).one_or_none()
    if row is not None and not is_whole(row[0]):
        # Its end takes them away, perhaps since it was read.
        row = session.execute(statement).one_or_none()
    if row is None:
        raise NotFound(resource="upload")
    upload, has_expired = row
    if has_expired or not is_whole(upload):
        raise UploadExpired
    return upload


def is_whole(upload: DatasetUpload) -> bool:
    """Whether it has ended, or its bytes are still there to be gone on with."""
    return upload.status != "receiving" or file_of(upload.uuid).exists()


def uploads(context: ProjectContext) -> Select[Any]:
    """The project's uploads that have not expired."""
    statement: Any = select(DatasetUpload).where(
        DatasetUpload.project_id == context.project_id,
        DatasetUpload.expires_at > func.clock_timestamp(),
    )
    found: Select[Any] = statement
    return found


def remove(session: Session, context: ProjectContext, uuid: UUID) -> None:
    """Give an upload up."""
    upload = find(session, context, uuid)
    session.delete(upload)
    audit.record(
        session,
        context.actor,
        AuditAction.DATASET_UPLOAD_GIVEN_UP,
        "upload",
        uuid,
        project=context.project_uuid,
        status=upload.status,
    )
    session.flush()
    if upload.status == "receiving":
        with writing(uuid):
            file_of(uuid).unlink(missing_ok=True)


def settle(
    session: Session, context: ProjectContext, uuid: UUID, status: str, result: dict[str, Any]
) -> None:
    """Say how an upload ended; it can be asked for as long as it would have lived.

    Raises:
        UploadLocked: another request was faster.
    """
    settled = session.scalar(
        update(DatasetUpload)
        .where(DatasetUpload.uuid == uuid, DatasetUpload.status == "receiving")
        .values(status=status, result=result, expires_at=func.clock_timestamp() + LIFETIME)
        .returning(DatasetUpload.id)
    )
    if settled is None:
        raise UploadLocked
    if status == "refused":
        audit.record(
            session,
            context.actor,
            AuditAction.DATASET_UPLOAD_REFUSED,
            "upload",
            uuid,
            project=context.project_uuid,
            **{key: result[key] for key in ("code", "detail") if key in result},
        )


def extend(session: Session, upload: DatasetUpload) -> None:
    """Let the upload live a day from now on."""
    upload.expires_at = session.scalars(select(func.clock_timestamp())).one() + LIFETIME


def file_of(uuid: UUID) -> Path:
    """Where its bytes arrive."""
    return get_settings().spool_dir / f"upload-{uuid}.bin"


def offset_of(upload: DatasetUpload) -> int:
    """How many bytes have arrived."""
    if upload.status != "receiving":
        return upload.length
    try:
        return file_of(upload.uuid).stat().st_size
    except FileNotFoundError:  # it has ended since it was read
        return upload.length


@contextmanager
def writing(uuid: UUID) -> Iterator[int]:
    """The file, for one writer at a time, in whatever process.

    Raises:
        UploadLocked: when another request writes to it.
        UploadExpired: when it is gone.
    """
    try:
        descriptor = os.open(file_of(uuid), os.O_RDWR)
    except FileNotFoundError as error:
        raise UploadExpired from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in {errno.EWOULDBLOCK, errno.EACCES}:
                raise UploadLocked from error
            raise
        yield descriptor
    finally:
        os.close(descriptor)


async def receive_piece(
    descriptor: int,
    chunks: AsyncIterator[bytes],
    *,
    offset: int,
    length: int,
    checksum: tuple[str, bytes] | None,
) -> int:
    """Append a piece; returns the new offset, whose bytes are on disk.

    What arrived before a cut counts, unless a checksum should tell whether it is right.

    Raises:
        OffsetConflict: when the file does not end at ``offset``.
        TooLarge: when more bytes come than were announced; none of them stays.
        ChecksumMismatch: the piece is damaged; nothing of it stays.
        InsufficientStorage: the disk is full; what was there stays.
    """
    found = os.fstat(descriptor).st_size
    if found != offset:
        raise OffsetConflict(offset=offset, expected=found)
    digest = None if checksum is None else hashlib.new(checksum[0], usedforsecurity=False)
    kept = offset
    end = offset
    buffer = bytearray()

    def drain() -> None:
        nonlocal end
        if digest is not None:
            digest.update(buffer)
        with room_needed(), memoryview(buffer) as rest:
            written = 0
            while written < len(rest):
                written += os.pwrite(descriptor, rest[written:], end + written)
        end += len(buffer)
        buffer.clear()

    try:
        try:
            async for chunk in chunks:
                if end + len(buffer) + len(chunk) > length:
                    raise TooLarge(limit=length)
                buffer += chunk
                if len(buffer) >= BUFFER_BYTES:
                    await to_thread.run_sync(drain)
        except ClientDisconnect:
            if checksum is not None:
                raise
        await to_thread.run_sync(drain)
        if digest is not None and checksum is not None and digest.digest() != checksum[1]:
            raise ChecksumMismatch(algorithm=checksum[0])
        kept = end
    finally:
        with CancelScope(shield=True):
            await to_thread.run_sync(_settle_file, descriptor, kept)
    return kept


def _settle_file(descriptor: int, size: int) -> None:
    os.ftruncate(descriptor, size)
    os.fsync(descriptor)


def metadata_of(header: str) -> dict[str, str]:
    """``Upload-Metadata``: keys and base64 values.

    Raises:
        InvalidTusHeader: it is not written so.
    """
    found: dict[str, str] = {}
    for pair in header.split(","):
        key, _, value = pair.strip().partition(" ")
        if not key:
            continue
        try:
            found[key] = base64.b64decode(value.strip(), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise InvalidTusHeader(header="Upload-Metadata") from error
    return found


def checksum_of(header: str | None) -> tuple[str, bytes] | None:
    """``Upload-Checksum``: algorithm and digest.

    Raises:
        InvalidTusHeader: another algorithm, or not written so.
    """
    if header is None:
        return None
    algorithm, _, value = header.strip().partition(" ")
    try:
        digest = base64.b64decode(value.strip(), validate=True)
    except binascii.Error as error:
        raise InvalidTusHeader(header="Upload-Checksum") from error
    if algorithm not in ALGORITHMS or not digest:
        raise InvalidTusHeader(header="Upload-Checksum")
    return algorithm, digest


async def forever() -> None:
    """Returns never: the answer is wanted whether or not the client still waits."""
    await sleep_forever()


def number_of(name: str, header: str | None) -> int:
    """A header that counts bytes.

    Raises:
        InvalidTusHeader: it is missing or no number.
    """
    if header is None or not header.isascii() or not header.isdigit() or len(header) > 18:
        raise InvalidTusHeader(header=name)
    return int(header)
