"""Encryption of stored secrets with AES-256-GCM. Each value is bound to the row it belongs to.

The key file has one key per line, 32 bytes in base64; ``#`` begins a comment. The first key
encrypts, and all keys decrypt. To replace a key, add a new one at the top and run the command
``aiplatform db rotate-keys``. All processes of the platform read the same file.

An encrypted value is ``1 | key id | nonce | ciphertext and tag``; the first three parts have 1, 8
and 12 bytes. The id of a key is part of the key's hash, so the key file need not contain ids.

Declare columns for encrypted values with :func:`encrypted_column`, so that key rotation finds them.
"""

import base64
import binascii
import hashlib
import os
import secrets
import stat
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import Column, LargeBinary, Table, func, select, text, tuple_, update
from sqlalchemy.orm import MappedColumn, Session, mapped_column

from aiplatform.server.core.database import AdvisoryLock, Base, transaction
from aiplatform.server.core.errors import Problem
from aiplatform.server.core.settings import get_settings

log = structlog.get_logger(__name__)
VERSION = b"\x01"
KEY_BYTES = 32
ID_BYTES = 8
NONCE_BYTES = 12
HEADER_BYTES = 1 + ID_BYTES
"""Length in bytes of the version and key id at the beginning of an encrypted value."""
MAX_FILE_BYTES = 1 << 16
CONTEXT = "encryption_context"
"""Key in a column's ``info`` under which the column's context template is stored."""


class KeyFileUnusable(Problem):
    """The key file is missing or invalid.

    ``reason`` is shown to the operator, in the log and on the command line. Users do not see it,
    because it contains paths.
    """

    status = 503
    code = "server.key_file_unusable"

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason
        log.error("key file unusable", reason=reason)


class SecretUnreadable(Problem):
    """A stored value can't be decrypted.

    Its key was removed, or the value was altered or copied from another row.
    """

    status = 503
    code = "secret.unreadable"


@dataclass(frozen=True)
class Key:
    """A key in the key file."""

    material: bytes

    @property
    def id(self) -> bytes:
        """The id by which encrypted values refer to this key."""
        return hashlib.sha256(b"aiplatform key id\0" + self.material).digest()[:ID_BYTES]

    @property
    def header(self) -> bytes:
        """The first bytes of all values encrypted with this key."""
        return VERSION + self.id


def encrypt(value: str, context: str) -> bytes:
    """Encrypt ``value`` for ``context``, such as ``"secret:<uuid>"``.

    Decryption requires the same context.

    Raises:
        KeyFileUnusable: there is no usable key file.
    """
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

    key = load_keys(create=True)[0]
    nonce = os.urandom(NONCE_BYTES)
    encrypted = AESGCM(key.material).encrypt(nonce, value.encode(), _bound(key, context))
    return key.header + nonce + encrypted


def decrypt(encrypted: bytes, context: str) -> str:
    """Decrypt a value that :func:`encrypt` returned for the same context.

    Raises:
        KeyFileUnusable: the key file is missing or invalid.
        SecretUnreadable: none of its keys decrypts the value.
    """
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

    for key in load_keys():
        if not secrets.compare_digest(key.header, bytes(encrypted[:HEADER_BYTES])):
            continue
        nonce = encrypted[HEADER_BYTES : HEADER_BYTES + NONCE_BYTES]
        rest = encrypted[HEADER_BYTES + NONCE_BYTES :]
        try:
            return AESGCM(key.material).decrypt(nonce, rest, _bound(key, context)).decode()
        except (InvalidTag, ValueError) as error:
            raise SecretUnreadable from error
    raise SecretUnreadable


def _bound(key: Key, context: str) -> bytes:
    return key.header + context.encode()


def encrypted_column(context: str, *, nullable: bool = False) -> MappedColumn[Any]:
    """Declare a column of encrypted values, for ``Mapped[bytes]``.

    ``context`` identifies the row by columns of the same table, such as ``"totp:{user_id}"``. Their
    values must never change. :func:`context_of` fills them in.
    """
    return mapped_column(LargeBinary, nullable=nullable, info={CONTEXT: context})


def context_of(column: Any, **values: Any) -> str:
    """Return the context of a row's encrypted value: ``context_of(Totp.seed, user_id=7)``."""
    template: str = column.info[CONTEXT]
    return template.format_map(values)


# --- the key file -----------------------------------------------------------------------------


def key_path() -> Path:
    """Return the path of the key file."""
    settings = get_settings()
    return settings.key_file or settings.home / "keys" / "secrets.key"


def load_keys(*, create: bool = False) -> tuple[Key, ...]:
    """Return the keys in the key file, starting with the one that encrypts.

    With ``create``, a missing default file is created. A file named by ``AIPLATFORM_KEY_FILE`` must
    exist: if each machine created its own, none could decrypt the others' values.

    Raises:
        KeyFileUnusable: the file is missing or invalid; the message says why.
    """
    path = key_path()
    try:
        found = path.stat()
    except FileNotFoundError:
        if not create or get_settings().key_file is not None:
            hint = "" if get_settings().key_file is None else " (AIPLATFORM_KEY_FILE)"
            raise KeyFileUnusable(
                f"the key file {path}{hint} does not exist; restore it, or create one with "
                "`aiplatform db rotate-keys --new-key`"
            ) from None
        make_key_file(path)
        return load_keys()
    except OSError as error:
        raise KeyFileUnusable(f"the key file {path} can't be read: {error.strerror}") from error
    # The cache key includes the file's size and time of change, so a changed file takes effect
    # without a restart.
    return _read(path, found.st_mtime_ns, found.st_ino, found.st_size, found.st_mode)


@lru_cache(maxsize=4)
def _read(path: Path, _changed: int, _inode: int, size: int, mode: int) -> tuple[Key, ...]:
    if not stat.S_ISREG(mode):
        raise KeyFileUnusable(f"the key file {path} is not a regular file")
    if mode & (stat.S_IRWXO | stat.S_IWGRP):
        # The group may read the file, because that is how orchestrators pass secrets to a process.
        raise KeyFileUnusable(
            f"the key file {path} is open to other users (mode {stat.S_IMODE(mode):04o}); "
            f"run `chmod 600 {path}`"
        )
    if size > MAX_FILE_BYTES:
        raise KeyFileUnusable(f"the key file {path} is larger than any key file is")
    try:
        lines = path.read_text("ascii").splitlines()
    except OSError as error:
        raise KeyFileUnusable(f"the key file {path} can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise KeyFileUnusable(f"the key file {path} contains something other than keys") from error
    keys = []
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        try:
            material = base64.b64decode(text, altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            material = b""
        if len(material) != KEY_BYTES:
            raise KeyFileUnusable(
                f"line {number} of the key file {path} is not a key: 32 bytes in base64"
            )
        keys.append(Key(material))
    if not keys:
        raise KeyFileUnusable(f"the key file {path} has no key in it")
    return tuple(keys)


def _new_line() -> str:
    return base64.urlsafe_b64encode(os.urandom(KEY_BYTES)).decode()


def make_key_file(path: Path) -> None:
    """Create a file with one new key, unless another process does so at the same moment.

    Raises:
        KeyFileUnusable: the file can't be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = _write_draft(path, _new_line() + "\n")
        try:
            # Use a link because, unlike a rename, it fails if another process was first. Both
            # processes then read that process's key.
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
        _sync(path.parent)
    except OSError as error:
        raise KeyFileUnusable(f"the key file {path} can't be created: {error.strerror}") from error


def add_key() -> None:
    """Add a new key at the top of the key file. The other keys remain and can still decrypt.

    A missing file is created.

    Raises:
        KeyFileUnusable: the file is invalid or can't be written.
    """
    path = key_path()
    if not path.exists():
        make_key_file(path)
        return
    load_keys()
    try:
        draft = _write_draft(path, _new_line() + "\n" + path.read_text("ascii"))
        draft.replace(path)
        _sync(path.parent)
    except OSError as error:
        raise KeyFileUnusable(f"the key file {path} can't be written: {error.strerror}") from error


def _write_draft(path: Path, text: str) -> Path:
    draft = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return draft


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


BATCH = 500


@dataclass
class Rotated:
    """The result for one column: the numbers of re-encrypted values and of unreadable values.

    Unreadable values are not changed.
    """

    column: str
    encrypted_again: int = 0
    unreadable: int = 0


def encrypted_columns() -> list[Column[bytes]]:
    """Return all columns that were declared with :func:`encrypted_column`."""
    return [
        column
        for table in Base.metadata.sorted_tables
        for column in table.columns
        if CONTEXT in column.info
    ]


def rotate(*, new_key: bool = False) -> list[Rotated]:
    """Re-encrypt all values that were not encrypted with the first key of the key file.

    With ``new_key``, a new first key is added before that.

    Raises:
        KeyFileUnusable: the key file is missing or invalid; the message says why.
    """
    with transaction() as session:
        # If two commands added a key at the same time, one would overwrite the other's key.
        session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": int(AdvisoryLock.KEYS)})
        if new_key:
            add_key()
        return [_rotate_column(column) for column in encrypted_columns()]


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
    """Re-encrypt one batch. Return the last row's primary key, or None at the end."""
    header = load_keys(create=True)[0].header
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
        context = str(column.info[CONTEXT]).format_map(dict(row))
        try:
            value = decrypt(row[column.name], context)
        except SecretUnreadable:
            done.unreadable += 1
            continue
        mine = [key == row[key.name] for key in keys]
        anew = encrypt(value, context)
        session.execute(update(table).where(*mine).values({**stay, column.name: anew}))
        done.encrypted_again += 1
    return tuple(rows[-1][key.name] for key in keys) if len(rows) == BATCH else None
