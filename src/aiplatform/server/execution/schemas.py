"""Shapes of the reports that external runs send."""

from typing import Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from aiplatform.protocol.enums import LogStream, TaskStatus
from aiplatform.protocol.specs import Strict
from aiplatform.server.telemetry.rules import MAX_SECONDS, MAX_STEP


class ExternalRunIn(Strict):
    """An external run that starts now, or that started earlier and is now being registered."""

    name: str = Field(min_length=1, max_length=255)
    experiment: UUID | None = None
    config: dict[str, Any] = Field(default_factory=dict)
    facts: dict[str, Any] = Field(
        default_factory=dict,
        description="facts about its environment: host, program, versions, git commit",
    )
    client_id: str | None = Field(
        None,
        max_length=64,
        pattern=r"^[A-Za-z0-9._-]+$",
        description="a name that the run chose for itself, such as a uuid; with it, the request "
        "can be repeated safely",
    )
    started_at: AwareDatetime | None = None

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "run", "config": {"learning_rate": 0.0002}}]}
    )


class BeatIn(Strict):
    """A heartbeat of a run, with its progress."""

    progress: float | None = Field(None, ge=0, le=1)

    model_config = ConfigDict(json_schema_extra={"examples": [{"progress": 0.4}]})


class BeatOut(BaseModel):
    """The run's status. `cancelling` means that it was asked to stop."""

    status: TaskStatus


class LineIn(Strict):
    """One or more lines of a log."""

    text: str = Field(max_length=100_000)
    stream: LogStream = LogStream.STDOUT
    time: float | None = Field(None, ge=0, le=MAX_SECONDS, description="seconds since the epoch")


class LinesIn(Strict):
    """Lines of a run's log, in order."""

    lines: list[LineIn] = Field(max_length=10_000)
    writer: UUID | None = Field(
        None, description="id of the program that numbers its lines from 1 on"
    )
    first: int | None = Field(None, ge=1, le=MAX_STEP, description="number of the first one")

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"lines": [{"text": "epoch 1 of 3"}]}]}
    )

    @model_validator(mode="after")
    def _together(self) -> "LinesIn":
        if (self.writer is None) != (self.first is None):
            raise ValueError("send `writer` and `first` together, or neither of them")
        return self


class EndIn(Strict):
    """The end of a run."""

    status: Literal[TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED]
    error: str | None = Field(None, max_length=10_000)
    result: dict[str, Any] = Field(default_factory=dict)
    ended_at: AwareDatetime | None = Field(
        None,
        description="time of the end; by default now. It is limited to the time between the run's "
        "start and now",
    )

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"status": "completed"},
                {"status": "failed", "error": "CUDA error", "ended_at": "2026-11-24T16:03:00Z"},
            ]
        }
    )
