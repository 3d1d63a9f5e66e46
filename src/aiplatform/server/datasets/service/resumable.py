"""Resumable uploads: each has a database row that describes it and a file with its bytes.

The file is in the spool directory; its size is the upload's offset. A piece is on disk before it is
confirmed, so a server crash loses no confirmed piece. The writer holds a lock on the file. A file
that has not been written to for a day is deleted with other old files in the spool.
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
from http import HTTPStatus
from pathlib import Path
from typing import Any
from uuid import UUID

from anyio import CancelScope, to_thread
from sqlalchemy import Select, delete, func, select, update
from sqlalchemy.orm import Session
from starlette.requests import ClientDisconnect

from aiplatform.data.blobs import hash_file
from aiplatform.protocol.audit import AuditAction
from aiplatform.server.core import audit
from aiplatform.server.core.database import transaction
from aiplatform.server.core.errors import Invalid, Language, NotFound, Problem, TooLarge
from aiplatform.server.core.settings import get_settings
from aiplatform.server.core.spool import BUFFER_BYTES, Spooled, disk_space_required, upload_prefix
from aiplatform.server.datasets.errors import (
    ChecksumMismatch,
    IdenticalContent,
    InvalidTusHeader,
    OffsetConflict,
    UploadExpired,
    UploadIncomplete,
    UploadLocked,
)
from aiplatform.server.datasets.models import Dataset, DatasetUpload
from aiplatform.server.datasets.service.ingest import never_disconnected
from aiplatform.server.datasets.service.uploads import Target, UploadParameters, take_upload
from aiplatform.server.projects.access import ProjectContext

LIFETIME = timedelta(days=1)
"""Time from the last piece of an upload until the upload expires.

The spool deletes files of the same age.
"""

ALGORITHMS = ("sha1", "sha256")

CONTENT_PROBLEMS = (Invalid, TooLarge, IdenticalContent)
"""Problems caused by the content of the file, so that the same bytes would be refused again."""


def create(
    session: Session, context: ProjectContext, length: int, facts: dict[str, Any]
) -> DatasetUpload:
    """Create an upload of ``length`` bytes, and delete expired ones.

    Raises:
        TooLarge: beyond the maximum size of an upload.
    """
    limit = get_settings().max_upload_bytes
    if length > limit:
        raise TooLarge(limit=limit)
    _delete_expired(session)
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
    with disk_space_required():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.open("xb").close()
    return upload


def delete_expired_uploads() -> None:
    """Delete the rows of expired uploads; the cleanup of the spool deletes their bytes."""
    with transaction() as session:
        _delete_expired(session)


def _delete_expired(session: Session) -> None:
    session.execute(delete(DatasetUpload).where(DatasetUpload.expires_at < func.clock_timestamp()))


def find(session: Session, context: ProjectContext, uuid: UUID) -> DatasetUpload:
    """Return an upload of the project; all members who may upload may continue it.

    Raises:
        NotFound: when there is no such upload.
        UploadExpired: when no piece arrived for a day.
    """
    # All times come from the database, because the clocks of API processes may differ.
    statement = (
        select(DatasetUpload, DatasetUpload.expires_at < func.clock_timestamp())
        .where(DatasetUpload.uuid == uuid, DatasetUpload.project_id == context.project_id)
        .execution_options(populate_existing=True)
    )
    row = session.execute(statement).one_or_none()
    if row is not None and not is_available(row[0]):
        # The upload may have ended since it was read, which deletes its bytes.
        row = session.execute(statement).one_or_none()
    if row is None:
        raise NotFound(resource="upload")
    upload, has_expired = row
    if has_expired or not is_available(upload):
        raise UploadExpired
    return upload


def is_available(upload: DatasetUpload) -> bool:
    """Return True if the upload has ended, or its bytes still exist, so that it can continue."""
    return upload.status != "receiving" or file_of(upload.uuid).exists()


def list_uploads(context: ProjectContext) -> Select[Any]:
    """Return a statement for the project's uploads that have not expired."""
    statement: Any = select(DatasetUpload).where(
        DatasetUpload.project_id == context.project_id,
        DatasetUpload.expires_at > func.clock_timestamp(),
    )
    found: Select[Any] = statement
    return found


def remove(session: Session, context: ProjectContext, uuid: UUID) -> None:
    """Abandon an upload and delete its bytes."""
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
        with open_locked(uuid):
            file_of(uuid).unlink(missing_ok=True)


def record_end(
    session: Session, context: ProjectContext, uuid: UUID, status: str, result: dict[str, Any]
) -> None:
    """Record the end of an upload; its result can be read for :data:`LIFETIME` after that.

    Raises:
        UploadLocked: another request has ended it already.
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


async def finish(
    context: ProjectContext, upload: DatasetUpload, target: Target, parameters: UploadParameters
) -> None:
    """Parse the whole file and commit it, even if the client disconnects in the meantime.

    Raises:
        UploadIncomplete: bytes are missing.
        Problem: any reason for which a plain upload would be refused. If the content is the reason,
            the upload has ended; otherwise its bytes are kept for another attempt.
    """
    path = file_of(upload.uuid)

    def record_commit(session: Session, dataset: Dataset) -> None:
        result = {"dataset": str(dataset.uuid), "version": dataset.version}
        record_end(session, context, upload.uuid, "committed", result)

    async with upload_prefix(get_settings().spool_dir) as prefix:
        try:
            linked = prefix.with_suffix(".upload")
            spooled = await to_thread.run_sync(_link_complete, path, linked, upload.length)
            await take_upload(
                context,
                target,
                parameters,
                spooled,
                prefix=prefix,
                disconnected=never_disconnected,
                finish=record_commit,
            )
        except CONTENT_PROBLEMS as problem:
            await to_thread.run_sync(_refuse, context, upload.uuid, problem)
            raise
        except Problem as problem:
            if problem.status < HTTPStatus.INTERNAL_SERVER_ERROR:
                problem.also = _kept_until(upload)
            raise
    path.unlink(missing_ok=True)


def _link_complete(path: Path, linked: Path, length: int) -> Spooled:
    """Link a complete file to a second path, so that it persists if the upload is abandoned."""
    with disk_space_required():
        os.link(path, linked)
    sha256, size = hash_file(linked)
    if size != length:
        raise UploadIncomplete(missing=length - size)
    return Spooled(linked, sha256, size)


def _kept_until(upload: DatasetUpload) -> dict[Language, str]:
    until = upload.expires_at.strftime("%Y-%m-%d %H:%M UTC")
    return {
        "en": f"What has arrived is kept until {until}: once this is settled, repeat the upload, "
        "which sends nothing again; over tus, a piece of no bytes at the end.",
        "zh": f"已上传的内容保留至 {until}：问题解决后请重新执行上传，无需再次传输；使用 tus 时，"
        "请在末尾发送一个空片段。",
    }


def _refuse(context: ProjectContext, uuid: UUID, problem: Problem) -> None:
    with transaction() as session:
        result = {"code": problem.code, "detail": problem.text("en")}
        record_end(session, context, uuid, "refused", result)
    file_of(uuid).unlink(missing_ok=True)


def extend(session: Session, upload: DatasetUpload) -> None:
    """Set the upload's expiry to :data:`LIFETIME` from now."""
    upload.expires_at = session.scalars(select(func.clock_timestamp())).one() + LIFETIME


def file_of(uuid: UUID) -> Path:
    """Return the path of the file that collects an upload's bytes."""
    return get_settings().spool_dir / f"upload-{uuid}.bin"


def offset_of(upload: DatasetUpload) -> int:
    """Return the number of bytes that have arrived; the full length if the upload has ended."""
    if upload.status != "receiving":
        return upload.length
    try:
        return file_of(upload.uuid).stat().st_size
    except FileNotFoundError:  # the upload has ended since it was read
        return upload.length


@contextmanager
def open_locked(uuid: UUID) -> Iterator[int]:
    """Yield a descriptor of the upload's file, locked against writers in all processes.

    Raises:
        UploadLocked: when another request writes to it.
        UploadExpired: when the file was deleted.
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
    """Append a piece and return the new offset once all bytes are on disk.

    If the connection breaks, the bytes that arrived are kept, unless there is a checksum to verify.

    Raises:
        OffsetConflict: when the file does not end at ``offset``.
        TooLarge: when more bytes arrive than were announced; nothing of the piece is kept.
        ChecksumMismatch: the piece is damaged; nothing of it is kept.
        InsufficientStorage: the disk is full; earlier pieces are kept.
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
        with disk_space_required(), memoryview(buffer) as rest:
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
            await to_thread.run_sync(_truncate_and_sync, descriptor, kept)
    return kept


def _truncate_and_sync(descriptor: int, size: int) -> None:
    os.ftruncate(descriptor, size)
    os.fsync(descriptor)


def parse_metadata(header: str) -> dict[str, str]:
    """Return the keys and decoded values of an ``Upload-Metadata`` header.

    Raises:
        InvalidTusHeader: the header is malformed.
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


def parse_checksum(header: str | None) -> tuple[str, bytes] | None:
    """Return the algorithm and digest of an ``Upload-Checksum`` header.

    Raises:
        InvalidTusHeader: the algorithm is not supported, or the header is malformed.
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


def parse_byte_count(name: str, header: str | None) -> int:
    """Return the value of a header that counts bytes.

    Raises:
        InvalidTusHeader: it is missing or not a number.
    """
    if header is None or not header.isascii() or not header.isdigit() or len(header) > 18:
        raise InvalidTusHeader(header=name)
    return int(header)
