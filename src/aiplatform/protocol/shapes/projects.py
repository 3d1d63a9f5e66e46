"""The shapes of projects, members, access, quotas and the bin."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    ConfigDict,
    Field,
)

from aiplatform.protocol.enums import ListPage, ProjectStatus
from aiplatform.protocol.shapes import identity
from aiplatform.protocol.shapes.identity import UserRef
from aiplatform.protocol.shapes.shape import Extensible, Shape

EXAMPLE_UUID = "2d1f7a52-6e0b-4f0e-9b1c-1a2b3c4d5e6f"


class ProjectOut(Shape):
    """A project."""

    uuid: UUID
    name: str
    description: str | None
    status: ProjectStatus
    owner: UserRef | None
    config: dict[str, Any]
    tags: list[Any]
    created_at: datetime | None
    updated_at: datetime | None

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "uuid": EXAMPLE_UUID,
                    "name": "support-bot",
                    "description": "Answers about our products",
                    "status": "active",
                    "owner": {"uuid": EXAMPLE_UUID, "username": "lin"},
                    "config": {},
                    "tags": [],
                    "created_at": "2026-11-24T08:00:00Z",
                    "updated_at": "2026-11-24T08:00:00Z",
                }
            ]
        }
    )


class SavedViewOut(Shape):
    """The filters, order and columns of a list, saved under a name by a user."""

    uuid: UUID
    project: UUID
    page: Annotated[ListPage, Extensible()]
    name: str
    state: dict[str, Any] = Field(description="the query parameters of the page's address")
    shared: bool = Field(description="true if everyone in the project sees the view")
    user: UserRef
    created_at: datetime
    updated_at: datetime

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "uuid": EXAMPLE_UUID,
                    "project": EXAMPLE_UUID,
                    "page": "tasks",
                    "name": "Failed trainings",
                    "state": {"status": "failed", "type": "training"},
                    "shared": True,
                    "user": {"uuid": EXAMPLE_UUID, "username": "lin"},
                    "created_at": "2026-11-24T08:00:00Z",
                    "updated_at": "2026-11-24T08:00:00Z",
                }
            ]
        }
    )


class ProjectInvitationOut(Shape):
    """An invitation to a project that has been neither accepted nor declined."""

    uuid: UUID
    project: UUID
    project_name: str
    username: str = Field(description="who is invited, as the invitation named them")
    role: str
    invited_by: UserRef | None
    created_at: datetime

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "uuid": identity.EXAMPLE_UUID,
                    "project": identity.EXAMPLE_UUID,
                    "project_name": "faq",
                    "username": "lin",
                    "role": "developer",
                    "invited_by": {"uuid": identity.EXAMPLE_UUID, "username": "mei"},
                    "created_at": "2026-11-24T08:00:00Z",
                }
            ]
        }
    )


class MemberOut(Shape):
    """A user's role in the project. The owner is listed first, with the role ``owner``."""

    user: UserRef
    role: str
    created_at: datetime | None

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "user": {"uuid": identity.EXAMPLE_UUID, "username": "lin"},
                    "role": "developer",
                    "created_at": "2026-11-24T08:00:00Z",
                }
            ]
        }
    )


class ReasonOut(Shape):
    """A source of permissions: project ownership, a global role with `*`, or a project role."""

    source: Annotated[Literal["owner", "global_role", "membership"], Extensible()]
    role: str
    grants: list[str]


class HeldOut(Shape):
    """A permission with all its sources; the role is ``owner`` for the project's owner."""

    permission: str
    because: list[ReasonOut]


class KeyAccessOut(Shape):
    """An API key of the user that is valid in the project, with its permissions there."""

    uuid: UUID
    name: str
    prefix: str
    scopes: list[str]
    permissions: list[str]


class AccessOut(Shape):
    """A user's permissions in the project, with their sources. Deactivated users have none.

    ``keys`` are shown to the user and to principals with a global `*`; null for others.
    """

    user: UserRef
    is_active: bool
    reasons: list[ReasonOut]
    permissions: list[HeldOut]
    keys: list[KeyAccessOut] | None

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "user": {"uuid": identity.EXAMPLE_UUID, "username": "lin"},
                    "is_active": True,
                    "reasons": [
                        {"source": "membership", "role": "labeler", "grants": ["datasets:*"]}
                    ],
                    "permissions": [
                        {
                            "permission": "datasets:read",
                            "because": [
                                {
                                    "source": "membership",
                                    "role": "labeler",
                                    "grants": ["datasets:*"],
                                }
                            ],
                        }
                    ],
                    "keys": None,
                }
            ]
        }
    )


class StorageUsage(Shape):
    """Stored bytes by kind; ``limit`` is null if there is no limit."""

    datasets: int
    models: int
    checkpoints: int
    artifacts: int = Field(description="code bundles, and files that tasks have left")
    bin: int
    total: int
    limit: int | None


class CountUsage(Shape):
    """The number of tasks or GPUs in use; ``limit`` is null if there is no limit."""

    used: int
    limit: int | None


class ProjectUsageOut(Shape):
    """A project's usage and limits. Content that is stored twice counts twice."""

    storage: StorageUsage
    tasks: CountUsage
    gpus: CountUsage
    max_priority: int = Field(description="the highest that its tasks may have")

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "storage": {
                        "datasets": 52428800,
                        "models": 536870912,
                        "checkpoints": 0,
                        "artifacts": 0,
                        "bin": 18432,
                        "total": 589318144,
                        "limit": 107374182400,
                    },
                    "tasks": {"used": 1, "limit": 4},
                    "gpus": {"used": 1, "limit": 2},
                    "max_priority": 8,
                }
            ]
        }
    )


class BinItemOut(Shape):
    """A deleted resource, restorable until ``purge_after``; ``bytes`` count towards quotas."""

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


class RestoredOut(Shape):
    """A resource restored from the bin, with its current name."""

    uuid: UUID
    kind: Literal["project", "dataset", "model"]
    name: str
    version: str | None

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"uuid": EXAMPLE_UUID, "kind": "dataset", "name": "faq", "version": None}]
        }
    )
