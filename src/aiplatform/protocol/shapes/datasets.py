"""The shapes of datasets, their versions, tags, quality reports and uploads."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import ConfigDict, Field, WithJsonSchema

from aiplatform.protocol.enums import DatasetStatus
from aiplatform.protocol.shapes.identity import UserRef
from aiplatform.protocol.shapes.shape import Extensible, Shape

EXAMPLE_DATASET = "5b1e0d0a-6c3f-4b0e-8f0a-2f1c7a9d4e10"


EXAMPLE_HASH = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


class DatasetOut(Shape):
    """A dataset with its current version.

    ``size`` is the size of the canonical Parquet file in bytes.
    """

    uuid: UUID
    project: UUID | None
    name: str
    format: str | None = Field(description="of the file that was uploaded")
    shape: str | None = Field(description="what a row is")
    version: str
    status: DatasetStatus
    size: int
    row_count: int
    quality_report: dict[str, Any] | None = Field(description="of the current version")
    created_at: datetime
    updated_at: datetime

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "uuid": EXAMPLE_DATASET,
                    "project": "0b9d6a0e-4c1b-4d0f-9a53-0c5c1a6f7e21",
                    "name": "support-chats",
                    "format": "jsonl",
                    "shape": "chat",
                    "version": "v1",
                    "status": "ready",
                    "size": 52431,
                    "row_count": 420,
                    "quality_report": {"score": 97, "rows": 420, "findings": []},
                    "created_at": "2026-11-24T08:00:00Z",
                    "updated_at": "2026-11-24T08:00:04Z",
                }
            ]
        }
    )


COLUMNS: dict[str, Any] = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {"name": {"type": "string"}, "type": {"type": "string"}},
        "required": ["name", "type"],
    },
}
"""JSON schema of a version's columns."""


class DatasetVersionOut(Shape):
    """An immutable version.

    The hash, the size in bytes and the row count refer to the version's canonical Parquet file.
    """

    uuid: UUID
    dataset: UUID
    version: str
    parent: str | None
    message: str | None
    file_hash: str | None = Field(description="SHA-256, hexadecimal")
    file_size: int
    row_count: int
    shape: str | None
    format: str | None
    filename: str | None
    columns: Annotated[list[Any], WithJsonSchema(COLUMNS)]
    read_as: dict[str, Any] | None = Field(
        None,
        description="how the file was read: encoding, compression, dialect, columns that were "
        "mapped, typed or renamed, those whose type is not that of the version before, a header "
        "that looks like a row, and the rows that were set aside",
    )
    made_by: dict[str, Any] | None = Field(
        None, description="how it was made of another version; null for an upload as it was"
    )
    author: UserRef | None
    created_at: datetime
    report: dict[str, Any] | None

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "uuid": "7a4a8f0c-57a2-4f43-9a4e-65b5d9a3f0c1",
                    "dataset": EXAMPLE_DATASET,
                    "version": "v2",
                    "parent": "v1",
                    "message": "typos corrected",
                    "file_hash": EXAMPLE_HASH,
                    "file_size": 52431,
                    "row_count": 420,
                    "shape": "chat",
                    "format": "jsonl",
                    "filename": "chats.jsonl",
                    "columns": [{"name": "messages", "type": "messages"}],
                    "read_as": {"encoding": "UTF-8"},
                    "author": {
                        "uuid": "c0a8012e-1111-4222-8333-944455566677",
                        "username": "lin",
                    },
                    "created_at": "2026-11-24T08:00:00Z",
                    "report": None,
                    "made_by": None,
                }
            ]
        }
    )


class TagOut(Shape):
    """A tag and its version, with the user and time of its last move."""

    name: str
    version: str
    moved_by: UserRef | None
    moved_at: datetime


class ReportOut(Shape):
    """One of the quality reports created for a version."""

    uuid: UUID
    score: float | None
    findings: int
    compared_with: list[str]
    task: UUID | None
    created_at: datetime

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "uuid": "3f0c9b1e-8d1a-4a52-b7a5-0a9a4f6d2b11",
                    "score": 87,
                    "findings": 3,
                    "compared_with": ["held-out@v1"],
                    "task": "0b9d6a0e-4c1b-4d0f-9a53-0c5c1a6f7e21",
                    "created_at": "2026-11-24T08:00:00Z",
                }
            ]
        }
    )


class FixedRowOut(Shape):
    """A row before and after a fix; ``after`` is null if the fix removes the row."""

    row: int
    before: dict[str, Any]
    after: dict[str, Any] | None


class FixPreviewOut(Shape):
    """Some rows of a finding before and after a fix, and the total number of its rows."""

    count: int
    items: list[FixedRowOut]

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "count": 14,
                    "items": [
                        {
                            "row": 7,
                            "before": {"text": "write to ann@example.com"},
                            "after": {"text": "write to [EMAIL]"},
                        }
                    ],
                }
            ]
        }
    )


class UploadOut(Shape):
    """A resumable upload; sizes are in bytes.

    ``name`` is the name of the dataset to create; ``dataset`` is the existing dataset that gets a
    new version. ``result`` names the version or says why the file was refused.
    """

    uuid: UUID
    name: str | None
    dataset: UUID | None
    filename: str | None
    length: int
    offset: int
    status: Annotated[Literal["receiving", "committed", "refused"], Extensible()]
    result: dict[str, Any] | None
    created_at: datetime
    expires_at: datetime

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "uuid": "3f0c9b1e-8d1a-4a52-b7a5-0a9a4f6d2b11",
                    "name": "support-chats",
                    "dataset": None,
                    "filename": "chats.jsonl",
                    "length": 52431,
                    "offset": 52431,
                    "status": "committed",
                    "result": {"dataset": EXAMPLE_DATASET, "version": "v1"},
                    "created_at": "2026-11-24T07:59:00Z",
                    "expires_at": "2026-11-25T08:00:00Z",
                }
            ]
        }
    )
