"""Tables for seals (hashes over batches of audit rows), signatures, archives and verifications.

The tables of the audit rows are in :mod:`aiplatform.server.core.audit`.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, FetchedValue, ForeignKey, LargeBinary, String, Text, func
from sqlalchemy.dialects.postgresql import INT4MULTIRANGE, Range
from sqlalchemy.orm import Mapped, mapped_column

from aiplatform.server.core.database import Base, BigKey


class AuditSeal(Base):
    """A sealed batch of rows; see :class:`aiplatform.server.audit.rules.chain.Seal`."""

    __tablename__ = "audit_seals"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    sealed_at: Mapped[datetime]
    ids: Mapped[list[Range[int]]] = mapped_column(INT4MULTIRANGE)
    root: Mapped[bytes] = mapped_column(LargeBinary)
    previous: Mapped[bytes] = mapped_column(LargeBinary)
    head: Mapped[bytes] = mapped_column(LargeBinary)
    leaves: Mapped[bytes] = mapped_column(LargeBinary, deferred=True)


class AuditSignature(Base):
    """An operator's signature on a seal. It also covers all earlier seals."""

    __tablename__ = "audit_signatures"

    seal_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    key_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    signature: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(server_default=func.current_timestamp())


class AuditArchive(Base):
    """An archive: one blob with consecutive seals and the rows that they cover.

    If ``pruned_at`` is set, the rows have been deleted from the table and are only in the archive.
    """

    __tablename__ = "audit_archives"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    first_seal: Mapped[int] = mapped_column(BigInteger)
    last_seal: Mapped[int] = mapped_column(BigInteger)
    rows: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    size: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(server_default=func.current_timestamp())
    pruned_at: Mapped[datetime | None]


class AuditVerification(Base):
    """A user-requested verification of the trail; ``result`` is empty until it has ended.

    The user's name is kept when the account is deleted.
    """

    __tablename__ = "audit_verifications"

    id: Mapped[BigKey]
    uuid: Mapped[UUID] = mapped_column(server_default=FetchedValue(), unique=True)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    user_uuid: Mapped[UUID | None]
    username: Mapped[str | None] = mapped_column(String(50))
    started_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    ended_at: Mapped[datetime | None]
    result: Mapped[dict[str, Any] | None]
    error: Mapped[str | None] = mapped_column(Text)
