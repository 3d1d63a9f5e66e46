"""Tables for registered models."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, String, Text, func
from sqlalchemy.orm import Mapped, mapped_column

from aiplatform.server.core.database import Base, Created, Identified


class Model(Identified, Created, Base):
    """A version of a model; a contract table. Without a project, it is shared by all."""

    __tablename__ = "models"

    project_id: Mapped[int | None] = mapped_column(ForeignKey("projects.id"))
    name: Mapped[str] = mapped_column(String(255))
    version: Mapped[str | None] = mapped_column(String(50))
    framework: Mapped[str | None] = mapped_column(String(100))
    file_path: Mapped[str | None] = mapped_column(String(500))
    size: Mapped[int] = mapped_column(BigInteger, server_default="0")
    metrics: Mapped[dict[str, Any]] = mapped_column(server_default="{}")


class ModelDetails(Base):
    """A model's columns that the contract table lacks, such as its status, card and lineage."""

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
