"""Tables for deployments."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, String, Text, func
from sqlalchemy.orm import Mapped, mapped_column

from aiplatform.server.core.database import Base, Updated


class Deployment(Updated, Base):
    """A model that is served under a name. Each run of its server is a task of type inference.

    ``follows`` is the alias, as ``name@alias``, whose moves update the deployment.

    ``endpoint`` and ``endpoint_token`` are set while the server is ready: its address, and the
    token of this run.

    During an update, ``next_task_id`` is the run of the server that will take over, and
    ``next_model_id`` and ``next_spec`` describe what it serves. ``update_error`` is the reason why
    the last update failed.
    """

    __tablename__ = "deployments"

    id: Mapped[int] = mapped_column(primary_key=True)
    uuid: Mapped[UUID] = mapped_column(server_default=func.gen_random_uuid())
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"))
    name: Mapped[str] = mapped_column(String(100))
    model_id: Mapped[int | None] = mapped_column(ForeignKey("models.id"))
    follows: Mapped[str | None] = mapped_column(String(160))
    spec: Mapped[dict[str, Any]]
    status: Mapped[str] = mapped_column(String(20))
    task_id: Mapped[int | None] = mapped_column(ForeignKey("tasks.id"))
    endpoint: Mapped[str | None] = mapped_column(String(500))
    endpoint_token: Mapped[str | None] = mapped_column(String(100))
    restarts: Mapped[int] = mapped_column(server_default="0")
    error: Mapped[str | None] = mapped_column(Text)
    next_task_id: Mapped[int | None] = mapped_column(ForeignKey("tasks.id"))
    next_model_id: Mapped[int | None] = mapped_column(ForeignKey("models.id"))
    next_spec: Mapped[dict[str, Any] | None]
    update_error: Mapped[str | None] = mapped_column(Text)
    created_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))


class DeploymentRetirement(Base):
    """A replaced model server that is finishing its responses in progress.

    The row is deleted when its task has ended, or when the server must stop immediately.
    """

    __tablename__ = "deployment_retirements"

    task_id: Mapped[int] = mapped_column(ForeignKey("tasks.id"), primary_key=True)
    deployment_id: Mapped[int] = mapped_column(ForeignKey("deployments.id"))
    endpoint_token: Mapped[str] = mapped_column(String(100))
    retired_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
