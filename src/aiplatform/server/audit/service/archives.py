"""Archives: sealed batches of rows in the blob store. Archived rows can be deleted from the table.

An archive is a compressed file in the format of an export of whole seals. It is verified before its
rows are pruned. The seals remain in the database, because they are small and the chain must have no
gaps.
"""

import gzip
import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from aiplatform.data.blobs import BlobDamagedError, BlobNotFoundError
from aiplatform.server.audit.models import AuditArchive, AuditSeal
from aiplatform.server.audit.rules import lines
from aiplatform.server.audit.service.exports import sealed_lines
from aiplatform.server.audit.service.file_verification import read_lines, verify_file
from aiplatform.server.core.database import AdvisoryLock, transaction
from aiplatform.server.core.settings import get_settings
from aiplatform.server.core.storage import get_store, store_file

SEALS_AT_ONCE = 200
ROWS_AT_ONCE = 100_000


class ArchiveMismatchError(RuntimeError):
    """An archive does not match its rows or seals. The rows remain in the table."""


def archive_all(days: int) -> int:
    """Archive the sealed batches that are at least ``days`` old, and return the number of rows."""
    rows = 0
    while True:
        with transaction() as session:
            made = _archive_next(session, days)
        if made is None:
            return rows
        rows += made


def _archive_next(session: Session, days: int) -> int | None:
    """Archive consecutive seals and return the number of their rows.

    Return None if no seal is old enough, or another process is archiving.
    """
    lock = func.pg_try_advisory_xact_lock(int(AdvisoryLock.AUDIT_ARCHIVE))
    if not session.scalar(select(lock)):
        return None
    last = session.scalar(select(func.max(AuditArchive.last_seal))) or 0
    old = func.clock_timestamp() - func.make_interval(0, 0, 0, days)
    seals = session.execute(
        select(AuditSeal.id, func.length(AuditSeal.leaves) / 32)
        .where(AuditSeal.id > last, AuditSeal.sealed_at < old)
        .order_by(AuditSeal.id)
        .limit(SEALS_AT_ONCE)
    ).all()
    through, rows = 0, 0
    for number, size in seals:
        if rows and rows + size > ROWS_AT_ONCE:
            break
        through, rows = number, rows + int(size)
    if not rows:
        return None
    directory = get_settings().spool_dir
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.NamedTemporaryFile(dir=directory, prefix="audit-") as file:
        # The gzip header has no file name or time, so that the same rows give the same bytes.
        with gzip.GzipFile("", "wb", 6, file, mtime=0) as packed:
            for line in sealed_lines(session, last + 1, through):
                packed.write(line.encode() + b"\n")
        file.flush()
        path = Path(file.name)
        verdict = verify_file(path)
        if not verdict.is_intact:
            raise ArchiveMismatchError(verdict.findings[0].text)
        size = path.stat().st_size
        with path.open("rb") as whole:
            sha256 = hashlib.file_digest(whole, "sha256").hexdigest()
        store_file(session, path, sha256, size)
    session.execute(
        insert(AuditArchive).values(
            first_seal=last + 1, last_seal=through, rows=rows, sha256=sha256, size=size
        )
    )
    return rows


def rows_of_archive(sha256: str) -> Iterator[tuple[int, str]]:
    """Yield the numbers and canonical texts of the rows in an archive.

    Raises:
        OSError: when the blob store can't be read.
        ValueError: when the archive is missing, does not match its hash, or is malformed.
    """
    with tempfile.TemporaryDirectory(prefix="aip-audit-") as directory:
        path = _fetch(sha256, Path(directory))
        with path.open("rb") as file:
            for line in read_lines(file):
                kind, content = lines.parse(line)
                if kind == "row":
                    yield content["id"], line.decode()


def prune(url: str, days: int) -> int:
    """Delete rows that were archived more than ``days`` ago; return their number.

    This runs as the database role that owns the tables. Each archive is first fetched and compared
    with the seals in the database.

    Raises:
        ArchiveMismatchError: when an archive differs from the sealed rows.
        psycopg.Error: when the role lacks the privilege, or the database does not answer.
    """
    pruned = 0
    with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
        due = connection.execute(
            "SELECT id, first_seal, last_seal, sha256 FROM audit_archives WHERE pruned_at IS NULL"
            " AND created_at < clock_timestamp() - make_interval(days => %s) ORDER BY id",
            [days],
        ).fetchall()
        for archive, first, last, sha256 in due:
            _compare_with_seals(connection, sha256, first, last)
            with connection.transaction():
                connection.execute(
                    "UPDATE audit_archives SET pruned_at = clock_timestamp() WHERE id = %s",
                    [archive],
                )
                for table, key in (("audit_entries", "audit_id"), ("audit_logs", "id")):
                    done = connection.execute(
                        f"DELETE FROM {table} t USING audit_seals s, unnest(s.ids) r"  # noqa: S608
                        f" WHERE s.id BETWEEN %s AND %s"
                        f" AND t.{key} >= lower(r) AND t.{key} < upper(r)",
                        [first, last],
                    )
            pruned += done.rowcount
    return pruned


def _compare_with_seals(
    connection: "psycopg.Connection[tuple[object, ...]]", sha256: str, first: int, last: int
) -> None:
    with tempfile.TemporaryDirectory(prefix="aip-audit-") as directory:
        try:
            path = _fetch(sha256, Path(directory))
        except (OSError, ValueError) as error:
            raise ArchiveMismatchError(f"archive {sha256}: {error}") from error
        verdict = verify_file(path)
        if not verdict.is_intact:
            raise ArchiveMismatchError(f"archive {sha256}: {verdict.findings[0].text}")
        heads = []
        with path.open("rb") as file:
            for line in read_lines(file):
                kind, content = lines.parse(line)
                if kind == "seal":
                    heads.append((content["id"], bytes.fromhex(content["head"])))
    known = connection.execute(
        "SELECT id, head FROM audit_seals WHERE id BETWEEN %s AND %s ORDER BY id", [first, last]
    ).fetchall()
    if known != heads:
        raise ArchiveMismatchError(f"archive {sha256}: its seals are not the database's")


def _fetch(sha256: str, directory: Path) -> Path:
    path = directory / "archive.jsonl.gz"
    try:
        get_store().fetch(sha256, path)
    except BlobNotFoundError as error:
        raise ValueError("the store does not have it") from error
    except BlobDamagedError as error:  # raised by stores that fetch over a network
        raise ValueError("the store has something else under this name") from error
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
            raise ValueError("the store has something else under this name")
    return path
