"""Request and answer bodies of datasets, their versions, tags and the quality gate."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from aiplatform.protocol.enums import DatasetStatus
from aiplatform.protocol.reading_options import ColumnMap, Reading
from aiplatform.protocol.references import VERSION_OR_TAG
from aiplatform.protocol.rows import RowFilter, RowFix, RowPatch, RowSplit
from aiplatform.protocol.shapes.identity import UserRef
from aiplatform.protocol.specs import Strict
from aiplatform.server.core.pagination import Page

EXAMPLE = "5b1e0d0a-6c3f-4b0e-8f0a-2f1c7a9d4e10"
EXAMPLE_HASH = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
NAME_PATTERN = r"^[^\x00-\x1f\x7f/@]+$"
"""Pattern of names: any script, but no characters that break a line or ``name@version``."""

MAX_NAME = 255
"""Maximum length of a name in characters."""


class DatasetOut(BaseModel):
    """A dataset with its current version.

    ``size`` is that of the canonical Parquet file, in bytes.
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
    """An immutable version.

    Hash, size (bytes) and row count are those of its canonical Parquet file.
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
    columns: list[Any]
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


class DatasetChange(Strict):
    """The fields of a dataset that can be changed."""

    name: str = Field(min_length=1, max_length=MAX_NAME, pattern=NAME_PATTERN)

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "support-chats-2026"}]})


class RowPage(Page[dict[str, Any]]):
    """A page of rows, with the place of each row in the version, counted from 0."""

    places: list[int]


class DiffPage(Page[dict[str, Any]]):
    """A page of differences between two versions.

    Each item has its ``kind``, its places ``before`` and ``after``, and its ``row``; a changed item
    has the ``cells`` that differ instead. The ``summary`` covers all differences, not only this
    page.
    """

    before: str
    after: str
    summary: dict[str, Any]

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "before": "v1",
                    "after": "v2",
                    "summary": {
                        "key": "id", "added": 0, "removed": 0, "changed": 1, "unchanged": 419,
                        "rows_before": 420, "rows_after": 420, "cells": {"label": 1},
                        "columns": {"added": [], "removed": [], "changed": []},
                    },
                    "items": [
                        {
                            "kind": "changed", "before": 17, "after": 17,
                            "cells": {"label": {"before": "ham", "after": "spam"}},
                        }
                    ],
                    "next_cursor": None,
                }
            ]
        }
    )  # fmt: skip


class CommitOptions(Strict):
    """The message and parent of a commit that changes rows."""

    message: str | None = Field(None, max_length=10_000, description="what this version is")
    parent: str | None = Field(
        None, pattern=VERSION_OR_TAG, description="the version or tag that is changed"
    )


class PatchRequest(RowPatch, CommitOptions):
    """A commit that adds, changes and deletes rows."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "set": [{"row": 17, "values": {"completion": "Paris."}}],
                    "add": [{"prompt": "2 + 2?", "completion": "4"}],
                    "delete": [3],
                    "message": "answers corrected",
                }
            ]
        }
    )


class FilterRequest(RowFilter, CommitOptions):
    """A commit that keeps only some rows."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"where": [{"column": "score", "op": ">=", "value": 0.5}], "message": "good ones"}
            ]
        }
    )


class MapRequest(CommitOptions):
    """A commit that renames columns to those of a data shape."""

    map: ColumnMap = Field(min_length=1, description="columns and what they are")

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"map": {"question": "prompt", "answer": "completion"}}]}
    )

    @field_validator("map")
    @classmethod
    def _distinct(cls, value: dict[str, str]) -> dict[str, str]:
        Reading(map=value)
        return value


class FixRequest(RowFix, CommitOptions):
    """A task that fixes findings of the quality report and commits the result."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"fixes": {"duplicates": "drop", "personal_email": "mask", "markup": "strip"}}
            ]
        }
    )


class GateRule(BaseModel):
    """A rule of the quality gate that a version breaks."""

    rule: str
    text: str
    text_zh: str


class GateVerdict(BaseModel):
    """The answer of the quality gate for a version: passed, or the rules that it breaks."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"passed": True, "failures": []}]})

    passed: bool
    failures: list[GateRule]


class SplitRequest(RowSplit):
    """The parts that a version is split into, and the names of their datasets.

    The default name of a part's dataset is ``DATASET-PART``.
    """

    version: str | None = Field(None, pattern=VERSION_OR_TAG, description="by default the current")
    names: dict[str, Annotated[str, Field(max_length=MAX_NAME, pattern=NAME_PATTERN)]] = Field(
        default_factory=dict, description="of the datasets, by part; else `DATASET-PART`"
    )
    message: str | None = Field(None, max_length=10_000)

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"fractions": {"train": 0.9, "eval": 0.1}, "seed": 7, "stratify": "label"}]
        }
    )

    @model_validator(mode="after")
    def _named(self) -> "SplitRequest":
        for part in self.names:
            if part not in self.fractions:
                raise ValueError(f"names: there is no part {part}")
        return self


class SplitOut(BaseModel):
    """The new datasets of a split, in the order of the fractions."""

    datasets: list[DatasetOut]


class RestoreRequest(Strict):
    """The version whose rows become current again."""

    version: str = Field(pattern=VERSION_OR_TAG)
    message: str | None = Field(None, max_length=10_000)

    model_config = ConfigDict(json_schema_extra={"examples": [{"version": "v2"}]})


class TagMove(Strict):
    """The version that a tag moves to; may be given by another tag."""

    version: str = Field(pattern=VERSION_OR_TAG)

    model_config = ConfigDict(json_schema_extra={"examples": [{"version": "v3"}]})


class TagOut(BaseModel):
    """A tag with its version, and the user and time of its last move."""

    name: str
    version: str
    moved_by: UserRef | None
    moved_at: datetime


class TagList(BaseModel):
    """All tags of a dataset."""

    items: list[TagOut]

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "items": [
                        {
                            "name": "prod",
                            "version": "v3",
                            "moved_by": {
                                "uuid": "c0a8012e-1111-4222-8333-944455566677",
                                "username": "lin",
                            },
                            "moved_at": "2026-11-24T08:00:00Z",
                        }
                    ]
                }
            ]
        }
    )
