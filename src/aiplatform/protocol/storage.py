"""What dataset versions are made of, what they cost, and what cleaning up frees. Sizes in bytes."""

from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from aiplatform.protocol.specs import Strict

EXAMPLE_HASH = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
EXAMPLE_UUID = "5b1e0d0a-6c3f-4b0e-8f0a-2f1c7a9d4e10"


def _example(example: dict[str, Any]) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [example]})


class VersionPart(BaseModel):
    """A piece of a file: where it begins, its size, and the SHA-256 of its bytes."""

    start: int
    size: int
    sha256: str


class VersionParts(BaseModel):
    """The canonical Parquet of a version, in pieces without gaps.

    Versions that share rows share pieces, so whoever has one version needs only what is new in
    another. Each is a range of the version's ``content``.
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
    """What a version costs.

    Attributes:
        logical: the files as they are downloaded: rows and uploaded bytes.
        charged: what the quota counts: all that the version is made of, packed.
        alone: what of that no other version of the project is made of.
    """

    version: str
    logical: int
    charged: int
    alone: int


class DatasetStorage(BaseModel):
    """What the versions of a dataset cost.

    Attributes:
        logical: the files as they are downloaded.
        charged: what the quota counts; what several versions share counts for each.
        stored: the same, with what they share counted once.
        versions: each by itself, newest first; only where one dataset was asked about.
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
    """What the datasets of a project cost, dearest first.

    Of the project's own versions only: whether others have the same content is not told.
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
    """``dry_run`` tells what would be done, and does nothing."""

    dry_run: bool = Field(False, description="tell what it would do, and do nothing")

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"dry_run": True}]})


class Amount(BaseModel):
    """So many files of so many bytes."""

    count: int
    size: int


class Collected(BaseModel):
    """What cleaning up the store did, or would do.

    Attributes:
        marked: files that nothing has referred to for a day: they go an hour after this.
        deleted: files that were marked an hour ago or longer, and are gone.
        waiting: files that nothing refers to, for less than that.
        dry_run: nothing was done.
        complete: false when more is left to do than one request does; call again.
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
