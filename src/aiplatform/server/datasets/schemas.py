"""Datasets as they go over the wire."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from aiplatform.protocol.enums import DataFormat, DatasetStatus
from aiplatform.protocol.specs import Strict
from aiplatform.server.identity.schemas import UserRef

EXAMPLE = "5b1e0d0a-6c3f-4b0e-8f0a-2f1c7a9d4e10"
EXAMPLE_HASH = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
NAME_PATTERN = r"^[^\x00-\x1f\x7f/@]+$"
"""Any script, but nothing that breaks a line or the form ``name@version``."""


class DatasetOut(BaseModel):
    """The head of a dataset: its current version. ``size`` in bytes, of the canonical Parquet."""

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
                    "uuid": EXAMPLE,
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


class DatasetVersionOut(BaseModel):
    """An immutable commit. Hash, size (bytes) and rows are those of its canonical Parquet."""

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
    columns: list[Any]
    author: UserRef | None
    created_at: datetime
    report: dict[str, Any] | None

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "uuid": "7a4a8f0c-57a2-4f43-9a4e-65b5d9a3f0c1",
                    "dataset": EXAMPLE,
                    "version": "v2",
                    "parent": "v1",
                    "message": "typos corrected",
                    "file_hash": EXAMPLE_HASH,
                    "file_size": 52431,
                    "row_count": 420,
                    "shape": "chat",
                    "format": "jsonl",
                    "filename": "chats.jsonl",
                    "columns": ["messages"],
                    "author": {
                        "uuid": "c0a8012e-1111-4222-8333-944455566677",
                        "username": "lin",
                    },
                    "created_at": "2026-11-24T08:00:00Z",
                    "report": None,
                }
            ]
        }
    )


class DatasetChange(Strict):
    """What of a dataset may be changed."""

    name: str = Field(min_length=1, max_length=255, pattern=NAME_PATTERN)

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "support-chats-2026"}]})


class QualityRequest(Strict):
    """How the report shall count tokens."""

    base_model: UUID | None = Field(None, description="whose tokenizer counts; none counts none")
    max_length: int = Field(512, ge=8, le=1_048_576, description="tokens; longer rows are reported")

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"base_model": "3f0c9b1e-8d1a-4a52-b7a5-0a9a4f6d2b11", "max_length": 1024}]
        }
    )


class UploadFacts(BaseModel):
    """What a request says of a file beside its bytes. ``digest``: its SHA-256, hexadecimal."""

    filename: str | None
    format: DataFormat | None
    message: str | None
    base_model: UUID | None
    max_length: int
    digest: str | None
