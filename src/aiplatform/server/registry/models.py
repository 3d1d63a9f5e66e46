"""Tables for registered models and their aliases."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, String, Text, func
from sqlalchemy.orm import Mapped, mapped_column

from aiplatform.server.core.database import Base, BigKey, Created, Identified


class Model(Identified, Created, Base):
    """A version of a model. Without a project, it is shared by all projects.

    Its columns are fixed by the schema contract (docs/architecture.md).
    """

    __tablename__ = "models"

    project_id: Mapped[int | None] = mapped_column(ForeignKey("projects.id"))
    name: Mapped[str] = mapped_column(String(255))
    version: Mapped[str | None] = mapped_column(String(50))
    framework: Mapped[str | None] = mapped_column(String(100))
    file_path: Mapped[str | None] = mapped_column(String(500))
    size: Mapped[int] = mapped_column(BigInteger, server_default="0")
    metrics: Mapped[dict[str, Any]] = mapped_column(server_default="{}")


class ModelDetails(Base):
    """Columns of a model, such as its card, in addition to those fixed by the schema contract."""

    __tablename__ = "model_details"

    model_id: Mapped[int] = mapped_column(ForeignKey("models.id"), primary_key=True)
    status: Mapped[str] = mapped_column(String(20))
    license: Mapped[str | None] = mapped_column(String(100))
    card: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    error: Mapped[str | None] = mapped_column(Text)
    base_model_id: Mapped[int | None] = mapped_column(ForeignKey("models.id"))
    task_id: Mapped[int | None] = mapped_column(ForeignKey("tasks.id"))
    experiment_id: Mapped[int | None] = mapped_column(ForeignKey("experiments.id"))
    created_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    updated_at: Mapped[datetime] = mapped_column(
        server_default=func.current_timestamp(), onupdate=func.clock_timestamp()
    )


class ModelAlias(Base):
    """An alias, such as ``production``, that points to one version of a model.

    ``reason``, ``moved_by`` and ``moved_at`` describe its last move.
    """

    __tablename__ = "model_aliases"

    id: Mapped[BigKey]
    project_id: Mapped[int | None] = mapped_column(ForeignKey("projects.id"))
    model_name: Mapped[str] = mapped_column(String(255))
    name: Mapped[str] = mapped_column(String(50))
    model_id: Mapped[int] = mapped_column(ForeignKey("models.id"))
    reason: Mapped[str | None] = mapped_column(Text)
    moved_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    moved_at: Mapped[datetime] = mapped_column(
        server_default=func.clock_timestamp(), onupdate=func.clock_timestamp()
    )


class ModelAliasMove(Base):
    """A move of an alias, or its deletion if ``to_version`` is null.

    ``undoes`` is the earlier move that this move undid. The versions are stored as text, too,
    because a model can be deleted permanently.
    """

    __tablename__ = "model_alias_moves"

    id: Mapped[BigKey]
    project_id: Mapped[int | None] = mapped_column(ForeignKey("projects.id"))
    model_name: Mapped[str] = mapped_column(String(255))
    alias: Mapped[str] = mapped_column(String(50))
    from_model_id: Mapped[int | None] = mapped_column(ForeignKey("models.id"))
    from_version: Mapped[str | None] = mapped_column(String(50))
    to_model_id: Mapped[int | None] = mapped_column(ForeignKey("models.id"))
    to_version: Mapped[str | None] = mapped_column(String(50))
    reason: Mapped[str | None] = mapped_column(Text)
    undoes: Mapped[int | None] = mapped_column(ForeignKey("model_alias_moves.id"))
    moved_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    moved_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
