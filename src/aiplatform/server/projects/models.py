"""Tables for projects, their members, invitations, saved views, bin and quotas."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, FetchedValue, ForeignKey, String, Text, func
from sqlalchemy.orm import Mapped, mapped_column

from aiplatform.server.core.database import Base, BigKey, Identified, Updated


class Project(Identified, Updated, Base):
    """A project, which separates tenants.

    Its columns are fixed by the schema contract (docs/architecture.md).
    """

    __tablename__ = "projects"

    name: Mapped[str] = mapped_column(String(255))
    description: Mapped[str | None] = mapped_column(Text)
    owner_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    status: Mapped[str] = mapped_column(String(50), server_default="active")
    config: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    tags: Mapped[list[str]] = mapped_column(server_default="[]")


class ProjectPermission(Base):
    """A user's role in a project.

    Its columns are fixed by the schema contract (docs/architecture.md).
    """

    __tablename__ = "project_permissions"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"))
    role_id: Mapped[int] = mapped_column(ForeignKey("roles.id"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.current_timestamp())


class ProjectInvitation(Identified, Base):
    """An invitation to a project, which the invited user accepts or declines.

    ``user_id`` is null if no account has the name; such an invitation is visible only in the
    project.
    """

    __tablename__ = "project_invitations"

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"))
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    username: Mapped[str] = mapped_column(String(50))
    role_id: Mapped[int] = mapped_column(ForeignKey("roles.id"))
    invited_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class SavedView(Updated, Base):
    """The filters, order and columns of a list, saved under a name by a user."""

    __tablename__ = "saved_views"

    id: Mapped[BigKey]
    uuid: Mapped[UUID] = mapped_column(server_default=FetchedValue(), unique=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"))
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    page: Mapped[str] = mapped_column(String(20))
    name: Mapped[str] = mapped_column(String(100))
    state: Mapped[dict[str, Any]]
    shared: Mapped[bool] = mapped_column(default=False)


class BinHome(Base):
    """The hidden project that holds deleted datasets and models. The table has a single row."""

    __tablename__ = "bin_home"

    only_one: Mapped[bool] = mapped_column(primary_key=True, default=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"))


class BinEntry(Base):
    """A deleted resource that can be restored until ``purge_after``.

    ``project_id`` is the deleted project itself, or the project of the deleted dataset or model.
    ``shared`` marks a model that belonged to no project. ``name`` is the resource's previous name,
    and ``was_status`` is a project's previous status.
    """

    __tablename__ = "bin_entries"

    id: Mapped[BigKey]
    resource_uuid: Mapped[UUID]
    kind: Mapped[str] = mapped_column(String(20))
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"))
    # Keys into tables of higher domains.
    dataset_id: Mapped[int | None]
    model_id: Mapped[int | None]
    name: Mapped[str] = mapped_column(String(255))
    version: Mapped[str | None] = mapped_column(String(50))
    shared: Mapped[bool] = mapped_column(default=False)
    was_status: Mapped[str | None] = mapped_column(String(50))
    deleted_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    deleted_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    purge_after: Mapped[datetime]


class ProjectQuota(Base):
    """The limits of one project; null means the platform's default."""

    __tablename__ = "project_quotas"

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"), primary_key=True)
    storage_bytes: Mapped[int | None] = mapped_column(BigInteger)
    concurrent_tasks: Mapped[int | None]
    gpus: Mapped[int | None]
    max_priority: Mapped[int | None]
    updated_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    updated_at: Mapped[datetime] = mapped_column(
        server_default=func.clock_timestamp(), onupdate=func.clock_timestamp()
    )


class ProjectUsage(Base):
    """A project's running tasks and their GPUs, and its past usage, which affects the queue.

    The rows are written by triggers.
    """

    __tablename__ = "project_usage"

    project_id: Mapped[int] = mapped_column(primary_key=True)
    usage: Mapped[float] = mapped_column(server_default="0")
    rate: Mapped[float] = mapped_column(server_default="0")
    running: Mapped[int] = mapped_column(server_default="0")
    gpus: Mapped[int] = mapped_column(server_default="0")
    as_of: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class ProjectStorage(Base):
    """A row that is locked before a project stores more, so that its usage is counted safely."""

    __tablename__ = "project_storage"

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"), primary_key=True)
