"""Deployments."""

from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, String, Text, func
from sqlalchemy.orm import Mapped, mapped_column

from aiplatform.server.core.database import Base, Updated


class Deployment(Updated, Base):
    """A model that answers under a name. Each run of its server is a task of type inference.

    ``endpoint`` and ``endpoint_token`` are set while the server is ready: where it listens, and the
    token it was given for this one run.
    """

    __tablename__ = "deployments"

    id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[UUID] = mapped_column(server_default=func.gen_random_uuid())
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"))
    name: Mapped[str] = mapped_column(String(100))
    model_id: Mapped[int | None] = mapped_column(ForeignKey("models.id"))
    spec: Mapped[dict[str, Any]]
    status: Mapped[str] = mapped_column(String(20))
    task_id: Mapped[int | None] = mapped_column(ForeignKey("tasks.id"))
    endpoint: Mapped[str | None] = mapped_column(String(500))
    endpoint_token: Mapped[str | None] = mapped_column(String(100))
    restarts: Mapped[int] = mapped_column(server_default="0")
    error: Mapped[str | None] = mapped_column(Text)
    created_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
