"""The shapes of audit entries and of audit trail verifications."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import ConfigDict, Field

from aiplatform.protocol.shapes.shape import Extensible, Shape


class AuditUser(Shape):
    """The actor of an audit entry, with their username at that time.

    ``uuid`` is null for the platform itself.
    """

    uuid: UUID | None
    username: str | None


class AuditOut(Shape):
    """An audit entry: actor, action, resource, outcome, and the client's address."""

    uuid: UUID | None
    created_at: datetime
    action: str
    outcome: str
    user: AuditUser | None
    resource_type: str | None
    resource_id: str | None
    project: UUID | None
    details: dict[str, Any]
    ip_address: str | None
    user_agent: str | None

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "uuid": "7b3e9d10-2c4f-4a6b-8d1e-0f9a8b7c6d5e",
                    "created_at": "2026-11-24T08:00:00Z",
                    "action": "dataset:created",
                    "outcome": "success",
                    "user": {
                        "uuid": "6f1c2f0a-9f2e-4e0b-8a53-2d0f0f4c8f11",
                        "username": "lin",
                    },
                    "resource_type": "dataset",
                    "resource_id": "0f2c8b0e-1f5e-4c7e-9a55-6d1b1a3a7c11",
                    "project": "2d1f7a52-6e0b-4f0e-9b1c-1a2b3c4d5e6f",
                    "details": {"name": "faq"},
                    "ip_address": "127.0.0.1",
                    "user_agent": "aiplatform/0.1.0",
                }
            ]
        }
    )


class AuditFindingOut(Shape):
    """A difference between the audit trail and its seals."""

    kind: str = Field(description="such as `altered`, `inserted`, `missing` or `seal altered`")
    text: str
    row: int | None = Field(description="number of the entry in the table")
    seal: int | None = Field(description="number of the seal")
    entry: UUID | None = Field(description="uuid of the entry, if it exists")


class AuditVerificationOut(Shape):
    """A verification of the whole audit trail, with its findings.

    A ``running`` verification has no result yet. A ``failed`` verification could not be completed;
    ``error`` says why.
    """

    uuid: UUID
    state: Annotated[Literal["running", "intact", "broken", "failed"], Extensible()]
    user: AuditUser | None = Field(description="who requested it")
    started_at: datetime
    ended_at: datetime | None
    rows: int = Field(description="entries that were checked")
    seals: int = Field(description="seals that were checked")
    unsealed: int = Field(description="entries without a seal, which can't be checked yet")
    archived: int = Field(description="entries that were read from archives")
    head: str | None = Field(description="newest seal, to keep in another place")
    findings: list[AuditFindingOut] = Field(description="the first differences, in order")
    more: int = Field(description="further differences that are not listed")
    error: str | None

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "uuid": "7b3e9d10-2c4f-4a6b-8d1e-0f9a8b7c6d5e",
                    "state": "intact",
                    "user": {
                        "uuid": "6f1c2f0a-9f2e-4e0b-8a53-2d0f0f4c8f11",
                        "username": "lin",
                    },
                    "started_at": "2026-11-24T08:00:00Z",
                    "ended_at": "2026-11-24T08:00:05Z",
                    "rows": 41250,
                    "seals": 310,
                    "unsealed": 2,
                    "archived": 0,
                    "head": "310:4f0c…",
                    "findings": [],
                    "more": 0,
                    "error": None,
                }
            ]
        }
    )
