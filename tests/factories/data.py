"""Factories for blobs, datasets and their versions."""

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from aiplatform.data.ingest import ingest
from aiplatform.data.quality.report import FORMULA, FORMULA_ZH, VERSION
from aiplatform.protocol.enums import (
    DatasetStatus,
)
from aiplatform.server.core.storage import BlobRef, StoredFile, add_reference, store_file
from aiplatform.server.datasets.models import (
    Dataset,
    DatasetDetails,
    DatasetVersion,
    DatasetVersionDetails,
    QualityReport,
)
from aiplatform.server.datasets.rules import ROWS_PATH
from aiplatform.server.projects.models import BinEntry, Project
from aiplatform.server.projects.queries import bin_home
from tests.factories.numbers import number


def make_blob(session: Session, content: bytes, path: str, home: Path) -> StoredFile:
    """Put content into the blob store; ``home`` is a directory for a temporary file."""
    sha256 = hashlib.sha256(content).hexdigest()
    source = home / f"blob{number()}"
    source.write_bytes(content)
    store_file(session, source, sha256, len(content))
    session.commit()
    source.unlink()
    return StoredFile(path, sha256, len(content))


def make_rows(session: Session, home: Path, *, rows: int = 3) -> StoredFile:
    """Put chats into the blob store, as the canonical Parquet file of a dataset version."""
    source, output = home / f"rows{number()}.jsonl", home / f"rows{number()}.parquet"
    with source.open("w", encoding="utf-8") as lines:
        for row in range(rows):
            chat = [("user", f"{row}?"), ("assistant", "!")]
            messages = [{"role": role, "content": content} for role, content in chat]
            lines.write(json.dumps({"messages": messages}) + "\n")
    ingest(source, output, filename="rows.jsonl")
    content = output.read_bytes()
    source.unlink()
    output.unlink()
    return make_blob(session, content, ROWS_PATH, home)


def make_dataset(
    session: Session, project: Project, *, name: str | None = None, **columns: Any
) -> Dataset:
    """Create a dataset without any version."""
    values = {"format": "jsonl", "status": DatasetStatus.READY, **columns}
    dataset = Dataset(project_id=project.id, name=name or f"dataset{number()}", **values)
    session.add(dataset)
    session.flush()
    session.add(DatasetDetails(dataset_id=dataset.id, shape="chat", created_by=project.owner_id))
    session.commit()
    session.refresh(dataset)
    return dataset


def make_version(
    session: Session,
    dataset: Dataset,
    *,
    version: str = "v1",
    file: StoredFile | None = None,
    rows: int = 1,
    shape: str = "chat",
    **columns: Any,
) -> DatasetVersion:
    """Create a version of a dataset; ``file`` is its canonical Parquet in the store."""
    row = DatasetVersion(
        dataset_id=dataset.id,
        version=version,
        file_hash=None if file is None else file.sha256,
        file_size=0 if file is None else file.size,
        row_count=rows,
        **columns,
    )
    session.add(row)
    session.flush()
    session.add(
        DatasetVersionDetails(version_id=row.id, shape=shape, format="jsonl", filename="rows.jsonl")
    )
    if file is not None:
        add_reference(session, file, project_id=dataset.project_id, dataset_version_id=row.id)
    dataset.version = version
    session.commit()
    session.refresh(row)
    return row


def make_binned_dataset(session: Session, project: Project, **columns: Any) -> Dataset:
    """Create a dataset that is in the project's bin."""
    dataset = make_dataset(session, project)
    entry = BinEntry(
        kind="dataset",
        project_id=project.id,
        resource_uuid=dataset.uuid,
        name=dataset.name,
        dataset_id=dataset.id,
        **{"purge_after": datetime.now(UTC) + timedelta(days=30), **columns},
    )
    session.add(entry)
    dataset.project_id = bin_home(session)
    dataset.name = str(dataset.uuid)
    session.commit()
    session.refresh(dataset)
    return dataset


def whole_report(**report: Any) -> dict[str, Any]:
    """Return a quality report with all fields of a real one; ``report`` overrides them."""
    return {
        "version": VERSION,
        "rows": 1,
        "shape": "text",
        "score": 100,
        "score_formula": FORMULA,
        "score_formula_zh": FORMULA_ZH,
        "findings": [],
        "languages": None,
        "labels": None,
        "tokens": None,
        "compared_with": [],
        "outside_checks": [],
        **report,
    }


def make_report(session: Session, version: DatasetVersion, **report: Any) -> QualityReport:
    """Create a quality report of a version; ``report`` overrides its fields."""
    shape = session.get_one(DatasetVersionDetails, version.id).shape
    row = QualityReport(
        version_id=version.id,
        report=whole_report(rows=version.row_count, shape=shape, **report),
    )
    session.add(row)
    session.commit()
    return row


def references(session: Session, sha256: str) -> int:
    """Return the number of owners that refer to a blob."""
    return len(session.scalars(select(BlobRef.id).where(BlobRef.sha256 == sha256)).all())
