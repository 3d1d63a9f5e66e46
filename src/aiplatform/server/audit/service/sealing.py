"""Sealing: each seal covers the audit rows that were committed since the previous seal.

Writers do not wait: each row puts its number into a queue within its own transaction, and one
sealer at a time takes committed numbers from it. A row whose transaction commits late enters the
queue late and is covered by a later seal. Reading rows by number or time instead could skip some.
"""

from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import Range
from sqlalchemy.orm import Session

from aiplatform.server.audit.models import AuditSeal, AuditSignature
from aiplatform.server.audit.rules.chain import GENESIS, ROW_TEXT, Head, Seal, row_leaf
from aiplatform.server.audit.rules.signatures import key_id, read_private, sign
from aiplatform.server.core.database import AdvisoryLock, transaction

BATCH = 10_000
"""Maximum number of rows in a seal. A proof then has 14 hashes; sealing takes under a second."""

_UNSEALED = text(
    f"""
    SELECT l.id, {ROW_TEXT} FROM audit_unsealed u
    JOIN audit_logs l ON l.id = u.audit_id JOIN audit_entries e ON e.audit_id = l.id
    ORDER BY u.audit_id LIMIT :max_rows
    """  # noqa: S608  (a constant)
)
_DELETE_QUEUED = text("DELETE FROM audit_unsealed WHERE audit_id = ANY(:numbers)")


def seal_all(key_file: Path | None = None, *, max_rows: int = BATCH) -> int:
    """Seal all waiting rows, using one transaction per seal, and return their number.

    Raises:
        OSError: when ``key_file`` can't be read; nothing is sealed in that case.
        InvalidKeyError: when the file contains no private key; nothing is sealed in that case.
    """
    key = None if key_file is None else read_private(key_file.read_bytes())
    rows = 0
    while True:
        with transaction() as session:
            seal = seal_next(session, max_rows=max_rows)
            if seal is not None and key is not None:
                session.add(
                    AuditSignature(
                        seal_id=seal.id,
                        key_id=key_id(key.public_key()),
                        signature=sign(key, seal.head),
                    )
                )
        if seal is None:
            return rows
        rows += seal.size


def seal_next(session: Session, *, max_rows: int = BATCH) -> Seal | None:
    """Seal up to ``max_rows`` waiting rows.

    Return None if no rows are waiting or another process is sealing.
    """
    lock = func.pg_try_advisory_xact_lock(int(AdvisoryLock.AUDIT_SEAL))
    if not session.scalar(select(lock)):
        return None
    rows = session.execute(_UNSEALED, {"max_rows": max_rows}).all()
    if not rows:
        return None
    last = session.execute(
        select(AuditSeal.id, AuditSeal.head).order_by(AuditSeal.id.desc()).limit(1)
    ).one_or_none()
    now = session.scalars(select(func.clock_timestamp())).one()
    seal = Seal.create(
        1 if last is None else last.id + 1,
        time_text(now),
        [(number, row_leaf(line)) for number, line in rows],
        GENESIS if last is None else last.head,
    )
    session.add(
        AuditSeal(
            id=seal.id,
            sealed_at=now,
            ids=[Range(first, last + 1) for first, last in seal.ranges],
            root=seal.root,
            previous=seal.previous,
            head=seal.head,
            leaves=b"".join(seal.leaves),
        )
    )
    session.flush()
    session.execute(_DELETE_QUEUED, {"numbers": [number for number, _ in rows]})
    return seal


def sign_head(session: Session, key_file: Path) -> Head | None:
    """Sign the newest seal, which covers all earlier ones. Return None if there is no seal.

    Raises:
        OSError: when ``key_file`` can't be read.
        InvalidKeyError: when it contains no private key.
    """
    key = read_private(key_file.read_bytes())
    head = newest(session)
    name = key_id(key.public_key())
    if head is not None and session.get(AuditSignature, (head.id, name)) is None:
        session.add(AuditSignature(seal_id=head.id, key_id=name, signature=sign(key, head.hash)))
        session.flush()
    return head


def newest(session: Session) -> Head | None:
    """Return the newest seal's number and hash, for storage elsewhere; None if there is no seal."""
    row = session.execute(
        select(AuditSeal.id, AuditSeal.head).order_by(AuditSeal.id.desc()).limit(1)
    ).one_or_none()
    return None if row is None else Head(row.id, row.head)


def time_text(time: datetime) -> str:
    """Return a seal's time as text in the form that is hashed: in UTC, with microseconds."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
