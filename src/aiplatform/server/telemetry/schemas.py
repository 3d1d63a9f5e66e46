"""Shapes of metric series, telemetry and their summaries."""

from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from aiplatform.protocol.shapes.tasks import LineOut, TaskSummaryOut
from aiplatform.protocol.specs import Strict
from aiplatform.server.telemetry.rules import MAX_SECONDS, MAX_STEP


class SeriesOut(BaseModel):
    """Points as ``[step, value, seconds since the epoch]``, grouped by key."""

    series: dict[str, list[list[float | str]]]


class ChartsOut(BaseModel):
    """Charts, one for each key."""

    charts: dict[str, list[LineOut]]


class SummariesOut(BaseModel):
    """Summaries of several tasks for a comparison."""

    tasks: list[TaskSummaryOut]


Value = float | Literal["NaN", "Infinity", "-Infinity"]


class PointIn(Strict):
    """One value of a series at a step. Any key and any step are allowed."""

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
    """Return the complete schema of :class:`PointsIn`, because the route reads its body itself."""
    schema = PointsIn.model_json_schema()
    schema["properties"]["points"]["items"] = schema.pop("$defs")["PointIn"]
    return schema
