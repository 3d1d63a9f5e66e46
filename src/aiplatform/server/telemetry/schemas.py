"""Shapes of metric series, telemetry and their summaries."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from aiplatform.protocol.enums import LogLevel, LogStream, TaskStatus
from aiplatform.protocol.specs import Strict
from aiplatform.server.telemetry.rules import MAX_SECONDS, MAX_STEP


class SeriesOut(BaseModel):
    """Points as ``[step, value, seconds since the epoch]``, by key."""

    series: dict[str, list[list[float | str]]]


class TelemetryOut(BaseModel):
    """Curves as ``[seconds since the epoch, mean, least, most]``, by key.

    Keys of a task: ``cpu_percent`` (of one core), ``memory_mb`` (MiB), ``processes``, ``read_mb_s``
    and ``write_mb_s``; of its n-th GPU ``gpuN.percent``, ``.memory_mb``, ``.memory_mb_total``,
    ``.power_w``, ``.temperature_c`` and ``.throttled``. A machine also has ``cpu_percent`` (of all
    cores), ``load_1m``, ``memory_percent``, ``disk_percent``, ``disk_read_mb_s``,
    ``disk_write_mb_s``, ``net_in_mb_s`` and ``net_out_mb_s``. Values that are not measured are left
    out; ``note`` is "no GPU" if there is none.
    """

    note: str | None
    series: dict[str, list[list[float]]]


class AttemptUsageOut(BaseModel):
    """The resources that an attempt held and for how long. A running attempt counts until now."""

    attempt: int
    running: bool
    seconds: float
    cpus: float
    gpus: list[dict[str, Any]]
    cost: float | None


class UsageOut(BaseModel):
    """The resources that a task has used; ``cost`` is null if the settings name no prices."""

    seconds: float
    gpu_hours: float
    cpu_hours: float
    cost: float | None
    currency: str
    attempts: list[AttemptUsageOut]


class LineOut(BaseModel):
    """One task's series in a chart. The whole series has `total` points."""

    task: UUID
    name: str
    total: int
    points: list[list[float | str]]


class ChartsOut(BaseModel):
    """Charts, one for each key."""

    charts: dict[str, list[LineOut]]


class SummaryOut(BaseModel):
    """The summary of a series. `best` is set if the key tells which direction is better."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"points": 2, "first": 0.9, "first_step": 1, "last": 0.4, "last_step": 2}]
        }
    )

    points: int
    first: float | str
    first_step: int
    last: float | str
    last_step: int
    min: float | str | None = None
    min_step: int | None = None
    max: float | str | None = None
    max_step: int | None = None
    best: float | str | None = None
    best_step: int | None = None
    nan_step: int | None = None


class TaskSummaryOut(BaseModel):
    """The summaries of one task's series."""

    task: UUID
    name: str
    status: TaskStatus
    metrics: dict[str, SummaryOut]


class SummariesOut(BaseModel):
    """Summaries of several tasks, for a comparison."""

    tasks: list[TaskSummaryOut]


class LogChunkOut(BaseModel):
    """Consecutive lines of one stream; ``level`` is the highest level among them.

    ``kept_bytes``: the size of the lines that this chunk replaces; only downloads and searches
    contain these lines.
    """

    seq: int
    attempt: int
    stream: LogStream
    level: LogLevel | None
    text: str
    kept_bytes: int
    time: datetime


class LogLineOut(BaseModel):
    """A line of the log; ``number`` counts from 0 within its chunk."""

    seq: int
    number: int
    attempt: int
    stream: LogStream
    level: LogLevel | None
    text: str
    time: datetime


Value = float | Literal["NaN", "Infinity", "-Infinity"]


class PointIn(Strict):
    """One value of one series at one step. Any key and any step are allowed."""

    key: str = Field(min_length=1, max_length=200)
    step: int = Field(ge=-MAX_STEP, le=MAX_STEP)
    value: Value
    time: float | None = Field(
        None, ge=0, le=MAX_SECONDS, description="seconds since the epoch; by default now"
    )


class PointsIn(Strict):
    """Points of a run, in any order."""

    points: list[PointIn] = Field(max_length=20_000)
    writer: UUID | None = Field(
        None, description="id of the program that numbers its points from 1 on"
    )
    first: int | None = Field(None, ge=1, le=MAX_STEP, description="number of the first one")

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "points": [
                        {"key": "loss", "step": 1, "value": 2.31},
                        {"key": "loss", "step": 2, "value": "NaN", "time": 1764000000.5},
                    ]
                }
            ]
        }
    )


def points_schema() -> dict[str, Any]:
    """Return the whole schema of :class:`PointsIn`: the route reads its body itself."""
    schema = PointsIn.model_json_schema()
    schema["properties"]["points"]["items"] = schema.pop("$defs")["PointIn"]
    return schema


class AcceptedOut(BaseModel):
    """The number of stored records and the status of the run; `cancelling` asks it to stop.

    The writer's records up to the number `taken` are stored.
    """

    accepted: int
    dropped_bytes: int = Field(0, description="size of the lines that exceeded the log's rate")
    taken: int | None
    status: TaskStatus
