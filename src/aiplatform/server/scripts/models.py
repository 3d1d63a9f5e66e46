"""The table of code bundles."""

from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, FetchedValue, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from aiplatform.server.core.database import Base, BigKey, Created


class CodeBundle(Created, Base):
    """A .tar.gz archive of code. ``source`` is its origin, such as a git commit."""

    __tablename__ = "code_bundles"

    id: Mapped[BigKey]
    uuid: Mapped[UUID] = mapped_column(server_default=FetchedValue(), unique=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"))
    name: Mapped[str] = mapped_column(String(100))
    sha256: Mapped[str] = mapped_column(String(64))
    size: Mapped[int] = mapped_column(BigInteger)
    files: Mapped[int]
    unpacked_bytes: Mapped[int] = mapped_column(BigInteger)
    source: Mapped[dict[str, Any] | None]
    created_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
