"""Request bodies for schedules."""

from typing import Annotated

from pydantic import ConfigDict, Field, model_validator

from aiplatform.protocol.names import Name
from aiplatform.protocol.schedules import Action, Missed, Overlap
from aiplatform.protocol.shapes.experiments import EXAMPLE_ACTION
from aiplatform.protocol.specs import Strict

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
    """The schedule fields to change.

    The caller becomes the schedule's owner unless the only change is to switch it off.
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
