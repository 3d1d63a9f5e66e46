"""Tables for experiments and their runs, and for the config values and metrics used in searches."""

from datetime import datetime
from typing import Any

from sqlalchemy import Double, ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from aiplatform.server.core.database import Base, Identified, Updated


class Experiment(Identified, Updated, Base):
    """A base model and a training spec (``config``).

    Its columns are fixed by the schema contract (docs/architecture.md).
    """

    __tablename__ = "experiments"

    project_id: Mapped[int | None] = mapped_column(ForeignKey("projects.id"))
    name: Mapped[str] = mapped_column(String(255))
    base_model: Mapped[str | None] = mapped_column(String(255))
    task_type: Mapped[str | None] = mapped_column(String(50))
    status: Mapped[str] = mapped_column(String(50), server_default="pending")
    config: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    metrics: Mapped[dict[str, Any]] = mapped_column(server_default="{}")


class ExperimentDetails(Base):
    """Columns of an experiment in addition to those fixed by the schema contract.

    ``note`` is Markdown.
    """

    __tablename__ = "experiment_details"

    experiment_id: Mapped[int] = mapped_column(ForeignKey("experiments.id"), primary_key=True)
    description: Mapped[str | None] = mapped_column(Text)
    note: Mapped[str | None] = mapped_column(Text)
    archived_at: Mapped[datetime | None]
    cloned_from: Mapped[int | None] = mapped_column(ForeignKey("experiments.id"))
    base_model_id: Mapped[int | None] = mapped_column(ForeignKey("models.id"))
    created_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))


class ExperimentTag(Base):
    """A label on an experiment, by which users find it."""

    __tablename__ = "experiment_tags"

    experiment_id: Mapped[int] = mapped_column(ForeignKey("experiments.id"), primary_key=True)
    tag: Mapped[str] = mapped_column(String(50), primary_key=True)


class RunDetails(Base):
    """The metrics and reproduction record of a run. A trigger inserts the row for each new run.

    ``record`` contains what is needed to repeat the run (see ``rules.record_of``).
    """

    __tablename__ = "run_details"

    task_id: Mapped[int] = mapped_column(ForeignKey("tasks.id"), primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"))
    experiment_id: Mapped[int | None] = mapped_column(ForeignKey("experiments.id"))
    metrics: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    record: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    rerun_of: Mapped[int | None] = mapped_column(ForeignKey("tasks.id"))


class ExperimentFact(Base):
    """A value in an experiment's config or metrics, with its path; maintained by triggers."""

    __tablename__ = "experiment_facts"

    owner_id: Mapped[int] = mapped_column(ForeignKey("experiments.id"), primary_key=True)
    project_id: Mapped[int]
    path: Mapped[str] = mapped_column(String(300), primary_key=True)
    number: Mapped[float | None] = mapped_column(Double)
    word: Mapped[str | None] = mapped_column(String(300))


class RunFact(Base):
    """A value in a run's config or metrics, with its path; maintained by triggers."""

    __tablename__ = "run_facts"

    owner_id: Mapped[int] = mapped_column(ForeignKey("run_details.task_id"), primary_key=True)
    project_id: Mapped[int]
    path: Mapped[str] = mapped_column(String(300), primary_key=True)
    number: Mapped[float | None] = mapped_column(Double)
    word: Mapped[str | None] = mapped_column(String(300))
