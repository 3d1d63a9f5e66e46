"""Answer bodies of code bundles."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field


class BundleOut(BaseModel):
    """A code bundle. ``size`` and ``unpacked_bytes`` are in bytes."""

    uuid: UUID
    name: str
    sha256: str
    size: int
    files: int
    unpacked_bytes: int
    source: dict[str, Any] | None = Field(description="where it comes from, as its sender says")
    author: str | None
    created_at: datetime

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "uuid": "0b9d6a0e-4c1b-4d0f-9a53-0c5c1a6f7e21",
                    "name": "trainer",
                    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                    "size": 18342,
                    "files": 12,
                    "unpacked_bytes": 60211,
                    "source": {"commit": "1f0c2a9", "remote": "https://git.example.com/a/b.git"},
                    "author": "ada",
                    "created_at": "2026-11-20T08:00:00Z",
                }
            ]
        }
    )
