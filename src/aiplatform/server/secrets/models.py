"""The table of users' and projects' secrets, whose values are encrypted."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from aiplatform.server.core.database import Base, BigKey, Updated
from aiplatform.server.core.encryption import encrypted_column


class Secret(Updated, Base):
    """A named secret of a user (``user_id``) or of a project (``project_id``)."""

    __tablename__ = "secrets"

    id: Mapped[BigKey]
    uuid: Mapped[UUID] = mapped_column(unique=True)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    project_id: Mapped[int | None] = mapped_column(ForeignKey("projects.id"))
    name: Mapped[str] = mapped_column(String(100))
    kind: Mapped[str] = mapped_column(String(20))
    value: Mapped[bytes] = encrypted_column("secret:{uuid}")
    last_used_at: Mapped[datetime | None]
