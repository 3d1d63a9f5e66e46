"""Temporary files for uploads. A request's body is hashed while it is written to disk.

The files never outlive their upload. Only one buffer is held in memory, and neither hashing nor
writing blocks the event loop.
"""

import base64
import binascii
import errno
import hashlib
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import structlog
from anyio import CancelScope, create_task_group, sleep, to_thread

from aiplatform.server.core.errors import InsufficientStorage, Problem, TooLarge

log = structlog.get_logger(__name__)

BUFFER_BYTES = 1 << 20
"""Number of bytes to collect from the network before a thread writes them."""

SPOOL_MAX_AGE = timedelta(days=1)
"""Age at which an unchanged file is deleted from the spool."""

CLEANING_INTERVAL = timedelta(hours=1)

DISK_FULL_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class InvalidDigest(Problem):
    """A digest header can't be parsed.

    If the header were ignored, the client would believe that the upload was verified.
    """

    status = 400
    code = "upload.invalid_digest"


class DigestMismatch(Problem):
    """The hash of the received content differs from the announced one."""

    status = 400
    code = "upload.digest_mismatch"


class UploadAborted(Problem):
    """The client disconnected during its upload.

    Nobody reads this response, but the log should not report an internal error.
    """

    status = 400
    code = "upload.aborted"


class RawBodyRequired(Problem):
    """The upload was sent as an HTML form instead of the file itself.

    Forms are not accepted, because they would have to be parsed while they are received, to
    separate the file from the form's boundaries.
    """

    status = 415
    code = "upload.raw_body_required"


@dataclass(frozen=True, slots=True)
class Spooled:
    """A completely received file, with its path, SHA-256 and size in bytes."""

    path: Path
    sha256: str
    size: int


def announced_digest(content_digest: str | None, hexadecimal: str | None) -> str | None:
    """Return the SHA-256 announced by a client, in hexadecimal, or None if it announced none.

    Other algorithms in ``Content-Digest`` (RFC 9530) are ignored, as the RFC requires.

    Args:
        content_digest: the header ``Content-Digest``.
        hexadecimal: the simpler header ``X-Content-SHA256``.

    Raises:
        InvalidDigest: a header does not contain a valid SHA-256.
    """
    if content_digest is not None:
        named = re.search(r"(?:^|,)\s*sha-256=([^,;]*)", content_digest)
        if named is not None:
            value = re.fullmatch(r":([A-Za-z0-9+/=]+):\s*", named[1])
            try:
                digest = base64.b64decode(value[1] if value else "", validate=True)
            except binascii.Error:
                digest = b""
            if len(digest) != hashlib.sha256().digest_size:
                raise InvalidDigest(header="Content-Digest")
            return digest.hex()
    if hexadecimal is not None:
        if not re.fullmatch(r"[0-9a-fA-F]{64}", hexadecimal.strip()):
            raise InvalidDigest(header="X-Content-SHA256")
        return hexadecimal.strip().lower()
    return None


def check_headers(content_type: str | None, content_length: str | None, limit: int) -> None:
    """Refuse a request because of its headers, before the body is read.

    Raises:
        RawBodyRequired: the body is a form.
        TooLarge: the announced length is over ``limit`` bytes.
    """
    if (content_type or "").lower().startswith("multipart/"):
        raise RawBodyRequired
    if content_length is not None and content_length.isdigit() and int(content_length) > limit:
        raise TooLarge(limit=limit)


def declared_size(content_length: str | None) -> int:
    """Return the number of bytes announced by the headers, or 0 if they announce none."""
    return int(content_length) if content_length is not None and content_length.isdigit() else 0


def clean_directory(directory: Path, age: timedelta) -> int:
    """Delete the files in ``directory`` that have not changed for ``age``; return how many.

    Such files are left behind when a process dies.
    """
    removed = 0
    if not directory.is_dir():
        return removed
    before = time.time() - age.total_seconds()
    for path in directory.iterdir():
        try:
            if path.is_file() and path.stat().st_mtime < before:
                path.unlink()
                removed += 1
        except FileNotFoundError:  # another process cleans up, too
            continue
    return removed


@asynccontextmanager
async def clean_periodically(directory: Path) -> AsyncIterator[None]:
    """Clean ``directory`` now and every hour during the block.

    Workers clean only their own machine's spool, so an API on another machine must do so itself.
    """

    async def clean() -> None:
        while True:
            try:
                await to_thread.run_sync(clean_directory, directory, SPOOL_MAX_AGE)
            except OSError as error:
                log.warning("the spool can't be cleaned", error=str(error))
            await sleep(CLEANING_INTERVAL.total_seconds())

    async with create_task_group() as group:
        group.start_soon(clean)
        try:
            yield
        finally:
            group.cancel_scope.cancel()


@contextmanager
def disk_space_required() -> Iterator[None]:
    """Raise :class:`InsufficientStorage` if the disk is full within the block."""
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL_ERRORS:
            raise InsufficientStorage from error
        raise


@asynccontextmanager
async def upload_prefix(directory: Path) -> AsyncIterator[Path]:
    """Yield a path prefix for the files of one upload, and delete these files at the end.

    The files are directly in ``directory``, where :func:`clean_directory` finds those of dead
    processes.
    """
    with disk_space_required():
        await to_thread.run_sync(lambda: directory.mkdir(parents=True, exist_ok=True, mode=0o700))
    prefix = directory / uuid4().hex
    try:
        yield prefix
    finally:
        with CancelScope(shield=True):
            await to_thread.run_sync(_remove, prefix)


def _remove(prefix: Path) -> None:
    for path in prefix.parent.glob(f"{prefix.name}*"):
        path.unlink(missing_ok=True)


async def receive(
    chunks: AsyncIterator[bytes], path: Path, *, limit: int, expected: str | None = None
) -> Spooled:
    """Write a stream to the new file ``path``, hashing it at the same time.

    Raises:
        TooLarge: the stream has more than ``limit`` bytes; the rest is not read.
        DigestMismatch: the content does not have the ``expected`` SHA-256.
        InsufficientStorage: the disk is full.
    """
    digest = hashlib.sha256()
    size = 0
    buffer = bytearray()
    with disk_space_required():
        file = await to_thread.run_sync(lambda: path.open("xb", buffering=0))
        with file:

            def drain() -> None:
                digest.update(buffer)
                with memoryview(buffer) as rest:
                    written = 0
                    while written < len(rest):
                        written += file.write(rest[written:])
                buffer.clear()

            async for chunk in chunks:
                size += len(chunk)
                if size > limit:
                    raise TooLarge(limit=limit)
                buffer += chunk
                if len(buffer) >= BUFFER_BYTES:
                    await to_thread.run_sync(drain)
            await to_thread.run_sync(drain)
    actual = digest.hexdigest()
    if expected is not None and actual != expected:
        raise DigestMismatch(actual=actual, expected=expected)
    return Spooled(path, actual, size)
