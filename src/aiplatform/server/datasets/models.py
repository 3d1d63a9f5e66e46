"""Tables for datasets, their immutable versions, tags, uploads, quality reports and gates."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, String, Text, func
from sqlalchemy.orm import Mapped, mapped_column

from aiplatform.server.core.database import Base, Created, Identified, Updated


class Dataset(Identified, Updated, Base):
    """A dataset, with properties of its current version. ``size`` is in bytes.

    Its columns are fixed by the schema contract (docs/architecture.md).
    """

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
    """Columns of a dataset in addition to those fixed by the schema contract."""

    __tablename__ = "dataset_details"

    dataset_id: Mapped[int] = mapped_column(ForeignKey("datasets.id"), primary_key=True)
    shape: Mapped[str | None] = mapped_column(String(30))
    created_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    last_number: Mapped[int] = mapped_column(server_default="0")


class DatasetTag(Base):
    """A name for a version, which can be moved to another version."""

    __tablename__ = "dataset_tags"

    dataset_id: Mapped[int] = mapped_column(ForeignKey("datasets.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(50), primary_key=True)
    version_id: Mapped[int] = mapped_column(ForeignKey("dataset_versions.id"))
    moved_by: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    moved_at: Mapped[datetime] = mapped_column(server_default=func.current_timestamp())


class DatasetUpload(Identified, Created, Base):
    """A resumable upload.

    ``length`` is in bytes. ``facts`` holds the values that a plain upload passes as query
    parameters.
    """

    __tablename__ = "dataset_uploads"

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"))
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    length: Mapped[int] = mapped_column(BigInteger)
    facts: Mapped[dict[str, Any]]
    status: Mapped[str] = mapped_column(String(20), server_default="receiving")
    result: Mapped[dict[str, Any] | None]
    expires_at: Mapped[datetime]


class DatasetVersion(Identified, Created, Base):
    """An immutable commit. Its columns are fixed by the schema contract (docs/architecture.md).

    ``file_hash``, ``file_size`` (bytes) and ``row_count`` describe the canonical Parquet file.
    """

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
    """Columns of a version in addition to those fixed by the schema contract."""

    __tablename__ = "dataset_version_details"

    version_id: Mapped[int] = mapped_column(ForeignKey("dataset_versions.id"), primary_key=True)
    shape: Mapped[str] = mapped_column(String(30))
    format: Mapped[str] = mapped_column(String(50))
    filename: Mapped[str | None] = mapped_column(String(255))
    columns: Mapped[list[Any]] = mapped_column(server_default="[]")
    upload: Mapped[dict[str, Any]] = mapped_column(server_default="{}")


class QualityReport(Base):
    """The newest quality report of a version."""

    __tablename__ = "quality_reports"

    version_id: Mapped[int] = mapped_column(ForeignKey("dataset_versions.id"), primary_key=True)
    report: Mapped[dict[str, Any]]
    task_id: Mapped[int | None] = mapped_column(ForeignKey("tasks.id"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.current_timestamp())


class QualityReportHistory(Identified, Created, Base):
    """A quality report of a version. All reports are kept, including the newest one."""

    __tablename__ = "quality_reports_made"

    version_id: Mapped[int] = mapped_column(ForeignKey("dataset_versions.id"))
    report: Mapped[dict[str, Any]]
    task_id: Mapped[int | None] = mapped_column(ForeignKey("tasks.id"))


class DatasetGate(Base):
    """A project's quality gate, stored as :class:`aiplatform.protocol.gates.Gate`."""

    __tablename__ = "dataset_gates"

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"), primary_key=True)
    gate: Mapped[dict[str, Any]]
