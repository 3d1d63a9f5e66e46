"""Storage of dataset versions: parts, space used, and garbage collection. Sizes are in bytes."""

from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from aiplatform.protocol.specs import Strict

EXAMPLE_HASH = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
EXAMPLE_UUID = "5b1e0d0a-6c3f-4b0e-8f0a-2f1c7a9d4e10"


def _example(example: dict[str, Any]) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [example]})


class VersionPart(BaseModel):
    """A part of a file: its offset, its size, and the SHA-256 of its bytes."""

    start: int
    size: int
    sha256: str


class VersionParts(BaseModel):
    """A version's canonical Parquet file, divided into parts without gaps.

    Versions that share rows share parts. A client that has one version therefore needs only the new
    parts of another. Each part is a byte range of the version's ``content``.
    """

    dataset: UUID
    version: str
    file_hash: str
    file_size: int
    parts: list[VersionPart]

    model_config = _example(
        {
            "dataset": EXAMPLE_UUID,
            "version": "v3",
            "file_hash": EXAMPLE_HASH,
            "file_size": 5242880,
            "parts": [{"start": 0, "size": 5242880, "sha256": EXAMPLE_HASH}],
        }
    )


class VersionStorage(BaseModel):
    """The storage that a version uses.

    Attributes:
        version: the label.
        logical: the size of the files as downloaded: rows and uploaded bytes.
        charged: the amount that counts towards the quota: all of the version's data, compressed.
        alone: the part of ``charged`` that no other version in the project uses.
    """

    version: str
    logical: int
    charged: int
    alone: int


class DatasetStorage(BaseModel):
    """The storage used by a dataset's versions.

    Attributes:
        dataset: the uuid of the dataset.
        name: the name of the dataset.
        logical: the size of the files as downloaded.
        charged: the amount that counts towards the quota; shared data counts for each version.
        stored: the same, but with shared data counted once.
        version_count: the number of versions.
        versions: each version, newest first; only in the response for a single dataset.
    """

    dataset: UUID
    name: str
    logical: int
    charged: int
    stored: int
    version_count: int
    versions: list[VersionStorage] | None = None

    model_config = _example(
        {
            "dataset": EXAMPLE_UUID,
            "name": "faq",
            "logical": 10485760,
            "charged": 4300000,
            "stored": 2200000,
            "version_count": 2,
            "versions": [
                {"version": "v2", "logical": 5242880, "charged": 2200000, "alone": 100000},
                {"version": "v1", "logical": 5242880, "charged": 2100000, "alone": 0},
            ],
        }
    )


class StorageReport(BaseModel):
    """The storage used by a project's datasets, largest first.

    Only the project's own versions are considered, so the report does not reveal whether other
    projects have the same content.
    """

    logical: int
    charged: int
    stored: int
    datasets: list[DatasetStorage]

    model_config = _example(
        {
            "logical": 10485760,
            "charged": 4300000,
            "stored": 2200000,
            "datasets": [
                {
                    "dataset": EXAMPLE_UUID,
                    "name": "faq",
                    "logical": 10485760,
                    "charged": 4300000,
                    "stored": 2200000,
                    "version_count": 2,
                }
            ],
        }
    )


class CollectRequest(Strict):
    """A request to run garbage collection."""

    dry_run: bool = Field(False, description="tell what it would do, and do nothing")

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"dry_run": True}]})


class Amount(BaseModel):
    """A number of files and their total size in bytes."""

    count: int
    size: int


class Collected(BaseModel):
    """The result of a garbage collection of the blob store.

    Attributes:
        marked: files that nothing has referred to for a day; they may be deleted in an hour.
        deleted: files that were marked at least an hour ago and are now deleted.
        waiting: files that have been unreferenced for a shorter time.
        dry_run: True if nothing was changed.
        complete: False if more remains to be done; send the request again.
    """

    marked: Amount
    deleted: Amount
    waiting: Amount
    dry_run: bool
    complete: bool

    model_config = _example(
        {
            "marked": {"count": 3, "size": 7340032},
            "deleted": {"count": 1, "size": 1048576},
            "waiting": {"count": 0, "size": 0},
            "dry_run": False,
            "complete": True,
        }
    )
