"""Datasets, their immutable versions, and reports."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, String, Text, func
from sqlalchemy.orm import Mapped, mapped_column

from aiplatform.server.core.database import Base, Created, Identified, Updated


class Dataset(Identified, Updated, Base):
    """The head of a dataset; the contract's table. ``size`` in bytes, of the current version."""

    __tablename__ = "datasets"

    project_id: Mapped[int | None] = mapped_column(ForeignKey("projects.id"))
    name: Mapped[str] = mapped_column(String(255))
    file_path: Mapped[str | None] = mapped_column(String(500))
    size: Mapped[int] = mapped_column(BigInteger, server_default="0")
    format: Mapped[str | None] = mapped_column(String(50))
    version: Mapped[str] = mapped_column(String(50), server_default="v1")
    status: Mapped[str] = mapped_column(String(50), server_default="uploaded")
    quality_report: Mapped[dict[str, Any]] = mapped_column(server_default="{}")


class DatasetDetails(Base):
    """What a dataset needs and the contract has no column for."""

    __tablename__ = "dataset_details"

    dataset_id: Mapped[int] = mapped_column(ForeignKey("datasets.id"), primary_key=True)
    shape: Mapped[str | None] = mapped_column(String(30))
    created_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))


class DatasetVersion(Identified, Created, Base):
    """An immutable commit; the contract's table. Hash, size (bytes) and rows are the Parquet's."""

    __tablename__ = "dataset_versions"

    dataset_id: Mapped[int | None] = mapped_column(ForeignKey("datasets.id"))
    version: Mapped[str] = mapped_column(String(20))
    parent_version_id: Mapped[int | None] = mapped_column(ForeignKey("dataset_versions.id"))
    commit_message: Mapped[str | None] = mapped_column(Text)
    file_hash: Mapped[str | None] = mapped_column(String(64))
    row_count: Mapped[int] = mapped_column(server_default="0")
    file_size: Mapped[int] = mapped_column(BigInteger, server_default="0")
    created_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))


class DatasetVersionDetails(Base):
    """What a version needs and the contract has no column for."""

    __tablename__ = "dataset_version_details"

    version_id: Mapped[int] = mapped_column(ForeignKey("dataset_versions.id"), primary_key=True)
    shape: Mapped[str] = mapped_column(String(30))
    format: Mapped[str] = mapped_column(String(50))
    filename: Mapped[str | None] = mapped_column(String(255))
    columns: Mapped[list[Any]] = mapped_column(server_default="[]")
    upload: Mapped[dict[str, Any]] = mapped_column(server_default="{}")


class QualityReport(Base):
    """The report of one version."""

    __tablename__ = "quality_reports"

    version_id: Mapped[int] = mapped_column(ForeignKey("dataset_versions.id"), primary_key=True)
    report: Mapped[dict[str, Any]]
    task_id: Mapped[int | None] = mapped_column(ForeignKey("tasks.id"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.current_timestamp())
