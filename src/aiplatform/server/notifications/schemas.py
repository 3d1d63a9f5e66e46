"""Notifications as they go over the wire."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict


class NotificationOut(BaseModel):
    """Something a user is told. ``type`` is stable; ``data`` has what a program needs of it."""

    uuid: UUID
    type: str
    title: str
    message: str | None
    data: dict[str, Any]
    project: UUID | None
    is_read: bool
    created_at: datetime

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "uuid": "4a0b6c1e-0f5d-4b7e-9c7a-8d9e0f1a2b3c",
                    "type": "task:completed",
                    "title": "train tuned completed",
                    "message": "The model tuned@1 was registered.",
                    "data": {},
                    "project": "2d1f7a52-6e0b-4f0e-9b1c-1a2b3c4d5e6f",
                    "is_read": False,
                    "created_at": "2026-11-24T08:00:00Z",
                }
            ]
        }
    )
