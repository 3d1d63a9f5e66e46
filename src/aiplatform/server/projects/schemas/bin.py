"""Request and answer bodies of the bin."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from aiplatform.protocol.specs import Strict
from aiplatform.server.identity.schemas import UserRef
from aiplatform.server.projects.schemas.projects import EXAMPLE_UUID, ProjectName


class BinItemOut(BaseModel):
    """A deleted resource that can be restored until ``purge_after``; ``bytes`` count for quotas."""

    uuid: UUID
    kind: Literal["project", "dataset", "model"]
    name: str
    version: str | None
    shared: bool
    bytes: int
    deleted_by: UserRef | None
    deleted_at: datetime
    purge_after: datetime

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "uuid": EXAMPLE_UUID,
                    "kind": "dataset",
                    "name": "faq",
                    "version": None,
                    "shared": False,
                    "bytes": 18432,
                    "deleted_by": {"uuid": EXAMPLE_UUID, "username": "lin"},
                    "deleted_at": "2026-11-24T08:00:00Z",
                    "purge_after": "2026-12-24T08:00:00Z",
                }
            ]
        }
    )


class RestoreIn(Strict):
    """The name after restoring; by default the old one, or a similar one if that is in use."""

    name: ProjectName | None = None

    model_config = ConfigDict(json_schema_extra={"examples": [{}, {"name": "faq-2"}]})


class RestoredOut(BaseModel):
    """A resource that was restored from the bin, with its present name."""

    uuid: UUID
    kind: Literal["project", "dataset", "model"]
    name: str
    version: str | None

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"uuid": EXAMPLE_UUID, "kind": "dataset", "name": "faq", "version": None}]
        }
    )
