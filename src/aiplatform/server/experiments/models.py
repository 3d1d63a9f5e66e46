"""Experiments."""

from typing import Any

from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from aiplatform.server.core.database import Base, Identified, Updated


class Experiment(Identified, Updated, Base):
    """A question asked of a base model; the contract's table. ``config`` is the training spec."""

    __tablename__ = "experiments"

    project_id: Mapped[int | None] = mapped_column(ForeignKey("projects.id"))
    name: Mapped[str] = mapped_column(String(255))
    base_model: Mapped[str | None] = mapped_column(String(255))
    task_type: Mapped[str | None] = mapped_column(String(50))
    status: Mapped[str] = mapped_column(String(50), server_default="pending")
    config: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    metrics: Mapped[dict[str, Any]] = mapped_column(server_default="{}")


class ExperimentDetails(Base):
    """What an experiment needs and the contract has no column for."""

    __tablename__ = "experiment_details"

    experiment_id: Mapped[int] = mapped_column(ForeignKey("experiments.id"), primary_key=True)
    description: Mapped[str | None] = mapped_column(Text)
    base_model_id: Mapped[int | None] = mapped_column(ForeignKey("models.id"))
    created_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
