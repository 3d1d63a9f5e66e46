"""Request and answer bodies of schedules."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from aiplatform.protocol.names import Name
from aiplatform.protocol.schedules import Action, FiringOutcome, Missed, Overlap
from aiplatform.protocol.shapes.identity import UserRef
from aiplatform.protocol.specs import Strict

EXAMPLE_UUID = "7f6b3a52-1d5e-4d6c-8a1b-0c6b7b0f9e11"
EXAMPLE_ACTION: Any = {"kind": "run", "experiment": EXAMPLE_UUID, "priority": 5}
Cron = Annotated[
    str,
    Field(min_length=9, max_length=100, description="minute, hour, day, month, weekday"),
]
Timezone = Annotated[str, Field(min_length=1, max_length=64, description="such as Asia/Shanghai")]


class ScheduleIn(Strict):
    """A task or run to submit at recurring times."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "nightly",
                    "cron": "30 2 * * *",
                    "timezone": "Asia/Shanghai",
                    "action": EXAMPLE_ACTION,
                }
            ]
        }
    )

    name: Name
    cron: Cron
    timezone: Timezone = "UTC"
    action: Action
    missed: Missed = Field(
        Missed.RUN_ONCE,
        description="when the platform was not there: once, or not at all",
    )
    overlap: Overlap = Field(Overlap.SKIP, description="while its last task has not ended")
    enabled: bool = True


class ScheduleChange(Strict):
    """The fields of a schedule to change.

    A caller who does more than switch the schedule off becomes its owner.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{"enabled": False}]})

    name: Name | None = None
    cron: Cron | None = None
    timezone: Timezone | None = None
    action: Action | None = None
    missed: Missed | None = None
    overlap: Overlap | None = None
    enabled: bool | None = None

    @model_validator(mode="after")
    def _no_nulls(self) -> "ScheduleChange":
        for field in self.model_fields_set:
            if getattr(self, field) is None:
                raise ValueError(f"{field} can't be null")
        return self


class FiringOut(BaseModel):
    """A time at which a schedule was due, and the result."""

    due_at: datetime
    fired_at: datetime
    outcome: FiringOutcome
    task: UUID | None
    code: str | None
    reason: str | None
    reason_zh: str | None


class ScheduleOut(BaseModel):
    """A schedule. It fires with the permissions that its owner has at that time."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "uuid": EXAMPLE_UUID,
                    "project": EXAMPLE_UUID,
                    "name": "nightly",
                    "cron": "30 2 * * *",
                    "timezone": "Asia/Shanghai",
                    "action": EXAMPLE_ACTION,
                    "missed": "run_once",
                    "overlap": "skip",
                    "enabled": True,
                    "next_at": "2026-11-25T18:30:00Z",
                    "upcoming": ["2026-11-25T18:30:00Z", "2026-11-26T18:30:00Z"],
                    "last": None,
                    "owner": {"uuid": EXAMPLE_UUID, "username": "admin"},
                    "owner_is_active": True,
                    "created_at": "2026-11-24T16:00:00Z",
                    "updated_at": "2026-11-24T16:00:00Z",
                }
            ]
        }
    )

    uuid: UUID
    project: UUID
    name: str
    cron: str
    timezone: str
    action: dict[str, Any]
    missed: Missed
    overlap: Overlap
    enabled: bool
    next_at: datetime | None
    upcoming: list[datetime] = Field(description="the next times, if it stays as it is")
    last: FiringOut | None
    owner: UserRef | None
    owner_is_active: bool = Field(description="while this is false, it is refused at every time")
    created_at: datetime
    updated_at: datetime
