"""The shapes of audit entries."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import ConfigDict

from aiplatform.protocol.shapes.shape import Shape


class AuditUser(Shape):
    """The actor, with the user name they had at that time.

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
